"""Reads a request's JSON body: of bearable size, of the right type, and checked by its model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from credit_scoring.core.records import Json
from credit_scoring.serving.http_errors import Fault, RefusedBodyError, invalid_body

LARGEST_BODY_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class CheckedBody:
    """A body as its model, and as it was received."""

    body: BaseModel
    received: Json


async def read_body(request: Request, model: type[BaseModel]) -> CheckedBody:
    """Return the checked body of ``request``.

    Raises:
        RefusedBodyError: If it is too large, not JSON, or not what ``model`` takes.
    """
    _require_json(request.headers)
    content = await _limited(request)
    received = _parsed(content)
    try:
        return CheckedBody(model.model_validate_json(content), received)
    except ValidationError as exc:
        raise invalid_body(exc) from exc


def _parsed(content: bytes) -> Json:
    try:
        from_json(content)  # bounds nesting and the length of numbers, and refuses lone surrogates
        found: Json = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as exc:
        repeated = isinstance(exc, _RepeatedFieldError)
        code, detail = ("repeated_field", str(exc)) if repeated else ("malformed_json", "is not JSON in UTF-8")
        told = f"The body {detail}. Send one JSON object that names each field once."
        fault = Fault(pointer="", code=code, detail=detail)
        raise RefusedBodyError(HTTPStatus.UNPROCESSABLE_ENTITY, code, told, [fault]) from exc
    return found


class _RepeatedFieldError(ValueError):
    """A JSON object that names a field twice: readers differ in which one they take."""


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedFieldError("names a field twice in one object")
    return found


def _require_json(headers: Mapping[str, str]) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedBodyError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body's type is not JSON. Send the header 'Content-Type: application/json'.",
        )


async def _limited(request: Request) -> bytes:
    """Read no more than may be sent, whatever length was announced."""
    content = bytearray()
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_BODY_BYTES:
                raise RefusedBodyError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    "body_too_large",
                    f"The body is larger than {LARGEST_BODY_BYTES:,} bytes. Send fewer events.",
                )
    except ClientDisconnect as exc:
        raise RefusedBodyError(
            HTTPStatus.BAD_REQUEST, "incomplete_body", "The connection ended before the body did. Send it whole."
        ) from exc
    return bytes(content)
