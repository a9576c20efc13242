"""Pushed events read back as tables, a batch at a time."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source
from sqlalchemy import ColumnElement, Engine, Row, Select, inspect, select

from credit_scoring.adapters.database.engine import existing_database, open_database
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import pushed_events
from credit_scoring.core.owners import Owner
from credit_scoring.core.portfolio import EventsTable
from credit_scoring.core.pushed_tables import as_declared, pushed_schema

_ROWS_AT_ONCE = 10_000
_READING = "reading pushed events"


def pushed_tables(url: str, owner: Owner, declared: Mapping[str, EventsTable]) -> dict[str, pl.LazyFrame]:
    """Return, by event table, what was pushed, as ``pushed_schema`` and in order of receipt; no table without events.

    The rows are read when a frame is collected, never all at once. A database that is absent, or that has never been
    migrated, holds no events and stays as it is; one that an earlier version left with events is migrated.

    Raises:
        RecordsError: If there is a database and it cannot be read.
    """
    engine = existing_database(url)
    if engine is None:
        return {}
    try:
        with told_as_records_error(_READING):
            if not inspect(engine).has_table(pushed_events.name):
                return {}
            if not _is_present(engine):
                open_database(url).dispose()
            tables = [table for table in declared if _has_any(engine, owner, table)]
    finally:
        engine.dispose()
    return {table: _lazily(url, _of(owner, table), declared[table]) for table in tables}


def _is_present(engine: Engine) -> bool:
    """Whether the table is as this version reads it: an earlier one left it without tenants."""
    present = {column["name"] for column in inspect(engine).get_columns(pushed_events.name)}
    return present >= set(pushed_events.c.keys())


def _has_any(engine: Engine, owner: Owner, table: str) -> bool:
    with engine.connect() as connection:
        return connection.execute(_of(owner, table).limit(1)).first() is not None


def _of(owner: Owner, table: str) -> Select[Any]:
    rows = pushed_events.c
    told = rows.applicant_id, rows.occurred_at, rows.known_at, rows.event_id, rows.facts
    whose = rows.tenant == owner.tenant, rows.portfolio == owner.portfolio
    return select(*told).where(*whose, rows.event_table == table)


def _lazily(url: str, query: Select[Any], declared: EventsTable) -> pl.LazyFrame:
    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        left = rows
        with closing(_batches(url, query, declared)) as found:
            for batch in found:
                some = batch if left is None else batch.head(left)
                left = None if left is None else left - some.height
                some = some if predicate is None else some.filter(predicate)
                yield some if columns is None else some.select(columns)
                if left == 0:
                    return

    return register_io_source(batches, schema=pushed_schema(declared))


def _batches(url: str, query: Select[Any], declared: EventsTable) -> Generator[pl.DataFrame, None, None]:
    engine = existing_database(url)
    if engine is None:
        return
    try:
        with told_as_records_error(_READING), engine.connect() as connection:
            reading = connection.execution_options(yield_per=_ROWS_AT_ONCE)
            with reading.execute(query.order_by(*_receipt(engine))) as result:
                for some in result.partitions():
                    yield _frame(some, declared)
    finally:
        engine.dispose()


def _receipt(engine: Engine) -> list[ColumnElement[Any]]:
    """The order of receipt; of two streams' messages of one id, that of the streams' names, letter by letter."""
    rows = pushed_events.c
    letters = "BINARY" if engine.dialect.name == "sqlite" else "C"
    return [rows.sent_ms, rows.sent_number, rows.source.collate(letters), rows.event_id.collate(letters)]


def _frame(rows: Sequence[Row[Any]], declared: EventsTable) -> pl.DataFrame:
    told: dict[str, list[Any]] = {
        "applicant_id": [row.applicant_id for row in rows],
        "occurred_at": [row.occurred_at for row in rows],
        "known_at": [row.known_at or row.occurred_at for row in rows],
        "event_id": [row.event_id for row in rows],
    }
    for name in declared.columns:
        column = declared.usable_columns.get(name)
        told[name] = [None if column is None else as_declared(row.facts.get(name), column) for row in rows]
    schema = pushed_schema(declared)
    return pl.DataFrame({name: told[name] for name in schema}, schema=schema)
