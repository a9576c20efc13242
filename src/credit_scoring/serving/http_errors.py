"""Every error as RFC 9457 ``application/problem+json``, without the values that were received."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import polars as pl
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from credit_scoring.core.errors import (
    ApplicationReusedError,
    CreditScoringError,
    InvalidApplicationError,
    RecordsError,
    UnknownApplicantError,
    UnknownDecisionError,
)
from credit_scoring.serving.request_ids import HEADER, request_id_of

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = "2"

logger = logging.getLogger(__name__)

_MOST_FAULTS = 50
_LONGEST_POINTER = 256
_UNEXPECTED = (
    ArithmeticError,
    AttributeError,
    CreditScoringError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
    Exception,
)
"""Named one by one, so that only what none of them covers reaches the server, which logs an error's whole text."""

_STATUS: Mapping[type[CreditScoringError], int] = {
    ApplicationReusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownApplicantError: HTTPStatus.NOT_FOUND,
    UnknownDecisionError: HTTPStatus.NOT_FOUND,
}
_DETAIL = {
    HTTPStatus.NOT_FOUND: "There is no such route. The routes are listed at /docs.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The route does not take this method. The header 'Allow' names those it takes.",
}
_WORDING = {
    "missing": "is required and absent",
    "extra_forbidden": "is not a known field",
    "int_type": "must be an integer",
    "int_parsing_size": "must be an integer of at most 2**53",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "list_type": "must be an array",
    "model_type": "must be an object",
    "dict_type": "must be an object",
}
"""Wording by Pydantic's code; its own messages are used where they name the rule alone, never the value."""

_RULE_ONLY = {
    "literal_error",
    "greater_than_equal",
    "less_than_equal",
    "string_too_short",
    "string_too_long",
    "value_error",
}


class Fault(BaseModel):
    """One fault of a body: where it is (JSON pointer, RFC 6901), its code, and what is expected there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """An error, as RFC 9457 words it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[Fault] | None = None


class RefusedBodyError(CreditScoringError):
    """A body that cannot be taken; ``status`` and ``code`` say why, ``faults`` where."""

    def __init__(self, status: int, code: str, detail: str, faults: Sequence[Fault] = ()) -> None:
        self.status = status
        self.code = code
        self.faults = tuple(faults)
        super().__init__(detail)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem."""
    for expected, handler in (
        (HTTPException, _http_exception),
        (RefusedBodyError, _refused_body),
        (InvalidApplicationError, _invalid_application),
        (RecordsError, _records),
        *((error, _known) for error in _STATUS),
        *((error, _unexpected) for error in _UNEXPECTED),
    ):
        app.add_exception_handler(expected, handler)  # type: ignore[arg-type]


def invalid_body(exc: ValidationError) -> RefusedBodyError:
    """Return a body's faults in our words; what was received is left out."""
    found = exc.errors(include_url=False, include_input=False, include_context=False)
    faults = [Fault(pointer=pointer(e["loc"]), code=e["type"], detail=_wording(e["type"], e["msg"])) for e in found]
    return _invalid(faults)


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the response that tells one error."""
    request_id = request_id_of(request)
    content = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        request_id=request_id,
        errors=list(faults) or None,
    )
    return JSONResponse(
        content.model_dump(exclude_none=True),
        status,
        headers={**(headers or {}), HEADER: request_id},
        media_type=PROBLEM_JSON,
    )


def pointer(location: Sequence[str | int]) -> str:
    """Return the JSON pointer of a place in a body; a made-up name in it is cut to a bearable length."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts)[:_LONGEST_POINTER]


def _invalid(faults: Sequence[Fault]) -> RefusedBodyError:
    detail = f"The body has {len(faults)} fault(s); 'errors' lists them. Correct them and send it again."
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return RefusedBodyError(status, InvalidApplicationError.code, detail, faults[:_MOST_FAULTS])


def _wording(code: str, message: str) -> str:
    if code in _RULE_ONLY:
        return message.removeprefix("Value error, ")
    return _WORDING.get(code, "is not valid")


def _http_exception(request: Request, exc: HTTPException) -> JSONResponse:
    status = HTTPStatus(exc.status_code)
    detail = _DETAIL.get(status, f"{status.description or status.phrase}.")
    return problem(request, status, status.name.lower(), detail, headers=exc.headers)


def _refused_body(request: Request, exc: RefusedBodyError) -> JSONResponse:
    return problem(request, exc.status, exc.code, str(exc), faults=exc.faults)


def _invalid_application(request: Request, exc: InvalidApplicationError) -> JSONResponse:
    return _refused_body(request, _invalid([Fault(pointer=exc.pointer, code=exc.fault, detail=str(exc))]))


def _known(request: Request, exc: CreditScoringError) -> JSONResponse:
    return problem(request, _STATUS[type(exc)], exc.code, str(exc))


def _records(request: Request, exc: RecordsError) -> JSONResponse:
    logger.error("records_unavailable request_id=%s: %s", request_id_of(request), exc)
    detail = "The records database does not answer, so nothing was decided. Send the same request again later."
    headers = {"Retry-After": RETRY_AFTER_S}
    return problem(request, HTTPStatus.SERVICE_UNAVAILABLE, exc.code, detail, headers=headers)


def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    # The error's text may quote an applicant's values, so the log says what broke and where, and no more.
    frames = traceback.extract_tb(exc.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    logger.error("request_failed request_id=%s error=%s at=%s", request_id_of(request), type(exc).__name__, where)
    detail = "The service failed; nothing was decided. Tell its operators the 'request_id'."
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of these statuses: a problem."""
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
