"""What the client raises.

CreditScoringClientError
├── UnusableArgumentError       what was given cannot be sent; nothing was
├── UnexpectedAnswerError       the answer is not what version 1 of the API answers
├── ServiceUnavailableError     no answer within the client's patience; ``problem`` is what was told last
└── ProblemError                the service refused; ``code`` says why
    ├── UnauthenticatedError    401: the key is not accepted
    ├── ForbiddenError          403: the key lacks the scope
    ├── NotFoundError           404: there is no such decision, model or route
    │   └── UnknownApplicantError   no facts of the applicant are stored, and none were sent
    ├── ReusedError             422: an application id or idempotency key came back with other content
    ├── ValidationProblemError  422: the body has faults; ``errors`` lists them
    └── RateLimitedError        429: ``retry_after_s`` says when the key may ask again

No message has a value that belongs to an applicant, and none has the key.
"""

from collections.abc import Mapping

from credit_scoring.api.problems import Fault, Problem

_FAULTS_TOLD = 5


class CreditScoringClientError(Exception):
    """Base of all errors of the client."""


class UnusableArgumentError(CreditScoringClientError, ValueError):
    """What was given cannot be sent, so nothing was."""


class UnexpectedAnswerError(CreditScoringClientError):
    """An answer came that is not one of version 1 of the API; ``request_id`` is what its operators look for."""

    def __init__(self, what: str, request_id: str) -> None:
        self.request_id = request_id
        super().__init__(f"{what} Check the address, and the versions of client and service (request {request_id}).")


class ProblemError(CreditScoringClientError):
    """The service refused a request.

    ``status``, ``code``, ``detail`` and ``request_id`` are the problem's, ``errors`` the faults of the body with their
    JSON pointers, none when it is not the body. ``retry_after_s`` is None where the service names no time.
    """

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        self.problem = problem
        self.status = problem.status
        self.code = problem.code
        self.detail = problem.detail
        self.request_id = problem.request_id
        self.errors: tuple[Fault, ...] = tuple(problem.errors or ())
        self.retry_after_s = retry_after_s
        super().__init__(self._told())

    def _told(self) -> str:
        shown = [f"{fault.pointer or '/'}: {fault.detail}" for fault in self.errors[:_FAULTS_TOLD]]
        more = len(self.errors) - len(shown)
        faults = "; ".join([*shown, f"and {more} more"] if more else shown)
        return f"{self.status} {self.code}: {self.detail} {faults}".rstrip() + f" (request {self.request_id})"


class UnauthenticatedError(ProblemError):
    """The key is unknown, expired or revoked."""


class ForbiddenError(ProblemError):
    """The key lacks the scope of the route."""


class NotFoundError(ProblemError):
    """There is no such decision, model or route, or it is another lender's."""


class UnknownApplicantError(NotFoundError):
    """No facts of the applicant are stored, and none were sent."""


class ReusedError(ProblemError):
    """An application id or idempotency key came back with other content than it came with first."""


class ValidationProblemError(ProblemError):
    """The body has faults; ``errors`` says where and which."""


class RateLimitedError(ProblemError):
    """The key asks the route more often than it may, and the wait is longer than the client's patience."""


class ServiceUnavailableError(CreditScoringClientError):
    """No answer came within the client's patience; sending the same again later is safe.

    ``attempts`` were made. ``problem`` is what the service told last, None when it did not answer at all.
    """

    def __init__(self, why: str, attempts: int, request_id: str, problem: ProblemError | None = None) -> None:
        self.attempts = attempts
        self.problem = problem
        self.request_id = request_id
        super().__init__(
            f"The service gave no answer in {attempts} attempt(s); the last one: {why}. "
            f"Send the same again later (request {request_id})."
        )


_BY_CODE: Mapping[str, type[ProblemError]] = {
    "unknown_applicant": UnknownApplicantError,
    "application_reused": ReusedError,
    "idempotency_key_reused": ReusedError,
}
_BY_STATUS: Mapping[int, type[ProblemError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    422: ValidationProblemError,
    429: RateLimitedError,
}


def problem_error(problem: Problem, retry_after_s: float | None = None) -> ProblemError:
    """Return the error that tells ``problem``."""
    kind = _BY_CODE.get(problem.code) or _BY_STATUS.get(problem.status, ProblemError)
    return kind(problem, retry_after_s)
