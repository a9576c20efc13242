"""``DecisionBook`` on plain dictionaries: for tests and notebooks; nothing outlives the process."""

from collections.abc import Sequence
from threading import Lock

from credit_scoring.core.clocks import utc_now
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import KEY_LIFETIME, ApplicationKey, DecisionQuery, DecisionRecord, Place
from credit_scoring.ports import Clock


class InMemoryDecisionBook:
    """``DecisionBook`` without a disk."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._records: dict[tuple[Owner, str], DecisionRecord] = {}
        self._by_key: dict[tuple[Owner, str], DecisionRecord] = {}
        self._lock = Lock()

    def held(self, keys: Sequence[ApplicationKey]) -> list[DecisionRecord | None]:
        """See ``DecisionBook.held``."""
        return [self._held(key) for key in keys]

    def add(self, records: Sequence[DecisionRecord]) -> list[DecisionRecord]:
        """See ``DecisionBook.add``."""
        with self._lock:
            return [self._held(record.key) or self._added(record) for record in records]

    def get(self, owner: Owner, decision_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.get``."""
        own = (record for (whose, _), record in self._records.items() if whose == owner)
        return next((record for record in own if record.answer.decision_id == decision_id), None)

    def find(self, owner: Owner, query: DecisionQuery) -> list[DecisionRecord]:
        """See ``DecisionBook.find``."""
        own = [record for (whose, _), record in self._records.items() if whose == owner and _asked(record, query)]
        return sorted(own, key=_place, reverse=True)[: query.limit]

    def _held(self, key: ApplicationKey) -> DecisionRecord | None:
        if key.idempotency_key is not None:
            named = self._by_key.get((key.owner, key.idempotency_key))
            if named is not None and named.decided_at > self._clock() - KEY_LIFETIME:
                return named
        return self._records.get((key.owner, key.application_id))

    def _added(self, record: DecisionRecord) -> DecisionRecord:
        self._records[record.owner, record.answer.application_id] = record
        if record.idempotency_key is not None:
            self._by_key[record.owner, record.idempotency_key] = record
        return record


def _place(record: DecisionRecord) -> Place:
    return Place(record.decided_at, record.answer.decision_id)


def _asked(record: DecisionRecord, query: DecisionQuery) -> bool:
    return (
        query.application_id in (None, record.answer.application_id)
        and query.applicant_id in (None, record.answer.applicant_id)
        and (query.since is None or record.decided_at >= query.since)
        and (query.until is None or record.decided_at < query.until)
        and (query.before is None or _place(record) < query.before)
    )
