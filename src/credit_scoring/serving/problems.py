"""Which problem tells which error of ours, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil

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
from credit_scoring.serving.problem_codes import STATUS

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 2
"""Seconds after which something that does not answer is asked again."""

MOST_FAULTS = 50

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
