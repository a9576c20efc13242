"""Stored records for auditors: as they are, in the order of their chains, never all at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Engine,
    LargeBinary,
    Row,
    Select,
    and_,
    cast,
    func,
    literal,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.types import NullType

from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import decisions
from credit_scoring.core.audit import Chained, Entry, Head
from credit_scoring.core.owners import Owner

_AT_ONCE = 1_000
_READING = "reading decisions"

_columns = decisions.c
_before = decisions.alias("before")
_decided_at = type_coerce(_columns.decided_at, NullType()).label("decided_at")
"""As the database gives it: a column that somebody filled with something else must not stop the audit."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records are wanted: None wants all; ``since`` is included."""

    decision_id: str | None = None
    tenant: str | None = None
    portfolio: str | None = None
    since: datetime | None = None


class AuditRepository:
    """``ChainedRecords`` in the database, and walks through many of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def chained(self, owner: Owner, decision_id: str) -> Chained | None:
        """See ``ChainedRecords.chained``."""
        wanted = _columns.tenant == owner.tenant, _columns.portfolio == owner.portfolio
        with told_as_records_error("reading a decision"), self._engine.begin() as connection:
            query = self._with_before(_columns.decision_id == decision_id, *wanted)
            row = connection.execute(query).one_or_none()
        return None if row is None else _chained(row)

    def walk(self, portfolio: str | None = None) -> Iterator[Entry]:
        """Return every record, writer by writer in order of sequence; of the chains that hold any of ``portfolio``."""
        query = self._select().order_by(_columns.writer, _columns.sequence)
        if portfolio is not None:
            writers = select(_columns.writer).where(_columns.portfolio == portfolio)
            query = query.where(_columns.writer.in_(writers))
        with told_as_records_error(_READING), self._engine.begin() as connection:
            for row in connection.execute(query, execution_options={"yield_per": _AT_ONCE}):
                yield _entry(row)

    def count(self, selection: Selection) -> int:
        """Return how many records are wanted."""
        query = select(func.count()).select_from(decisions).where(*_wanted(selection))
        with told_as_records_error(_READING), self._engine.begin() as connection:
            return int(connection.execute(query).scalar_one())

    def pages(self, selection: Selection) -> Iterator[list[Chained]]:
        """Return the wanted records by owner, each owner's in order of decision, a page at a time.

        Between pages nothing is held, so that what takes long holds up nobody who writes.
        """
        with told_as_records_error(_READING), self._engine.begin() as connection:
            query = select(_columns.tenant, _columns.portfolio).where(*_wanted(selection)).distinct()
            owners = sorted(Owner(*row) for row in connection.execute(query))
        for owner in owners:
            yield from self._pages_of(owner, selection)

    def _pages_of(self, owner: Owner, selection: Selection) -> Iterator[list[Chained]]:
        own = _columns.tenant == owner.tenant, _columns.portfolio == owner.portfolio
        order = _columns.decided_at, _columns.decision_id
        query = self._with_before(*own, *_wanted(selection)).order_by(*order).limit(_AT_ONCE)
        following: list[ColumnElement[bool]] = []
        while True:
            with told_as_records_error(_READING), self._engine.begin() as connection:
                rows = connection.execute(query.where(*following)).all()
            if not rows:
                return
            yield [_chained(row) for row in rows]
            place = literal(rows[-1].decided_at, NullType()), literal(rows[-1].decision_id)
            following = [tuple_(*order) > tuple_(*place)]

    def _with_before(self, *wanted: ColumnElement[bool]) -> Select[Any]:
        previous = and_(_before.c.writer == _columns.writer, _before.c.sequence == _columns.sequence - 1)
        found = self._select().add_columns(_before.c.hash.label("before_hash"))
        return found.select_from(decisions.outerjoin(_before, previous)).where(*wanted)

    def _select(self) -> Select[Any]:
        """As bytes, for text that is not UTF-8 could not be fetched at all."""
        content = _columns.content
        embedded = self._engine.dialect.name == "sqlite"
        as_bytes = cast(content, LargeBinary) if embedded else func.convert_to(content, "UTF8", type_=LargeBinary())
        plain = [column for column in _columns if column.name not in ("decided_at", "content")]
        return select(*plain, _decided_at, as_bytes.label("content"))


def _wanted(selection: Selection) -> list[ColumnElement[bool]]:
    conditions = []
    for name in ("decision_id", "tenant", "portfolio"):
        value = getattr(selection, name)
        if value is not None:
            conditions.append(_columns[name] == value)
    if selection.since is not None:
        conditions.append(_columns.decided_at >= selection.since)
    return conditions


def _chained(row: Row[Any]) -> Chained:
    before = None if row.before_hash is None else Head(row.writer, row.sequence - 1, row.before_hash)
    return Chained(_entry(row), before)


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        row.decision_id,
        row.tenant,
        row.portfolio,
        row.application_id,
        row.applicant_id,
        _moment(row.decided_at),
        row.writer,
        row.sequence if isinstance(row.sequence, int) else 0,
        row.previous_hash,
        row.hash,
        bytes(row.content),
    )


def _moment(stored: object) -> datetime | None:
    """Return the moment in UTC; SQLite keeps it as text without a time zone."""
    if isinstance(stored, str):
        try:
            stored = datetime.fromisoformat(stored)
        except ValueError:
            return None
    if not isinstance(stored, datetime):
        return None
    return stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored.astimezone(UTC)
