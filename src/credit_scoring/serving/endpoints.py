"""What every route has: who may call it, what it answers, and how long it may take."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import Depends, Header, Path, Security
from fastapi.security import HTTPBearer
from starlette.requests import Request

from credit_scoring.core.callers import AccessScope, Caller
from credit_scoring.serving.admission import Guard
from credit_scoring.serving.declared_types import Identifier
from credit_scoring.serving.documented_answers import REPLAYED, responses
from credit_scoring.serving.problems import RefusedBodyError

Result = TypeVar("Result")

DEADLINE_S = 8.0
"""Longest that a request may take, other than a batch."""

BATCH_DEADLINE_S = 55.0
"""Longest that a batch may take; BentoML's own limit, without a problem to read, is above it (``service.py``)."""

OF_EVERY_ROUTE = (
    "unauthenticated",
    "forbidden",
    "rate_limited",
    "not_found",
    "method_not_allowed",
    "headers_too_large",
    "invalid_parameter",
    "internal_error",
    "records_unavailable",
    "issuer_unavailable",
    "not_ready",
    "timeout",
)
OF_EVERY_BODY = (
    "incomplete_body",
    "body_too_slow",
    "body_too_large",
    "unsupported_media_type",
    "malformed_json",
    "repeated_field",
)

_BEARER = HTTPBearer(auto_error=False, description="An API key (`credit-scoring keys create`) or a token of the issuer")

DecisionId = Annotated[
    Identifier,
    Path(description="'decision_id' of an earlier answer", examples=["9b2f6c1e-7d43-4f0a-8a55-3c1d2e4f5a6b"]),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="sent again with the same body, the request gets its first answer; kept 30 days",
        examples=["7c1e0f2a-loan-2005-10-0001"],
    ),
]


def admitted(guard: Guard, scope: AccessScope) -> Any:
    """Return the dependency that gives the ``Caller`` of a route that asks for ``scope``."""

    async def admitted_caller(request: Request, _sent: Annotated[Any, Security(_BEARER, scopes=[scope])]) -> Caller:
        return await admit(request, guard, scope)

    return Depends(admitted_caller)


async def admit(request: Request, guard: Guard, scope: AccessScope) -> Caller:
    """Return the caller of a request to a route that asks for ``scope``; leaves the route in the request's state.

    Raises:
        CreditScoringError: As ``Guard.admit`` does.
        RefusedBodyError: If the address has parameters that the route does not know, or it took too long.
    """
    route = route_of(request)
    request.scope.setdefault("state", {})["route"] = route
    caller = await in_time(guard.admit(request, scope, f"{request.method} {route}"))
    _require_known_parameters(request)
    return caller


def _require_known_parameters(request: Request) -> None:
    """Refuse what the route does not know: a misspelt filter would answer another question than was asked."""
    if not request.scope["query_string"]:
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    given = [name for name, _ in request.query_params.multi_items()]
    if len(set(given)) < len(given) or not known.issuperset(given):
        told = f"The route takes {', '.join(sorted(known)) or 'no parameters'}, each once. Correct the address."
        raise RefusedBodyError("invalid_parameter", told)


def route_of(request: Request) -> str:
    """Return the route of a request as the description tells it, such as ``/v1/decisions/{decision_id}``."""
    path: str = request.scope["route"].path_format
    return path


def described(scope: AccessScope, summary: str, *codes: str, told: str, replayed: bool = False) -> dict[str, Any]:
    """Return what OpenAPI says of a route.

    Args:
        scope: Scope that a caller needs.
        summary: What it does, in some words.
        codes: Problems that it answers with beside those of every route.
        told: What it does, in a sentence or two.
        replayed: Whether an answer may be one that was given before.
    """
    answers = responses(*OF_EVERY_ROUTE, *codes)
    if replayed:
        answers[int(HTTPStatus.OK)] = {"headers": REPLAYED}
    return {"summary": summary, "description": f"{told}\n\nScope: `{scope}`.", "responses": answers}


def with_body(name: str) -> dict[str, Any]:
    """Return what OpenAPI says of a body that is the schema ``name``."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {"requestBody": {"required": True, "content": content}}


async def in_time(work: Awaitable[Result], deadline_s: float | None = None) -> Result:
    """Wait for ``work``; past the deadline, by default ``DEADLINE_S``, it is given up.

    Raises:
        RefusedBodyError: With the code ``timeout``.
    """
    try:
        async with asyncio.timeout(DEADLINE_S if deadline_s is None else deadline_s):
            return await work
    except TimeoutError as exc:
        raise RefusedBodyError("timeout", "The request took too long. Send the same again.") from exc


async def in_thread(work: Callable[..., Result], *arguments: Any) -> Result:
    """Run ``work`` on a worker thread, within the deadline."""
    return await in_time(anyio.to_thread.run_sync(partial(work, *arguments), abandon_on_cancel=True))
