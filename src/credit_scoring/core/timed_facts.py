"""What is known of one applicant, with when it came to be known: for people, who judge a decision by it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from credit_scoring.core.facts import Value


@dataclass(frozen=True, slots=True)
class TimedFields:
    """The fields that hold, when they were loaded or received, and from where."""

    values: Mapping[str, Value]
    received_at: datetime
    received_from: Literal["files", "api"]


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """One event; ``known_at`` is None where the table tells only when it occurred."""

    occurred_at: datetime
    known_at: datetime | None
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class TimedEvents:
    """How many events of a table there are, and the newest of them, the newest first."""

    count: int
    newest: tuple[TimedEvent, ...]


@dataclass(frozen=True, slots=True)
class TimedFacts:
    """Fields (None where nobody brought them) and events by table; a table without an event is absent."""

    fields: TimedFields | None = None
    events: Mapping[str, TimedEvents] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known."""
        return self.fields is None and not self.events
