"""Reads a request's JSON body: of bearable size, of the right type, and checked by its model."""

import asyncio
import json
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.types import Scope

from credit_scoring.api.decisions import Json
from credit_scoring.api.problems import Fault
from credit_scoring.core.errors import InvalidApplicationError
from credit_scoring.serving.headers import header_of
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
    _require_json(request.scope)
    content = bytearray()
    try:
        async with asyncio.timeout(SLOWEST_BODY_S):
            while await _is_more(request, content):
                _require_bearable(content, largest_bytes)
    except TimeoutError as exc:
        told = f"The body did not arrive within {SLOWEST_BODY_S:g} seconds. Send it again, or less at once."
        raise RefusedBodyError("body_too_slow", told) from exc
    _require_bearable(content, largest_bytes)
    return bytes(content)


async def _is_more(request: Request, content: bytearray) -> bool:
    """Add the next part of a body to ``content``; return whether more will come."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise RefusedBodyError("incomplete_body", "The connection ended before the body did. Send it whole.")
    content += message.get("body", b"")
    return bool(message.get("more_body", False))


def _require_bearable(content: bytearray, largest_bytes: int) -> None:
    if len(content) > largest_bytes:
        told = f"The body is larger than {largest_bytes:,} bytes. Send less at once."
        raise RefusedBodyError("body_too_large", told)


def parsed(content: bytes) -> Json:
    """Return a body as JSON.

    Raises:
        RefusedBodyError: If it is not JSON in UTF-8, nests too deep, or names a field twice.
    """
    try:
        found: Json = from_json(content)  # bounds nesting and the length of numbers, and refuses lone surrogates
        if not _names_each_once(content, found):
            json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as exc:
        repeated = isinstance(exc, _RepeatedFieldError)
        code, detail = ("repeated_field", str(exc)) if repeated else ("malformed_json", "is not JSON in UTF-8")
        told = f"The body {detail}. Send one JSON object that names each field once."
        raise RefusedBodyError(code, told, [Fault(pointer="", code=code, detail=detail)]) from exc
    return found


def _names_each_once(content: bytes, found: Json) -> bool:
    """Return whether it is certain that no object of a body names a field twice; False where it has to be looked at.

    Without escapes every colon of the body either follows a name or stands in a text, and so does every colon of what
    was read written out again. A name that came twice was read once, so the second count is the smaller one then.
    """
    if b"\\" in content:
        return False
    try:
        return orjson.dumps(found).count(b":") == content.count(b":")
    except orjson.JSONEncodeError:  # integers of more than 64 bits
        return False


class _RepeatedFieldError(ValueError):
    """A JSON object that names a field twice: readers differ in which one they take."""


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedFieldError("names a field twice in one object")
    return found


def _require_json(scope: Scope) -> None:
    sent = header_of(scope, b"content-type")
    if sent == "application/json" and header_of(scope, b"content-encoding") is None:
        return  # what nearly everybody sends
    if (header_of(scope, b"content-encoding") or "identity").strip().lower() != "identity":
        raise RefusedBodyError(
            "unsupported_media_type", "The body is compressed, which is not taken. Send it as it is."
        )
    kind, _, options = (sent or "").partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise RefusedBodyError(
            "unsupported_media_type",
            "The body's type is not JSON in UTF-8. Send the header 'Content-Type: application/json'.",
        )
