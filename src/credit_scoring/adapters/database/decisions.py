"""Decision records as rows that are only ever added, each chained to the one before it of the same writer."""

from collections.abc import Sequence
from threading import Lock
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Engine, select, tuple_
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from credit_scoring.adapters.database.direct import PreparedInsert
from credit_scoring.adapters.database.engine import direct
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.held_decisions import HeldDecisions
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

_ATTEMPTS = 5
_RECORDS_AT_ONCE = 1_000
"""Most records of one statement: either database takes some tens of thousands of parameters."""


class DecisionRepository:
    """``DecisionBook`` in the database; one instance is one writer of a chain of its own, and is safe to share."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._direct = direct(engine)
        self._held = HeldDecisions(self._direct)
        self._insert = PreparedInsert(decisions, engine.dialect)
        self._clock = clock
        self._lock = Lock()
        self._begin_chain()

    def held(self, keys: Sequence[ApplicationKey]) -> list[DecisionRecord | None]:
        """See ``DecisionBook.held``."""
        with told_as_records_error("reading decisions"):
            return self._held.of(keys, self._clock() - KEY_LIFETIME)

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
        slices = [rows[start : start + _RECORDS_AT_ONCE] for start in range(0, len(rows), _RECORDS_AT_ONCE)]
        try:
            self._direct.write([*map(self._insert.step, slices), *self._held.keys.kept(records)])
        except IntegrityError:
            return False
        self._sequence, self._previous_hash = last.sequence, last.hash
        return True

    def _chained(self, records: Sequence[DecisionRecord]) -> tuple[list[tuple[Any, ...]], Link]:
        rows, sequence, previous = [], self._sequence, self._previous_hash
        for record in records:
            content, sequence = content_of(record), sequence + 1
            last = link(self._writer, sequence, previous, content)
            previous = last.hash
            rows.append(self._row(record, last, content))
        return rows, last

    def _row(self, record: DecisionRecord, made: Link, content: str) -> tuple[Any, ...]:
        """Return what the columns hold, in the table's order."""
        answer = record.answer
        names = *record.owner, answer.application_id, answer.applicant_id, self._direct.moment(record.decided_at)
        return answer.decision_id, *names, made.writer, made.sequence, made.previous_hash, made.hash, content

    def _begin_chain(self) -> None:
        self._writer, self._sequence, self._previous_hash = uuid4().hex, 0, GENESIS


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
