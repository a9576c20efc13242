"""The typed client of the decision service, for blocking and for ``async`` code; it needs httpx and Pydantic alone."""

from credit_scoring.api.batches import BatchResult, BatchResults
from credit_scoring.api.decisions import Decision, RecordedDecision
from credit_scoring.client.asynchronous import AsyncCreditScoringClient
from credit_scoring.client.blocking import CreditScoringClient
from credit_scoring.client.bodies import Application, Events, Fields
from credit_scoring.client.conversation import Surroundings
from credit_scoring.client.errors import (
    CreditScoringClientError,
    ForbiddenError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    ReusedError,
    ServiceUnavailableError,
    UnauthenticatedError,
    UnexpectedAnswerError,
    UnknownApplicantError,
    UnusableArgumentError,
    ValidationProblemError,
)
from credit_scoring.client.patience import Patience

__all__ = [
    "Application",
    "AsyncCreditScoringClient",
    "BatchResult",
    "BatchResults",
    "CreditScoringClient",
    "CreditScoringClientError",
    "Decision",
    "Events",
    "Fields",
    "ForbiddenError",
    "NotFoundError",
    "Patience",
    "ProblemError",
    "RateLimitedError",
    "RecordedDecision",
    "ReusedError",
    "ServiceUnavailableError",
    "Surroundings",
    "UnauthenticatedError",
    "UnexpectedAnswerError",
    "UnknownApplicantError",
    "UnusableArgumentError",
    "ValidationProblemError",
]
