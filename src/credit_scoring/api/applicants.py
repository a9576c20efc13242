"""Applicants as they are kept, and what is told of each: facts with their times, and decisions over time."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from credit_scoring.api.decisions import Answer, DecidingModel, GivenReason, Json, Recommendation

MOST_EVENTS = 5_000
"""Most events of one request, of all tables together."""


class KeptApplicant(Answer):
    """What became of an applicant's fields."""

    applicant_id: str
    received_at: Annotated[datetime, Field(description="from then on, decisions are made of these fields")]
    created: Annotated[bool, Field(description="true when no fields of the applicant were there before")]


class KeptEvents(Answer):
    """What became of events."""

    stored: Annotated[int, Field(ge=0, description="events that are new")]
    copies: Annotated[int, Field(ge=0, description="events that were there already, and were not stored again")]
    received_at: Annotated[datetime, Field(description="from then on, decisions are made of these events")]


class ProfileDecision(Answer):
    """One decision on the applicant: the score, and what drove it."""

    decision_id: str
    application_id: str
    decided_at: datetime
    as_of: datetime
    points: int
    prob_default: float
    band: str
    recommendation: Recommendation
    model: DecidingModel
    reasons: tuple[GivenReason, ...]


class ProfileFields(Answer):
    """The fields that decisions are made of now; one that is absent is not known."""

    received_at: datetime
    received_from: Annotated[Literal["files", "api"], Field(description="what brought the fields that hold")]
    values: Json


class ProfileEvent(Answer):
    """One event; ``known_at`` is null where the table tells only when it occurred."""

    occurred_at: datetime
    known_at: datetime | None
    values: Json


class ProfileEvents(Answer):
    """Events of one table: how many there are, and the newest of them."""

    count: Annotated[int, Field(ge=0)]
    newest: tuple[ProfileEvent, ...]


class ApplicantProfile(Answer):
    """An applicant's risk over time, and the facts that the next decision is made of; no protected attribute."""

    applicant_id: str
    latest: Annotated[ProfileDecision | None, Field(description="the newest decision; null when there is none")]
    decisions: Annotated[tuple[ProfileDecision, ...], Field(description="a page of decisions, the newest first")]
    next: Annotated[str | None, Field(description="send it as 'cursor' for the next page; null on the last one")]
    fields: Annotated[ProfileFields | None, Field(description="null when no fields are stored")]
    events: Annotated[dict[str, ProfileEvents], Field(description="by table; one without an event is absent")]
