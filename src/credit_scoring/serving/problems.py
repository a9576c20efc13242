"""Which problem tells which error: every code with its status, and an error of ours as the problem that tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil
from typing import Any

from credit_scoring.api.problems import Fault, Problem
from credit_scoring.core.errors import (
    BundleError,
    CreditScoringError,
    InvalidApplicationError,
    IssuerUnavailableError,
    RateLimitedError,
    RecordsError,
    RegistryError,
)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 2
"""Seconds after which something that does not answer is asked again."""

MOST_FAULTS = 50

STATUS: Mapping[str, HTTPStatus] = {
    "incomplete_body": HTTPStatus.BAD_REQUEST,
    "body_too_slow": HTTPStatus.REQUEST_TIMEOUT,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "unknown_applicant": HTTPStatus.NOT_FOUND,
    "unknown_decision": HTTPStatus.NOT_FOUND,
    "unknown_model": HTTPStatus.NOT_FOUND,
    "no_roles": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "request_in_progress": HTTPStatus.CONFLICT,
    "contradicting_events": HTTPStatus.CONFLICT,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "malformed_json": HTTPStatus.UNPROCESSABLE_ENTITY,
    "repeated_field": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_application": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_body": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_parameter": HTTPStatus.UNPROCESSABLE_ENTITY,
    "application_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "records_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "bundle_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "issuer_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_ready": HTTPStatus.SERVICE_UNAVAILABLE,
    "timeout": HTTPStatus.GATEWAY_TIMEOUT,
}
"""Every code that the service answers with."""

_RETRIED_LATER = {HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_NOT_RETRIED = {"contradicting_events"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of an error, before it is known of which request."""

    code: str
    detail: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> HTTPStatus:
        """The status that goes with the code."""
        return STATUS[self.code]

    def problem(self, request_id: str) -> Problem:
        """Return the problem as the request ``request_id`` is answered."""
        return Problem(
            title=self.status.phrase,
            status=self.status,
            code=self.code,
            detail=self.detail,
            request_id=request_id,
            errors=list(self.faults) or None,
        )

    @property
    def all_headers(self) -> dict[str, str]:
        """Headers with those that go with the status."""
        added: dict[str, str] = {}
        if self.status == HTTPStatus.UNAUTHORIZED:
            added["WWW-Authenticate"] = "Bearer"
        if self.status in _RETRIED_LATER and self.code not in _NOT_RETRIED:
            added["Retry-After"] = str(RETRY_AFTER_S)
        return added | dict(self.headers)


class RefusedBodyError(CreditScoringError):
    """A request that cannot be taken; ``code`` says why, ``faults`` where."""

    def __init__(self, code: str, detail: str, faults: Sequence[Fault] = ()) -> None:
        self.code = code
        self.faults = tuple(faults)
        super().__init__(detail)


def invalid(faults: Sequence[Fault], code: str = InvalidApplicationError.code) -> RefusedBodyError:
    """Return the refusal of a body with these faults."""
    detail = f"The body has {len(faults)} fault(s); 'errors' lists them. Correct them and send it again."
    return RefusedBodyError(code, detail, faults[:MOST_FAULTS])


_IN_OTHER_WORDS: Mapping[type[CreditScoringError], tuple[str, str]] = {
    RecordsError: (
        "records_unavailable",
        "The records database does not answer, so nothing was done. Send the same request again later.",
    ),
    RegistryError: ("bundle_unavailable", "A model bundle that this needs cannot be fetched now. Try again later."),
    BundleError: ("bundle_unavailable", "A model bundle that this needs cannot be used here. Tell the operators."),
}
"""Errors whose own words are for operators."""

INTERNAL = Told("internal_error", "The service failed; nothing was done. Tell its operators the 'request_id'.")


def told_of(error: CreditScoringError) -> Told:
    """Return what a caller is told of ``error``; what is our own business is told as an internal error."""
    if isinstance(error, InvalidApplicationError):
        error = invalid([Fault(pointer=error.pointer, code=error.fault, detail=str(error))])
    if type(error) in _IN_OTHER_WORDS:
        return Told(*_IN_OTHER_WORDS[type(error)])
    if error.code not in STATUS:
        return INTERNAL
    faults = error.faults if isinstance(error, RefusedBodyError) else ()
    return Told(error.code, str(error), faults, _retry_after(error))


def _retry_after(error: CreditScoringError) -> dict[str, str]:
    """When to come again, where the error knows it."""
    if isinstance(error, RateLimitedError | IssuerUnavailableError):
        return {"Retry-After": str(ceil(error.retry_after_s))}
    return {}


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of these problem codes, by status."""
    by_status: dict[HTTPStatus, list[str]] = {}
    for code in codes:
        by_status.setdefault(STATUS[code], []).append(code)
    problem = {"$ref": "#/components/schemas/Problem"}
    return {
        int(status): {
            "description": f"{status.phrase}: {', '.join(f'`{code}`' for code in found)}",
            "content": {
                PROBLEM_JSON: {
                    "schema": {"allOf": [problem, {"type": "object", "properties": {"code": {"enum": found}}}]}
                }
            },
        }
        for status, found in by_status.items()
    }
