"""Ports on plain dictionaries: for tests and notebooks; nothing outlives the process."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock

from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.pushed import PushedEvent, Readmitted, SetAside, Taken, contradicting
from credit_scoring.core.records import DecisionRecord


class InMemoryDecisionBook:
    """``DecisionBook`` without a disk."""

    def __init__(self) -> None:
        self._by_application: dict[tuple[str, str], DecisionRecord] = {}
        self._lock = Lock()

    def add(self, record: DecisionRecord) -> DecisionRecord:
        """See ``DecisionBook.add``."""
        with self._lock:
            return self._by_application.setdefault((record.portfolio, record.answer.application_id), record)

    def get(self, portfolio: str, decision_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.get``."""
        own = (record for (name, _), record in self._by_application.items() if name == portfolio)
        return next((record for record in own if record.answer.decision_id == decision_id), None)

    def by_application(self, portfolio: str, application_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.by_application``."""
        return self._by_application.get((portfolio, application_id))


class InMemoryFactsStore:
    """``FactsStore`` on facts given by portfolio and applicant, and ``EventInbox`` for what is pushed to it."""

    def __init__(self, facts: Mapping[tuple[str, str], Facts] | None = None) -> None:
        self._facts = dict(facts or {})
        self._pushed: dict[tuple[str, str, str], PushedEvent] = {}
        self._set_aside: dict[tuple[str, str, str, str], SetAside] = {}

    def facts_of(self, portfolio: str, applicant_id: str) -> Facts | None:
        """See ``FactsStore.facts_of``."""
        given = self._facts.get((portfolio, applicant_id))
        if given is None:
            return None
        events = {table: list(rows) for table, rows in given.events.items()}
        own = [e for (name, *_), e in self._pushed.items() if name == portfolio and e.applicant_id == applicant_id]
        for event in sorted(own, key=_receipt):
            rows = events.setdefault(event.message.table, [])
            number = max((row.event_number for row in rows), default=-1) + 1
            rows.append(Event(event.occurred_at, number, event.values, known_at=event.known_at))
        ordered = {table: sorted(rows, key=lambda e: (e.occurred_at, e.event_number)) for table, rows in events.items()}
        return Facts(given.fields, ordered)

    def take(self, portfolio: str, events: Sequence[PushedEvent], set_aside: Sequence[SetAside]) -> Taken:
        """See ``EventInbox.take``."""
        stored, refused = self._store(portfolio, events)
        written = 0
        for found in (*set_aside, *refused):
            key = _quarantine_key(portfolio, found)
            written += key not in self._set_aside
            self._set_aside.setdefault(key, found)
        return Taken(stored, len(events) + len(set_aside) - stored - written, written)

    def set_aside(self, portfolio: str, table: str | None = None) -> Iterator[SetAside]:
        """See ``EventInbox.set_aside``."""
        own = (found for (name, *_), found in self._set_aside.items() if name == portfolio)
        left = (found for found in own if found.readmitted_at is None and table in (None, found.message.table))
        return iter(sorted(left, key=lambda found: (found.message.table, found.message.order)))

    def readmit(self, portfolio: str, retried: Sequence[tuple[SetAside, PushedEvent]]) -> Readmitted:
        """See ``EventInbox.readmit``."""
        stored, refused = self._store(portfolio, [event for _, event in retried])
        again = {found.message.name for found in refused}
        taken = [found for found, event in retried if event.message.name not in again]
        for found in taken:
            self._set_aside[_quarantine_key(portfolio, found)] = replace(found, readmitted_at=datetime.now(UTC))
        return Readmitted(stored, len(taken) - stored, tuple(refused))

    def _store(self, portfolio: str, events: Sequence[PushedEvent]) -> tuple[int, list[SetAside]]:
        before, refused = len(self._pushed), []
        for event in events:
            held = self._pushed.setdefault((portfolio, *event.key), event)
            if not event.agrees_with(held.applicant_id, held.occurred_at, held.values):
                refused.append(contradicting(event))
        return len(self._pushed) - before, refused


def _receipt(event: PushedEvent) -> tuple[int, int, str, str]:
    return *event.message.order, event.message.source, event.event_id


def _quarantine_key(portfolio: str, found: SetAside) -> tuple[str, str, str, str]:
    return portfolio, found.message.table, found.event_id, found.message.digest
