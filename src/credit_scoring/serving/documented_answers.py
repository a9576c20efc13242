"""What OpenAPI says of answers: problems by status, and the headers of answers and requests."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from credit_scoring.api.problems import Problem
from credit_scoring.serving.problem_codes import CODES
from credit_scoring.serving.problems import PROBLEM_JSON

OpenApi = dict[str, Any]

_A_REQUEST = "5c0d9e8f7a6b4c3d2e1f0a9b8c7d6e5f"
_RETRIED_LATER = {
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


def _header(description: str, example: Any) -> OpenApi:
    kind = "integer" if isinstance(example, int) else "string"
    schema = {"type": kind} | ({"minimum": 0} if kind == "integer" else {})
    return {"description": description, "schema": schema, "example": example}


HEADERS: Mapping[str, OpenApi] = {
    "X-Request-ID": _header("id of the request: the one that was sent, or a new one", _A_REQUEST),
    "RateLimit-Limit": _header("requests that the caller may send within the window; absent without a limit", 600),
    "RateLimit-Remaining": _header("requests that are left of them", 599),
    "RateLimit-Reset": _header("seconds until the window is over", 60),
    "RateLimit-Policy": _header("the limit and its window in seconds", "600;w=60"),
    "Retry-After": _header("seconds after which the same request may be sent again", 2),
    "Idempotent-Replayed": _header("'true' when this is the answer that was given before", "true"),
    "WWW-Authenticate": _header("how to bring a key or token", "Bearer"),
    "Allow": _header("methods that the route takes", "GET"),
}
"""Headers of answers, by name; each stands once in the document's components."""

_OF_EVERY_ANSWER = ("X-Request-ID", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "RateLimit-Policy")
REPLAYED: OpenApi = {"Idempotent-Replayed": {"$ref": "#/components/headers/Idempotent-Replayed"}}
"""Header of the answers of a request that may be repeated."""

REQUEST_HEADERS: Sequence[OpenApi] = tuple(
    {"name": name, "in": "header", "required": False, "description": told, "schema": {"type": "string"}, "example": one}
    for name, told, one in (
        (
            "X-Request-ID",
            "names the request in answers, records and logs: 1 to 128 visible ASCII characters; without it, or with "
            "other ones, a new id is made",
            _A_REQUEST,
        ),
        (
            "traceparent",
            "trace that the request belongs to (W3C Trace Context); one that is malformed is passed over",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    )
)
"""Headers that every route takes."""


def headers_of(status: str) -> OpenApi:
    """Return the headers of an answer with this status, as references."""
    names = list(_OF_EVERY_ANSWER)
    if status == str(int(HTTPStatus.UNAUTHORIZED)):
        names.append("WWW-Authenticate")
    if status == str(int(HTTPStatus.METHOD_NOT_ALLOWED)):
        names.append("Allow")
    if int(status) in _RETRIED_LATER:
        names.append("Retry-After")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def responses(*codes: str) -> dict[int | str, OpenApi]:
    """Return what OpenAPI says of these problem codes, by status."""
    by_status: dict[HTTPStatus, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(CODES[code].status, []).append(code)
    return {int(status): _answer(status, found) for status, found in by_status.items()}


def _answer(status: HTTPStatus, codes: Sequence[str]) -> OpenApi:
    problem = {"$ref": "#/components/schemas/Problem"}
    code = {"type": "string", "description": "which problem it is", "enum": list(codes)}
    lines = "\n".join(f"- `{name}`: {CODES[name].told}" for name in codes)
    return {
        "description": f"{status.phrase}\n\n{lines}",
        "content": {
            PROBLEM_JSON: {
                "schema": {"allOf": [problem, {"type": "object", "properties": {"code": code}}]},
                "examples": {name: _example(name) for name in codes},
            }
        },
    }


def _example(code: str) -> OpenApi:
    told = CODES[code]
    problem = Problem(title=told.status.phrase, status=told.status, code=code, detail=told.told, request_id=_A_REQUEST)
    return {"summary": told.meaning, "value": problem.model_dump(exclude_none=True)}
