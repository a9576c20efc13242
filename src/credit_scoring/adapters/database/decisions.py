"""Decision records as rows that are only ever added, each chained to the one before it of the same writer."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, insert, select, tuple_
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from credit_scoring.adapters.database.decision_keys import decisions_by_key, keep_keys
from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import decisions
from credit_scoring.core.chains import GENESIS, Link, link
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import (
    KEY_LIFETIME,
    ApplicationKey,
    DecisionQuery,
    DecisionRecord,
    content_of,
    record_of,
)
from credit_scoring.ports import Clock

_IDS_AT_ONCE = 500
_ATTEMPTS = 5


class DecisionRepository:
    """``DecisionBook`` in the database; one instance is one writer of a chain of its own, and is safe to share."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = Lock()
        self._begin_chain()

    def held(self, keys: Sequence[ApplicationKey]) -> list[DecisionRecord | None]:
        """See ``DecisionBook.held``."""
        with told_as_records_error("reading decisions"), self._engine.begin() as connection:
            return _held(connection, keys, self._clock() - KEY_LIFETIME)

    def add(self, records: Sequence[DecisionRecord]) -> list[DecisionRecord]:
        """See ``DecisionBook.add``."""
        with self._lock, told_as_records_error("recording decisions"):
            try:
                return self._added(records)
            except SQLAlchemyError:
                # Whether the commit took place is not known, so nothing may be chained to what it would have left.
                self._begin_chain()
                raise

    def get(self, owner: Owner, decision_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.get``."""
        query = select(decisions.c.content).where(*_of(owner), decisions.c.decision_id == decision_id)
        with told_as_records_error("reading a decision"), self._engine.begin() as connection:
            content = connection.execute(query).scalar_one_or_none()
        return None if content is None else record_of(content)

    def find(self, owner: Owner, query: DecisionQuery) -> list[DecisionRecord]:
        """See ``DecisionBook.find``."""
        place = decisions.c.decided_at, decisions.c.decision_id
        newest_first = [column.desc() for column in place]
        statement = select(decisions.c.content).where(*_of(owner), *_asked(query)).order_by(*newest_first)
        with told_as_records_error("reading decisions"), self._engine.begin() as connection:
            return [record_of(content) for content in connection.scalars(statement.limit(query.limit))]

    def _added(self, records: Sequence[DecisionRecord]) -> list[DecisionRecord]:
        """Write those of ``records`` that nobody was faster with; another process may decide the same meanwhile."""
        holding: dict[ApplicationKey, DecisionRecord] = {}
        for _ in range(_ATTEMPTS):
            new = [record for record in records if record.key not in holding]
            if not new or self._is_written(new):
                return [holding.get(record.key, record) for record in records]
            earlier = self.held([record.key for record in new])
            if not any(earlier):
                raise RecordsError("The decision's id is taken. Send the application again.")
            holding |= {record.key: held for record, held in zip(new, earlier, strict=True) if held is not None}
        raise RecordsError("Other processes keep deciding the same applications. Send them again later.")

    def _is_written(self, records: Sequence[DecisionRecord]) -> bool:
        """Write all of ``records`` in one transaction, or none of them when one is decided already."""
        rows, last = self._chained(records)
        try:
            with writing(self._engine).begin() as connection:
                connection.execute(insert(decisions), rows)
                keep_keys(connection, records)
        except IntegrityError:
            return False
        self._sequence, self._previous_hash = last.sequence, last.hash
        return True

    def _chained(self, records: Sequence[DecisionRecord]) -> tuple[list[dict[str, Any]], Link]:
        rows, sequence, previous = [], self._sequence, self._previous_hash
        for record in records:
            content, sequence = content_of(record), sequence + 1
            last = link(self._writer, sequence, previous, content)
            previous = last.hash
            rows.append(_row(record, last, content))
        return rows, last

    def _begin_chain(self) -> None:
        self._writer, self._sequence, self._previous_hash = uuid4().hex, 0, GENESIS


def _held(connection: Connection, keys: Sequence[ApplicationKey], keys_since: datetime) -> list[DecisionRecord | None]:
    by_application = _by_application(connection, keys)
    by_key = decisions_by_key(connection, [key for key in keys if key.idempotency_key is not None], keys_since)
    named = _by_id(connection, list(by_key.values()))
    return [
        named[by_key[key]] if key in by_key else by_application.get((key.owner, key.application_id)) for key in keys
    ]


def _by_application(
    connection: Connection, keys: Sequence[ApplicationKey]
) -> Mapping[tuple[Owner, str], DecisionRecord]:
    by_owner: dict[Owner, list[str]] = defaultdict(list)
    for key in keys:
        by_owner[key.owner].append(key.application_id)
    found: dict[tuple[Owner, str], DecisionRecord] = {}
    for owner, ids in by_owner.items():
        for some in _slices(ids):
            these = *_of(owner), decisions.c.application_id.in_(some)
            for row in connection.execute(select(decisions.c.application_id, decisions.c.content).where(*these)):
                found[owner, row.application_id] = record_of(row.content)
    return found


def _by_id(connection: Connection, ids: Sequence[str]) -> dict[str, DecisionRecord]:
    found: dict[str, DecisionRecord] = {}
    for some in _slices(ids):
        query = select(decisions.c.decision_id, decisions.c.content).where(decisions.c.decision_id.in_(some))
        found |= {row.decision_id: record_of(row.content) for row in connection.execute(query)}
    return found


def _slices(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE)]


def _of(owner: Owner) -> tuple[ColumnElement[bool], ...]:
    return decisions.c.tenant == owner.tenant, decisions.c.portfolio == owner.portfolio


def _asked(query: DecisionQuery) -> list[ColumnElement[bool]]:
    columns, conditions = decisions.c, []
    if query.application_id is not None:
        conditions.append(columns.application_id == query.application_id)
    if query.applicant_id is not None:
        conditions.append(columns.applicant_id == query.applicant_id)
    if query.since is not None:
        conditions.append(columns.decided_at >= query.since)
    if query.until is not None:
        conditions.append(columns.decided_at < query.until)
    if query.before is not None:
        place = tuple_(columns.decided_at, columns.decision_id)
        conditions.append(place < tuple_(query.before.decided_at, query.before.decision_id))
    return conditions


def _row(record: DecisionRecord, linked: Link, content: str) -> dict[str, Any]:
    answer = record.answer
    return {
        "decision_id": answer.decision_id,
        "tenant": record.owner.tenant,
        "portfolio": record.owner.portfolio,
        "application_id": answer.application_id,
        "applicant_id": answer.applicant_id,
        "decided_at": record.decided_at,
        "writer": linked.writer,
        "sequence": linked.sequence,
        "previous_hash": linked.previous_hash,
        "hash": linked.hash,
        "content": content,
    }
