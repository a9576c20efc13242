"""Pushed events beside those of files: each event counts once, as the files have it."""

import hashlib
from collections.abc import Mapping

import polars as pl

from credit_scoring.core.facts import Value, typed
from credit_scoring.core.parsing import MOMENT
from credit_scoring.core.portfolio import Column, EventsTable, Portfolio
from credit_scoring.core.tables import types

Stored = Value | bool
"""A value as JSON holds it."""

_LONG = 2**63


def pushed_schema(declared: EventsTable) -> dict[str, pl.DataType]:
    """Return the columns of a table's pushed events: those of event tables, and always ``event_id``."""
    times = dict.fromkeys(("occurred_at", "known_at") if declared.known_at else ("occurred_at",), MOMENT)
    return {"applicant_id": pl.String(), **times, "event_id": pl.String(), **types(declared.columns)}


def as_declared(value: Stored, column: Column) -> object:
    """Return a stored value as a frame holds it; None where the declaration has changed and it no longer fits."""
    if column.is_number:
        return _number(value, column)
    if not isinstance(value, str):
        return None
    try:
        return typed(value, column)
    except ValueError:  # a text that was no date when it was pushed
        return None


def unfiled(
    pushed: Mapping[str, pl.LazyFrame], files: Mapping[str, pl.LazyFrame], portfolio: Portfolio
) -> dict[str, pl.LazyFrame]:
    """Return, by table, pushed events that no file has, in the columns of ``files`` and numbered after theirs.

    Of the files' events only ids and numbers are looked at, and only in tables of which something was pushed.

    Args:
        pushed: By table, events in order of receipt, as ``pushed_schema``.
        files: By table, the events of files, as ``event_tables`` gives them.
        portfolio: Which tables declare an ``id``; without one no two events are the same.
    """
    tables = [table for table in portfolio.events if table in pushed]
    return {table: _unfiled(pushed[table], files[table], portfolio.events[table]) for table in tables}


def with_pushed(files: Mapping[str, pl.LazyFrame], new: Mapping[str, pl.LazyFrame]) -> dict[str, pl.LazyFrame]:
    """Return event tables of both, the files' events first; the column ``pushed`` tells them apart."""
    return {
        table: pl.concat(
            [rows.with_columns(pushed=pl.lit(value=False))]
            + ([new[table].with_columns(pushed=pl.lit(value=True))] if table in new else [])
        )
        for table, rows in files.items()
    }


def content_hash(new: pl.LazyFrame) -> str:
    """Return a hash of pushed events, their values and their order, whatever number files have reached."""
    rows = new.drop("event_number")
    content = hashlib.sha256(repr(rows.collect_schema().names()).encode())
    for batch in rows.collect_batches(maintain_order=True):
        content.update(batch.write_csv(include_header=False).encode())
    return "sha256:" + content.hexdigest()


def _unfiled(pushed: pl.LazyFrame, files: pl.LazyFrame, declared: EventsTable) -> pl.LazyFrame:
    if declared.id is not None:
        both = files.select("event_id").join(pushed.select("event_id"), on="event_id", how="semi")
        pushed = pushed.filter(~pl.col("event_id").is_in(both.collect(engine="streaming")["event_id"].implode()))
    last = files.select(pl.col("event_number").max()).collect(engine="streaming").item()
    numbered = pushed.with_row_index("event_number", 0 if last is None else last + 1)
    return numbered.with_columns(pl.col("event_number").cast(pl.Int32)).select(files.collect_schema().names())


def _number(value: Stored, column: Column) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if column.type == "number":
        return float(value)
    return int(value) if value == int(value) and -_LONG <= value < _LONG else None
