"""Facts on plain dictionaries: for tests and notebooks; nothing outlives the process."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from threading import RLock

from credit_scoring.core.facts import Event, Facts, KnownFacts, Value
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.pushed import Added, PushedEvent, Readmitted, SetAside, Taken, contradicting

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)

EventKey = tuple[Owner, str, str]


@dataclass(frozen=True, slots=True)
class _Load:
    """What files brought, and when: the fake's ``loads``, ``applicants`` and ``events``."""

    facts: Mapping[Applicant, Facts] = field(default_factory=dict)
    content_hash: str = ""
    number: int = 0
    loaded_at: datetime = _BEFORE_ALL


class InMemoryFactsStore:
    """``FactsStore`` on facts given by applicant, with the ``EventInbox`` and ``PushedApplicants`` that add to them."""

    def __init__(self, facts: Mapping[Applicant, Facts] | None = None) -> None:
        self._numbers = count(1)
        self._put: dict[Applicant, tuple[datetime, Mapping[str, Value]]] = {}
        self._pushed: dict[EventKey, PushedEvent] = {}
        self._set_aside: dict[tuple[Owner, str, str, str], SetAside] = {}
        self._revisions: dict[Applicant, int] = {}
        self._lock = RLock()
        self._load = _Load(dict(facts or {}))

    def load(self, facts: Mapping[Applicant, Facts], content_hash: str, loaded_at: datetime) -> bool:
        """Replace what files brought of all owners; False when this content is loaded already."""
        with self._lock:
            if content_hash == self._load.content_hash:
                return False
            self._load = _Load(dict(facts), content_hash, next(self._numbers), loaded_at)
            return True

    def revisions(self, applicants: Sequence[Applicant]) -> list[str | None]:
        """See ``FactsStore.revisions``."""
        with self._lock:
            return [None if self._fields(one) is None else self._revision(one) for one in applicants]

    def facts_of(self, applicants: Sequence[Applicant]) -> list[KnownFacts | None]:
        """See ``FactsStore.facts_of``."""
        with self._lock:
            return [self._known(one) for one in applicants]

    def put_applicant(
        self, owner: Owner, applicant_id: str, fields: Mapping[str, Value], received_at: datetime
    ) -> bool:
        """See ``PushedApplicants.put_applicant``."""
        applicant = Applicant(owner, applicant_id)
        with self._lock:
            new = self._fields(applicant) is None
            if received_at >= self._put.get(applicant, (_BEFORE_ALL,))[0]:
                self._put[applicant] = received_at, dict(fields)
                self._raise(applicant)
            return new

    def take(self, owner: Owner, events: Sequence[PushedEvent], set_aside: Sequence[SetAside]) -> Taken:
        """See ``EventInbox.take``."""
        with self._lock:
            stored, refused = self._store(owner, events)
            written = 0
            for found in (*set_aside, *map(contradicting, refused)):
                key = _quarantine_key(owner, found)
                written += key not in self._set_aside
                self._set_aside.setdefault(key, found)
            return Taken(stored, len(events) + len(set_aside) - stored - written, written)

    def add(self, owner: Owner, events: Sequence[PushedEvent]) -> Added:
        """See ``EventInbox.add``."""
        with self._lock:
            before = dict(self._pushed), dict(self._revisions)
            stored, refused = self._store(owner, events)
            if refused:
                self._pushed, self._revisions = before
                return Added(refused=tuple(refused))
            return Added(stored, len(events) - stored)

    def set_aside(self, owner: Owner, table: str | None = None) -> Iterator[SetAside]:
        """See ``EventInbox.set_aside``."""
        own = (found for (name, *_), found in self._set_aside.items() if name == owner)
        left = (found for found in own if found.readmitted_at is None and table in (None, found.message.table))
        return iter(sorted(left, key=lambda found: (found.message.table, found.message.order)))

    def readmit(self, owner: Owner, retried: Sequence[tuple[SetAside, PushedEvent]]) -> Readmitted:
        """See ``EventInbox.readmit``."""
        with self._lock:
            stored, refused = self._store(owner, [event for _, event in retried])
            again = {event.message.name for event in refused}
            taken = [found for found, event in retried if event.message.name not in again]
            for found in taken:
                self._set_aside[_quarantine_key(owner, found)] = replace(found, readmitted_at=datetime.now(UTC))
            return Readmitted(stored, len(taken) - stored, tuple(map(contradicting, refused)))

    def _store(self, owner: Owner, events: Sequence[PushedEvent]) -> tuple[int, list[PushedEvent]]:
        before, refused = len(self._pushed), []
        for event in events:
            known = len(self._pushed)
            held = self._pushed.setdefault((owner, *event.key), event)
            if len(self._pushed) > known:
                self._raise(Applicant(owner, event.applicant_id))
            if not event.agrees_with(held.applicant_id, held.occurred_at, held.values):
                refused.append(event)
        return len(self._pushed) - before, refused

    def _raise(self, applicant: Applicant) -> None:
        self._revisions[applicant] = self._revisions.get(applicant, 0) + 1

    def _revision(self, applicant: Applicant) -> str:
        return f"{self._load.number}.{self._revisions.get(applicant, 0)}"

    def _fields(self, applicant: Applicant) -> Mapping[str, Value] | None:
        filed, put = self._load.facts.get(applicant), self._put.get(applicant)
        if put is not None and (filed is None or self._load.loaded_at < put[0]):
            return put[1]
        return None if filed is None else filed.fields

    def _known(self, applicant: Applicant) -> KnownFacts | None:
        fields = self._fields(applicant)
        if fields is None:
            return None
        filed = self._load.facts.get(applicant)
        events = {table: list(rows) for table, rows in (filed.events if filed else {}).items()}
        own = (event for key, event in self._pushed.items() if Applicant(key[0], event.applicant_id) == applicant)
        for event in sorted(own, key=_receipt):
            rows = events.setdefault(event.message.table, [])
            number = max((row.event_number for row in rows), default=-1) + 1
            rows.append(Event(event.occurred_at, number, event.values, known_at=event.known_at))
        ordered = {table: sorted(rows, key=lambda e: (e.occurred_at, e.event_number)) for table, rows in events.items()}
        return KnownFacts(Facts(fields, ordered), self._revision(applicant))


def _receipt(event: PushedEvent) -> tuple[int, int, str, str]:
    return *event.message.order, event.message.source, event.event_id


def _quarantine_key(owner: Owner, found: SetAside) -> tuple[Owner, str, str, str]:
    return owner, found.message.table, found.event_id, found.message.digest
