"""What is known of one applicant: fields and events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from credit_scoring.core.portfolio import Column

Value = float | str | None
"""A declared column's value: a number, a category, a date as ISO 8601 text, or None where it is not known."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of an event table; ``event_number`` orders events of one moment, as they were received.

    ``known_at`` is None where the table does not declare it: the event is then known from when it occurred.
    """

    occurred_at: datetime
    event_number: int
    values: Mapping[str, Value]
    known_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Application fields and events by table; a table that is absent is unknown, an empty one holds no event."""

    fields: Mapping[str, Value]
    events: Mapping[str, Sequence[Event]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """An applicant's facts as they are stored, and the revision that names their state.

    ``revision`` changes with every load, push or PUT that touches the applicant. It is never newer than the facts: what
    was computed from them and kept under it is out of date by it as soon as newer facts are there.
    """

    facts: Facts
    revision: str


def moment_of(text: str) -> datetime:
    """Return a date, or date and time, in ISO 8601 as a moment; it is in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def typed(value: Value, column: Column) -> Value | datetime:
    """Return a value as a frame holds it: a date as a moment."""
    return moment_of(str(value)) if column.type == "date" and value is not None else value
