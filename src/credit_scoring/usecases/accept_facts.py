"""Accepts facts that a lender's system sends of one applicant: checked rows, stored once, and their sender is told."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from credit_scoring.core.facts import Value, moment_of
from credit_scoring.core.owners import Applicant
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.pushed import LONGEST_ID, Message, PushedEvent, date_as_text
from credit_scoring.ports import EventInbox, PushedApplicants

SOURCE = "api"
"""Where such events come from, as a stream's name tells it of others."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SentEvent:
    """A row of an event table that met its contract.

    ``event_id`` is the value of the table's declared ``id``, None where it declares none; ``known_at`` None where the
    row does not tell it. Dates among ``values`` are ISO 8601 text.
    """

    occurred_at: datetime
    values: Mapping[str, Value]
    known_at: datetime | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptedEvents:
    """What became of sent events: how many were stored, how many were there already, and which contradict others.

    ``contradictions`` are table and place, from 0, of events that contradict one of their id that came first; where
    there are any, nothing is stored.
    """

    stored: int
    copies: int
    contradictions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class FactsIntake:
    """Takes facts of applicants; they count from the next decision.

    ``declared`` are the declarations under which rows were checked: a table or column of any of them may be sent.
    """

    declared: Sequence[Portfolio]
    applicants: PushedApplicants
    inbox: EventInbox

    def put(self, applicant: Applicant, fields: Mapping[str, Value], received_at: datetime) -> bool:
        """Replace an applicant's fields, durable when this returns; return whether nothing was known of him before.

        Raises:
            RecordsError: If they cannot be stored; nothing is changed then.
        """
        stored = _stored(fields, [portfolio.application_columns for portfolio in self.declared])
        return self.applicants.put_applicant(applicant.owner, applicant.applicant_id, stored, received_at)

    def add(
        self, applicant: Applicant, sent: Mapping[str, Sequence[SentEvent]], sender: str, received_at: datetime
    ) -> AcceptedEvents:
        """Store events of an applicant, who need not be known yet: all or none, and each once.

        Args:
            applicant: Whose events they are.
            sent: By declared event table, its rows in the order in which they count.
            sender: Names the request, and is the same when it is sent again: with table and place it is the id of
                events whose table declares none, so that a retry stores nothing twice.
            received_at: When they came. Where a table declares ``known_at``, an event that does not tell it is known
                from then.

        Raises:
            RecordsError: If they cannot be stored; none of them is then.
        """
        request = _Request(applicant.applicant_id, sender, received_at)
        places = [(table, place) for table, rows in sent.items() for place in range(len(rows))]
        events = [
            self._event(request, number, table, place, sent[table][place])
            for number, (table, place) in enumerate(places)
        ]
        done = self.inbox.add(applicant.owner, events)
        contradictions = tuple(places[event.message.order[1]] for event in done.refused)
        return AcceptedEvents(done.stored, done.copies, contradictions)

    def _event(self, request: "_Request", number: int, table: str, place: int, row: SentEvent) -> PushedEvent:
        declared = [portfolio.events[table] for portfolio in self.declared if table in portfolio.events]
        tells_known = any(one.known_at is not None for one in declared)
        return PushedEvent(
            message=Message(SOURCE, f"{request.received_ms}-{number}", request.received_at, table, received=""),
            event_id=row.event_id or request.event_id(table, place),
            applicant_id=request.applicant_id,
            occurred_at=row.occurred_at,
            known_at=(row.known_at or request.received_at) if tells_known else None,
            values=_stored(row.values, [one.columns for one in declared]),
        )


@dataclass(frozen=True, slots=True)
class _Request:
    applicant_id: str
    sender: str
    received_at: datetime

    @property
    def received_ms(self) -> int:
        return (self.received_at - _EPOCH) // timedelta(milliseconds=1)

    def event_id(self, table: str, place: int) -> str:
        """Name of an event whose table declares no id; one that the store could not hold is told by its hash."""
        name = f"{self.sender}/{table}/{place}"
        return name if len(name) <= LONGEST_ID else hashlib.sha256(name.encode()).hexdigest()


def _stored(values: Mapping[str, Value], columns: Sequence[Mapping[str, Column]]) -> dict[str, Value]:
    """Return values as files bring them, so that the same event is known as the same however it comes."""
    dates = {name for some in columns for name, column in some.items() if column.type == "date"}
    return {
        name: date_as_text(moment_of(value)) if name in dates and isinstance(value, str) else value
        for name, value in values.items()
    }
