"""A call from its first attempt to its answer, without any I/O: both clients do what it asks for."""

import logging
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeAlias, TypeVar
from uuid import uuid4

import httpx

from credit_scoring.client.answers import REQUEST_ID, read_problem, require_success
from credit_scoring.client.calls import Call
from credit_scoring.client.errors import (
    CreditScoringClientError,
    ProblemError,
    ServiceUnavailableError,
    problem_error,
)
from credit_scoring.client.patience import Patience, http_date, retry_after_s

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_LEAST_TIMEOUT_S = 0.05

_MAY_PASS = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
"""Failures of a connection that another one need not have."""

_UNAVAILABLE = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the client has from outside: a clock that never goes back, the time of day, chance, and ids.

    ``new_id`` gives the ``X-Request-ID`` of a call, such as one that the program has for what it does; ``new_key`` the
    ``Idempotency-Key`` of a POST, which no other call may have.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    draw: Callable[[], float] = random.random
    new_id: Callable[[], str] = lambda: uuid4().hex
    new_key: Callable[[], str] = lambda: uuid4().hex


SURROUNDINGS = Surroundings()
"""Those of this process."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send this; tell the response, or the error instead of one."""

    method: str
    path: str
    timeout_s: float
    headers: dict[str, str]
    params: dict[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return what ``client`` sends."""
        return client.build_request(
            self.method,
            self.path,
            params=self.params or None,
            content=self.content,
            headers=self.headers,
            timeout=self.timeout_s,
        )


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this long; tell nothing."""

    seconds: float


Outcome: TypeAlias = httpx.Response | httpx.RequestError | None
Conversation: TypeAlias = Generator[Attempt | Pause, Outcome, Result]


@dataclass(frozen=True, slots=True)
class _Failure:
    """An attempt that gave no answer: whether another one may, and what is raised if there is none."""

    why: str
    may_pass: bool
    problem: ProblemError | None = None
    cause: httpx.RequestError | None = None

    @property
    def retry_after_s(self) -> float | None:
        return self.problem.retry_after_s if self.problem else None

    def error(self, attempts: int, request_id: str) -> CreditScoringClientError:
        if self.problem is not None and self.problem.status not in _UNAVAILABLE:
            return self.problem
        return ServiceUnavailableError(self.why, attempts, request_id, self.problem)


def conversation(call: Call[Result], patience: Patience, surroundings: Surroundings) -> Conversation[Result]:
    """Ask for attempts and pauses until ``call`` is answered, and return its answer.

    All attempts are one request with one body, so that the service does it once. Their ids begin alike: the call's
    own, from the second attempt on with its number behind it.

    Raises:
        CreditScoringClientError: If it is refused, or not answered within ``patience``.
    """
    patience = patience.longer_by(call.longer_s)
    began_s, call_id, number = surroundings.monotonic(), surroundings.new_id(), 1
    while True:
        left_s = patience.deadline_s - (surroundings.monotonic() - began_s)
        outcome = yield _attempt(call, _attempt_id(call_id, number), min(patience.timeout_s, left_s))
        found = _judged(outcome, surroundings.now)
        if not isinstance(found, _Failure):
            return call.read(found)
        elapsed_s = surroundings.monotonic() - began_s
        wait_s = (
            patience.wait_s(number, elapsed_s, surroundings.draw(), found.retry_after_s) if found.may_pass else None
        )
        if wait_s is None:
            raise found.error(number, call_id) from found.cause
        logger.info("retry request_id=%s attempt=%d wait_s=%.2f after=%s", call_id, number, wait_s, found.why)
        yield Pause(wait_s)
        number += 1


def _attempt_id(call_id: str, number: int) -> str:
    return call_id if number == 1 else f"{call_id}-{number}"


def _attempt(call: Call[Result], request_id: str, timeout_s: float) -> Attempt:
    own = {REQUEST_ID: request_id} | ({} if call.content is None else {"Content-Type": "application/json"})
    headers = own | dict(call.headers)
    timeout_s = max(timeout_s, _LEAST_TIMEOUT_S)
    return Attempt(call.method, call.path, timeout_s, headers, dict(call.params), call.content)


def _judged(outcome: Outcome, now: Callable[[], datetime]) -> httpx.Response | _Failure:
    """Return the response if it is an answer, and else what failed."""
    if not isinstance(outcome, httpx.Response):
        return _Failure(type(outcome).__name__, isinstance(outcome, _MAY_PASS), cause=outcome)
    if not outcome.is_error:
        require_success(outcome)
        return outcome
    # The service's own clock where it tells it: a date is of use only beside the clock that it was read from.
    moment = http_date(outcome.headers.get("Date")) or now()
    problem = problem_error(read_problem(outcome), retry_after_s(outcome.headers.get("Retry-After"), moment))
    in_progress = problem.code == "request_in_progress"
    may_pass = in_progress or problem.status in _UNAVAILABLE or problem.status == HTTPStatus.TOO_MANY_REQUESTS
    return _Failure(f"{problem.status} {problem.code}", may_pass, problem)
