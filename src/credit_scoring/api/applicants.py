"""Applicants as they are kept, and what is told of each: facts with their times, and decisions over time."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from credit_scoring.api.decisions import (
    Answer,
    ApplicantId,
    ApplicationId,
    AsOf,
    Band,
    DecidedAt,
    DecidingModel,
    DecisionId,
    GivenReason,
    Json,
    Next,
    Points,
    ProbDefault,
    Recommended,
)
from credit_scoring.api.fields import told

_FIELDS = {"limit_twd": 90000, "education": "university"}
_EVENT = {"repayment_status": 0, "bill_twd": 40000, "paid_twd": 2000}

MOST_EVENTS = 5_000
"""Most events of one request, of all tables together."""


class KeptApplicant(Answer):
    """What became of an applicant's fields."""

    applicant_id: ApplicantId
    received_at: Annotated[datetime, told("from then on, decisions are made of these fields", "2005-10-01T00:00:00Z")]
    created: Annotated[bool, told("true when no fields of the applicant were there before", True)]


class KeptEvents(Answer):
    """What became of events."""

    stored: Annotated[int, Field(ge=0, description="events that are new", examples=[6])]
    copies: Annotated[
        int, Field(ge=0, description="events that were there already, and were not stored again", examples=[0])
    ]
    received_at: Annotated[datetime, told("from then on, decisions are made of these events", "2005-10-01T00:00:00Z")]


class ProfileDecision(Answer):
    """One decision on the applicant: the score, and what drove it."""

    decision_id: DecisionId
    application_id: ApplicationId
    decided_at: DecidedAt
    as_of: AsOf
    points: Points
    prob_default: ProbDefault
    band: Band
    recommendation: Recommended
    model: Annotated[DecidingModel, Field(description="the model that decided")]
    reasons: Annotated[tuple[GivenReason, ...], Field(description="what cost points, most first")]


class ProfileFields(Answer):
    """The fields that decisions are made of now; one that is absent is not known."""

    received_at: Annotated[datetime, told("when they were received", "2005-10-01T00:00:00Z")]
    received_from: Annotated[Literal["files", "api"], told("what brought the fields that hold", "api")]
    values: Annotated[Json, told("by column", _FIELDS)]


class ProfileEvent(Answer):
    """One event; ``known_at`` is null where the table tells only when it occurred."""

    occurred_at: Annotated[datetime, told("when it occurred", "2005-09-30T00:00:00Z")]
    known_at: Annotated[
        datetime | None,
        told("when the lender came to know of it; null where only its occurrence is told", "2005-09-30T00:00:00Z"),
    ]
    values: Annotated[Json, told("by column", _EVENT)]


class ProfileEvents(Answer):
    """Events of one table: how many there are, and the newest of them."""

    count: Annotated[int, Field(ge=0, description="how many there are", examples=[6])]
    newest: Annotated[tuple[ProfileEvent, ...], Field(description="the newest of them, the newest first")]


class ApplicantProfile(Answer):
    """An applicant's risk over time, and the facts that the next decision is made of; no protected attribute."""

    applicant_id: ApplicantId
    latest: Annotated[ProfileDecision | None, Field(description="the newest decision; null when there is none")]
    decisions: Annotated[tuple[ProfileDecision, ...], Field(description="a page of decisions, the newest first")]
    next: Next
    fields: Annotated[ProfileFields | None, Field(description="null when no fields are stored")]
    events: Annotated[dict[str, ProfileEvents], Field(description="by table; one without an event is absent")]
