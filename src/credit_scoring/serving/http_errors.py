"""Every error as RFC 9457 ``application/problem+json``, without the values that were received."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import polars as pl
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match

from credit_scoring.api.problems import Fault
from credit_scoring.core.errors import CreditScoringError, InvalidApplicationError
from credit_scoring.serving.problems import INTERNAL, PROBLEM_JSON, RefusedBodyError, Told, invalid, told_of
from credit_scoring.serving.request_ids import HEADER, request_id_of

logger = logging.getLogger(__name__)

_LONGEST_POINTER = 256
_UNEXPECTED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
    Exception,
)
"""Named one by one, so that only what none of them covers reaches the server, which logs an error's whole text."""

_DETAIL = {
    HTTPStatus.NOT_FOUND: "There is no such route. The routes are listed at /docs.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The route does not take this method. The header 'Allow' names those it takes.",
}
_WORDING = {
    "missing": "is required and absent",
    "extra_forbidden": "is not a known field",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer, written without a decimal point",
    "int_parsing": "must be an integer",
    "int_parsing_size": "must be an integer of at most 2**53",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "list_type": "must be an array",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "string_pattern_mismatch": "has characters that it may not have",
}
"""Wording by Pydantic's code; its own messages are used where they name the rule alone, never the value."""

_RULE_ONLY = {
    "literal_error",
    "greater_than",
    "greater_than_equal",
    "less_than_equal",
    "string_too_short",
    "string_too_long",
    "too_long",
    "too_short",
    "value_error",
}


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem."""
    app.add_exception_handler(HTTPException, http_problem)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _invalid_parameters)  # type: ignore[arg-type]
    app.add_exception_handler(CreditScoringError, _known)  # type: ignore[arg-type]
    for error in _UNEXPECTED:
        app.add_exception_handler(error, _unexpected)


def invalid_body(exc: ValidationError, code: str = InvalidApplicationError.code) -> RefusedBodyError:
    """Return a body's faults in our words; what was received is left out."""
    return invalid(faults_of(exc), code)


def faults_of(exc: ValidationError) -> list[Fault]:
    """Return the faults that Pydantic found, in our words and without what was received."""
    found = exc.errors(include_url=False, include_input=False, include_context=False)
    return [Fault(pointer=pointer(e["loc"]), code=e["type"], detail=_wording(e["type"], e["msg"])) for e in found]


def problem(request: Request, told: Told) -> JSONResponse:
    """Return the response that tells one error."""
    request_id = request_id_of(request)
    return JSONResponse(
        told.problem(request_id).model_dump(exclude_none=True),
        told.status,
        headers={**told.all_headers, **limit_headers(request), HEADER: request_id},
        media_type=PROBLEM_JSON,
    )


def answer(request: Request, content: BaseModel, status: int = HTTPStatus.OK) -> JSONResponse:
    """Return the response that answers ``request``."""
    return _Ready(content.model_dump_json().encode(), status, limit_headers(request))


def limit_headers(request: Request) -> Mapping[str, str]:
    """Return what the caller is told of its rate limit."""
    told: Mapping[str, str] = request.scope["state"].get("rate_limit_headers", {})
    return told


def pointer(location: Sequence[str | int]) -> str:
    """Return the JSON pointer of a place in a body; a made-up name in it is cut to a bearable length."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts)[:_LONGEST_POINTER]


class _Ready(JSONResponse):
    """JSON that is written already, under headers that need no look."""

    def __init__(self, content: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.status_code, self.background, self.body = status, None, content
        told = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        length = str(len(content)).encode("ascii")
        self.raw_headers = [(b"content-length", length), (b"content-type", b"application/json"), *told]


def _wording(code: str, message: str) -> str:
    if code in _RULE_ONLY:
        return message.removeprefix("Value error, ")
    return _WORDING.get(code, "is not valid")


def http_problem(request: Request, exc: HTTPException) -> JSONResponse:
    """Return the response that tells what the router refused."""
    status = HTTPStatus(exc.status_code)
    detail = _DETAIL.get(status, f"{status.description or status.phrase}.")
    headers = dict(exc.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_of(request))
    return problem(request, Told(status.name.lower(), detail, headers=headers))


def _methods_of(request: Request) -> list[str]:
    """Methods of all routes of the path; the router names those of the first alone."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()} - {"HEAD"})


def _invalid_parameters(request: Request, exc: RequestValidationError) -> JSONResponse:
    told = ", ".join(f"'{error['loc'][-1]}' {_wording(error['type'], error['msg'])}" for error in exc.errors())
    where = "header" if all(error["loc"][0] == "header" for error in exc.errors()) else "address"
    return problem(request, Told("invalid_parameter", f"{told}. Correct the {where} and send it again."))


def _known(request: Request, exc: CreditScoringError) -> JSONResponse:
    told = told_of(exc)
    if told.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s request_id=%s: %s", told.code, request_id_of(request), exc)
    return problem(request, told)


def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    # The error's text may quote an applicant's values, so the log says what broke and where, and no more.
    frames = traceback.extract_tb(exc.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    logger.error("request_failed request_id=%s error=%s at=%s", request_id_of(request), type(exc).__name__, where)
    return problem(request, INTERNAL)
