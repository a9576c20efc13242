"""Reads a request's JSON body: of bearable size, of the right type, and checked by its model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from credit_scoring.api.decisions import Json
from credit_scoring.api.problems import Fault
from credit_scoring.core.errors import InvalidApplicationError
from credit_scoring.serving.http_errors import invalid_body
from credit_scoring.serving.problems import RefusedBodyError

LARGEST_BODY_BYTES = 2**20
LARGEST_EVENTS_BYTES = 4 * 2**20
LARGEST_BATCH_BYTES = 32 * 2**20

SLOWEST_BODY_S = 30.0
"""How long a body may take to arrive."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class CheckedBody(Generic[Model]):
    """A body as its model, and as it was received."""

    body: Model
    received: Json


async def read_body(
    request: Request, model: type[Model], code: str = InvalidApplicationError.code
) -> CheckedBody[Model]:
    """Return the checked body of ``request``; faults are told under ``code``.

    Raises:
        RefusedBodyError: If it is too large, not JSON, or not what ``model`` takes.
    """
    return checked(await content_of(request, LARGEST_BODY_BYTES), model, code)


def checked(content: bytes, model: type[Model], code: str) -> CheckedBody[Model]:
    """Return a checked body; faults are told under ``code``.

    Raises:
        RefusedBodyError: If it is not JSON, or not what ``model`` takes.
    """
    received = parsed(content)
    try:
        return CheckedBody(model.model_validate_json(content), received)
    except ValidationError as exc:
        raise invalid_body(exc, code) from exc


async def content_of(request: Request, largest_bytes: int) -> bytes:
    """Return a JSON body as it came, no more of it than may be sent, whatever length was announced.

    Raises:
        RefusedBodyError: If it is too large or announced as something else.
    """
    _require_json(request.headers)
    content = bytearray()
    try:
        with anyio.fail_after(SLOWEST_BODY_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > largest_bytes:
                    told = f"The body is larger than {largest_bytes:,} bytes. Send less at once."
                    raise RefusedBodyError("body_too_large", told)
    except TimeoutError as exc:
        told = f"The body did not arrive within {SLOWEST_BODY_S:g} seconds. Send it again, or less at once."
        raise RefusedBodyError("body_too_slow", told) from exc
    except ClientDisconnect as exc:
        raise RefusedBodyError("incomplete_body", "The connection ended before the body did. Send it whole.") from exc
    return bytes(content)


def parsed(content: bytes) -> Json:
    """Return a body as JSON.

    Raises:
        RefusedBodyError: If it is not JSON in UTF-8, nests too deep, or names a field twice.
    """
    try:
        from_json(content)  # bounds nesting and the length of numbers, and refuses lone surrogates
        found: Json = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as exc:
        repeated = isinstance(exc, _RepeatedFieldError)
        code, detail = ("repeated_field", str(exc)) if repeated else ("malformed_json", "is not JSON in UTF-8")
        told = f"The body {detail}. Send one JSON object that names each field once."
        raise RefusedBodyError(code, told, [Fault(pointer="", code=code, detail=detail)]) from exc
    return found


class _RepeatedFieldError(ValueError):
    """A JSON object that names a field twice: readers differ in which one they take."""


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedFieldError("names a field twice in one object")
    return found


def _require_json(headers: Mapping[str, str]) -> None:
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusedBodyError(
            "unsupported_media_type", "The body is compressed, which is not taken. Send it as it is."
        )
    kind, _, options = headers.get("content-type", "").partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise RefusedBodyError(
            "unsupported_media_type",
            "The body's type is not JSON in UTF-8. Send the header 'Content-Type: application/json'.",
        )
