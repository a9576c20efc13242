"""What is known of one applicant, and the same as the tables that features are computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from credit_scoring.core.parsing import MOMENT, column_type
from credit_scoring.core.portfolio import Column, EventsTable, Portfolio

Value = float | str | None
"""A declared column's value: a number, a category, a date as ISO 8601 text, or None where it is not known."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of an event table; ``event_number`` orders events of one moment, as they were received.

    ``known_at`` is None where the table does not declare it: the event is then known from when it occurred.
    """

    occurred_at: datetime
    event_number: int
    values: Mapping[str, Value]
    known_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Application fields and events by table; a table that is absent is unknown, an empty one holds no event."""

    fields: Mapping[str, Value]
    events: Mapping[str, Sequence[Event]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FactTables:
    """The applicants table, one row, and the event tables of one applicant, as ``FeatureSet.compute`` reads them."""

    applicants: pl.DataFrame
    events: Mapping[str, pl.DataFrame]


def moment_of(text: str) -> datetime:
    """Return a date, or date and time, in ISO 8601 as a moment; it is in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def typed(value: Value, column: Column) -> Value | datetime:
    """Return a value as a frame holds it: a date as a moment."""
    return moment_of(str(value)) if column.type == "date" and value is not None else value


def fact_tables(facts: Facts, applicant_id: str, as_of: datetime, portfolio: Portfolio) -> FactTables:
    """Return ``facts`` with the columns and types that ``portfolio`` declares, null where nothing is known."""
    columns = portfolio.application_columns
    row: dict[str, list[object]] = {"applicant_id": [applicant_id], "as_of": [as_of]}
    row |= {name: [typed(facts.fields.get(name), column)] for name, column in columns.items()}
    keys: dict[str, pl.DataType] = {"applicant_id": pl.String(), "as_of": MOMENT}
    applicants = pl.DataFrame(row, schema=keys | _types(columns))
    return FactTables(
        applicants,
        {
            table: _event_table(facts.events[table], applicant_id, declared)
            for table, declared in portfolio.events.items()
            if table in facts.events
        },
    )


def _event_table(events: Sequence[Event], applicant_id: str, declared: EventsTable) -> pl.DataFrame:
    rows: dict[str, list[object]] = {
        "applicant_id": [applicant_id] * len(events),
        "occurred_at": [event.occurred_at for event in events],
        "event_number": [event.event_number for event in events],
    }
    keys: dict[str, pl.DataType] = {"applicant_id": pl.String(), "occurred_at": MOMENT, "event_number": pl.Int32()}
    if declared.known_at is not None:
        rows["known_at"] = [event.known_at or event.occurred_at for event in events]
        keys["known_at"] = MOMENT
    for name, column in declared.columns.items():
        rows[name] = [typed(event.values.get(name), column) for event in events]
    return pl.DataFrame(rows, schema=keys | _types(declared.columns))


def _types(columns: Mapping[str, Column]) -> dict[str, pl.DataType]:
    return {name: column_type(column) for name, column in columns.items()}
