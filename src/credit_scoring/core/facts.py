"""What is known of one applicant, and the same as the tables that features are computed from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.tables import MOMENT, column_type

Value = float | str | None
"""A declared column's value: a number, a category, or None where it is not known."""


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


def fact_tables(facts: Facts, applicant_id: str, as_of: datetime, portfolio: Portfolio) -> FactTables:
    """Return ``facts`` with the columns and types that ``portfolio`` declares, null where nothing is known."""
    columns = portfolio.application_columns
    row = {"applicant_id": [applicant_id], "as_of": [as_of]} | {name: [facts.fields.get(name)] for name in columns}
    keys: dict[str, pl.DataType] = {"applicant_id": pl.String(), "as_of": MOMENT}
    applicants = pl.DataFrame(row, schema=keys | _types(columns))
    return FactTables(
        applicants,
        {
            table: _event_table(facts.events[table], applicant_id, declared.columns)
            for table, declared in portfolio.events.items()
            if table in facts.events
        },
    )


def _event_table(events: Sequence[Event], applicant_id: str, columns: Mapping[str, Column]) -> pl.DataFrame:
    rows = {
        "applicant_id": [applicant_id] * len(events),
        "occurred_at": [event.occurred_at for event in events],
        "event_number": [event.event_number for event in events],
    } | {name: [event.values.get(name) for event in events] for name in columns}
    keys: dict[str, pl.DataType] = {"applicant_id": pl.String(), "occurred_at": MOMENT, "event_number": pl.Int32()}
    return pl.DataFrame(rows, schema=keys | _types(columns))


def _types(columns: Mapping[str, Column]) -> dict[str, pl.DataType]:
    return {name: column_type(column) for name, column in columns.items()}
