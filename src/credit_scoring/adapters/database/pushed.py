"""Pushed events and the quarantine of pushed messages, written together or not at all."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.revisions import raise_revisions
from credit_scoring.adapters.database.schema import events as file_events
from credit_scoring.adapters.database.schema import pushed_events, quarantine
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.owners import Owner
from credit_scoring.core.pushed import Added, Message, PushedEvent, Readmitted, SetAside, Taken, contradicting
from credit_scoring.ports import Clock

_ROWS_AT_ONCE = 1_000

Key = tuple[str, str]


class PushedEventRepository:
    """``EventInbox`` in the database."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def take(self, owner: Owner, events: Sequence[PushedEvent], set_aside: Sequence[SetAside]) -> Taken:
        """See ``EventInbox.take``."""
        with told_as_records_error("storing pushed events"), writing(self._engine).begin() as connection:
            stored, refused = _store(connection, owner, events)
            written = _set_aside(connection, owner, [*set_aside, *map(contradicting, refused)])
        copies = len(events) + len(set_aside) - stored - written
        return Taken(stored, copies, written)

    def add(self, owner: Owner, events: Sequence[PushedEvent]) -> Added:
        """See ``EventInbox.add``."""
        with (
            told_as_records_error("storing pushed events"),
            writing(self._engine).connect() as connection,
            connection.begin() as transaction,
        ):
            stored, refused = _store(connection, owner, events)
            if refused:
                transaction.rollback()
                return Added(refused=tuple(refused))
        return Added(stored, len(events) - stored)

    def set_aside(self, owner: Owner, table: str | None = None) -> Iterator[SetAside]:
        """See ``EventInbox.set_aside``."""
        rows = quarantine.c
        query = select(quarantine).where(_owned(quarantine, owner), rows.readmitted_at.is_(None))
        if table is not None:
            query = query.where(rows.event_table == table)
        order = rows.event_table, rows.sent_ms, rows.sent_number, rows.event_id, rows.digest
        with told_as_records_error("reading the quarantine"), self._engine.connect() as connection:
            found = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query.order_by(*order))
            yield from map(_as_set_aside, found)

    def readmit(self, owner: Owner, retried: Sequence[tuple[SetAside, PushedEvent]]) -> Readmitted:
        """See ``EventInbox.readmit``."""
        with told_as_records_error("re-admitting pushed events"), writing(self._engine).begin() as connection:
            stored, refused = _store(connection, owner, [event for _, event in retried])
            again = {event.message.name for event in refused}
            taken = [found for found, event in retried if event.message.name not in again]
            _mark(connection, owner, taken, self._clock())
        return Readmitted(stored, len(taken) - stored, tuple(map(contradicting, refused)))


def _store(connection: Connection, owner: Owner, events: Sequence[PushedEvent]) -> tuple[int, list[PushedEvent]]:
    """Store each event that is new; return how many were, and those that contradict one of their id.

    Insert first, look afterwards: whoever inserts the same id meanwhile is waited for, and then seen.
    """
    firsts: dict[Key, PushedEvent] = {}
    for event in events:
        firsts.setdefault(event.key, event)
    of_files = _held(connection, file_events, owner, firsts)
    new = [event for key, event in sorted(firsts.items()) if key not in of_files or _agree(event, of_files[key])]
    keys = pushed_events.c.event_table, pushed_events.c.event_id
    rows = [_event_row(owner, event) for event in new]
    inserted = {(row.event_table, row.event_id) for row in _insert_new(connection, pushed_events, rows, keys)}
    raise_revisions(connection, owner, (firsts[key].applicant_id for key in inserted))
    held = _held(connection, pushed_events, owner, firsts) | of_files
    refused = [event for event in events if not _agree(event, held[event.key])]
    return len(inserted), refused


def _agree(event: PushedEvent, held: Row[Any]) -> bool:
    return event.agrees_with(held.applicant_id, held.occurred_at, held.facts)


def _held(connection: Connection, table: Table, owner: Owner, keys: Iterable[Key]) -> dict[Key, Row[Any]]:
    by_table: dict[str, list[str]] = defaultdict(list)
    for name, event_id in keys:
        by_table[name].append(event_id)
    found: dict[Key, Row[Any]] = {}
    columns = table.c.event_table, table.c.event_id, table.c.applicant_id, table.c.occurred_at, table.c.facts
    for name, ids in by_table.items():
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            some = table.c.event_id.in_(ids[start : start + _ROWS_AT_ONCE])
            query = select(*columns).where(_owned(table, owner), table.c.event_table == name, some)
            found |= {(row.event_table, row.event_id): row for row in connection.execute(query)}
    return found


def _insert_new(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], returning: Iterable[ColumnElement[Any]]
) -> Sequence[Row[Any]]:
    """Insert the rows whose key is free, in the order of their keys (two writers then never wait for each other)."""
    if not rows:
        return []
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).on_conflict_do_nothing().returning(*returning)
    return connection.execute(statement, rows).all()


def _set_aside(connection: Connection, owner: Owner, found: Iterable[SetAside]) -> int:
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in found:
        row = _quarantine_row(owner, one)
        rows.setdefault((row["event_table"], row["event_id"], row["digest"]), row)
    ordered = [row for _, row in sorted(rows.items())]
    return len(_insert_new(connection, quarantine, ordered, [quarantine.c.event_id]))


def _mark(connection: Connection, owner: Owner, readmitted: Iterable[SetAside], at: datetime) -> None:
    columns = quarantine.c
    for one in readmitted:
        this = columns.event_table == one.message.table, columns.event_id == one.event_id
        here = _owned(quarantine, owner), columns.digest == one.message.digest
        connection.execute(update(quarantine).where(*here, *this).values(readmitted_at=at))


def _event_row(owner: Owner, event: PushedEvent) -> dict[str, Any]:
    return _message_row(owner, event.message) | {
        "event_id": event.event_id,
        "applicant_id": event.applicant_id,
        "occurred_at": event.occurred_at,
        "known_at": event.known_at,
        "facts": dict(event.values),
    }


def _quarantine_row(owner: Owner, found: SetAside) -> dict[str, Any]:
    return _message_row(owner, found.message) | {
        "event_id": found.event_id,
        "digest": found.message.digest,
        "column": found.column,
        "rule": found.rule,
        "reason": found.reason,
        "received": found.message.received,
    }


def _owned(table: Table, owner: Owner) -> ColumnElement[bool]:
    return and_(table.c.tenant == owner.tenant, table.c.portfolio == owner.portfolio)


def _message_row(owner: Owner, message: Message) -> dict[str, Any]:
    moment, number = message.order
    return {
        **owner._asdict(),
        "event_table": message.table,
        "source": message.source,
        "message_id": message.message_id,
        "sent_ms": moment,
        "sent_number": number,
        "received_at": message.received_at,
    }


def _as_set_aside(row: Row[Any]) -> SetAside:
    message = Message(row.source, row.message_id, row.received_at, row.event_table, row.received)
    return SetAside(message, row.event_id, row.column, row.rule, row.reason, row.readmitted_at)
