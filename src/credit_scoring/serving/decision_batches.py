"""Many applications in one request: each is checked and decided by itself, and harms no other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from credit_scoring.api.batches import MOST_APPLICATIONS, BatchResult, BatchResults
from credit_scoring.api.decisions import Json
from credit_scoring.api.problems import Fault
from credit_scoring.core.errors import CreditScoringError
from credit_scoring.serving.bodies import LARGEST_BATCH_BYTES, content_of, parsed
from credit_scoring.serving.decision_queue import CHUNK, DecisionQueue
from credit_scoring.serving.endpoints import BATCH_DEADLINE_S
from credit_scoring.serving.http_errors import invalid_body
from credit_scoring.serving.problems import RefusedBodyError, invalid, told_of
from credit_scoring.serving.schemas import Sender, sent_application
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.decide_applications import Answer

_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["applications"],
    "properties": {
        "applications": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_APPLICATIONS,
            "items": {
                "description": "applications; whatever is none gets a problem of its own, and harms no other",
                "anyOf": [{"$ref": "#/components/schemas/ApplicationBody"}, {}],
            },
        }
    },
}
BATCH_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}}
"""What OpenAPI says of the body."""


_WRONG_IN_ITSELF = {"invalid_application", "application_reused"}
"""Problems that the same application has whenever it comes; what else failed may be decided another time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Applications of one request, or what is wrong with each; ``received`` is its body, ``request_id`` its own."""

    items: Sequence[Application | CreditScoringError]
    request_id: str
    received: Json


async def read_batch(request: Request, model: type[BaseModel], sender: Sender) -> Batch:
    """Return the applications of ``request``; one that is not what ``model`` takes is its own problem.

    Raises:
        RefusedBodyError: If the body is not a list of applications, too large, or has too many.
    """
    content = await content_of(request, LARGEST_BATCH_BYTES)
    # Large bodies take a while; meanwhile the event loop answers others.
    return await anyio.to_thread.run_sync(_batch, content, model, sender)


async def decide_batch(batch: Batch, queue: DecisionQueue) -> BatchResults:
    """Return what became of each application, chunk by chunk; what is decided by the deadline stays decided."""
    applications = [item for item in batch.items if isinstance(item, Application)]
    answers: list[Answer] = []
    with anyio.move_on_after(BATCH_DEADLINE_S):
        for start in range(0, len(applications), CHUNK):
            answers += await _decided(applications[start : start + CHUNK], queue)
    late = RefusedBodyError("timeout", "The batch took too long. Send what was not decided again.")
    answers += [late] * (len(applications) - len(answers))
    return await anyio.to_thread.run_sync(_results, batch, answers)


def is_final(results: BatchResults) -> bool:
    """Return whether every application would be answered the same for ever: decided, or wrong in itself."""
    return all(one.problem is None or one.problem.code in _WRONG_IN_ITSELF for one in results.results)


async def _decided(chunk: Sequence[Application], queue: DecisionQueue) -> list[Answer]:
    try:
        return await queue.decide_chunk(chunk)
    except CreditScoringError as exc:
        return [exc] * len(chunk)


def _batch(content: bytes, model: type[BaseModel], sender: Sender) -> Batch:
    given = parsed(content)
    if not isinstance(given, dict) or not isinstance(given.get("applications"), list) or len(given) > 1:
        fault = Fault(pointer="/applications", code="list_type", detail="must be an array, and nothing beside it")
        raise invalid([fault], "invalid_body")
    items = given["applications"]
    if not 1 <= len(items) <= MOST_APPLICATIONS:
        detail = f"must have 1 to {MOST_APPLICATIONS:,} applications"
        code = "too_long" if items else "too_short"
        raise invalid([Fault(pointer="/applications", code=code, detail=detail)], "invalid_body")
    return Batch([_item(item, model, sender) for item in items], sender.request_id, given)


def _item(item: Any, model: type[BaseModel], sender: Sender) -> Application | CreditScoringError:
    try:
        return sent_application(model.model_validate(item), item, sender)
    except ValidationError as exc:
        return invalid_body(exc)
    except CreditScoringError as exc:
        return exc


def _results(batch: Batch, answers: Sequence[Answer]) -> BatchResults:
    given = iter(answers)
    found = [item if isinstance(item, CreditScoringError) else next(given) for item in batch.items]
    results = tuple(_result(one, batch.request_id) for one in found)
    failed = sum(result.problem is not None for result in results)
    return BatchResults(decided=len(results) - failed, failed=failed, results=results)


def _result(found: Answer, request_id: str) -> BatchResult:
    if isinstance(found, CreditScoringError):
        return BatchResult(problem=told_of(found).problem(request_id))
    return BatchResult(decision=found)
