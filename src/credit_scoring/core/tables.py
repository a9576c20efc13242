"""Checked rows taken apart: application columns, events, outcomes, protected attributes."""

from datetime import UTC, date, datetime, time

import polars as pl

from credit_scoring.core.portfolio import Column, EventsTable, Portfolio

MOMENT = pl.Datetime("us", "UTC")
"""Type of every moment: ``occurred_at``, ``as_of``."""


def column_type(column: Column) -> type[pl.DataType]:
    """Return the type in which a column's values are held."""
    return {"integer": pl.Int64, "number": pl.Float64, "category": pl.String}[column.type]


def application_table(checked: pl.DataFrame, portfolio: Portfolio) -> pl.DataFrame:
    """Return ``applicant_id`` and what is known of each applicant at the decision, under declared names."""
    return _renamed(checked, portfolio.application_columns)


def protected_table(checked: pl.DataFrame, portfolio: Portfolio) -> pl.DataFrame:
    """Return ``applicant_id`` and the protected attributes, which no model may read."""
    return _renamed(checked, portfolio.protected_columns)


def outcome_table(checked: pl.DataFrame, portfolio: Portfolio) -> pl.DataFrame:
    """Return ``applicant_id`` and ``is_bad`` (int8: 1 bad, 0 good, null when neither was declared)."""
    outcome = portfolio.outcome
    column = portfolio.applicants.columns[outcome.column]
    source, kind = column.source or outcome.column, column_type(column)
    is_bad = (
        pl.when(pl.col(source).is_in(pl.Series(outcome.bad, dtype=kind).implode()))
        .then(pl.lit(1, pl.Int8))
        .when(pl.col(source).is_in(pl.Series(outcome.good, dtype=kind).implode()))
        .then(pl.lit(0, pl.Int8))
    )
    return checked.select("applicant_id", is_bad=is_bad)


def event_tables(checked: pl.DataFrame, portfolio: Portfolio) -> dict[str, pl.DataFrame]:
    """Return each event table, long: ``applicant_id``, ``occurred_at``, ``event_number`` and its columns.

    Rows are ordered by applicant, then from the oldest event to the newest.
    """
    return {table: _long(checked, declared) for table, declared in portfolio.events.items()}


def with_as_of(applicants: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """Return ``applicants`` with the decision moment of the whole run as ``as_of``."""
    return applicants.with_columns(as_of=pl.lit(moment).cast(MOMENT))


def _renamed(checked: pl.DataFrame, columns: dict[str, Column]) -> pl.DataFrame:
    return checked.select("applicant_id", **{name: pl.col(column.source or name) for name, column in columns.items()})


def _long(checked: pl.DataFrame, declared: EventsTable) -> pl.DataFrame:
    moments = sorted(declared.from_wide.at)
    positions = checked.select("applicant_id", _row=pl.int_range(pl.len()))
    months = [
        checked.select(
            "applicant_id",
            occurred_at=pl.lit(midnight(day)).cast(MOMENT),
            event_number=pl.lit(number, pl.Int32),
            **{name: pl.col(source) for name, source in declared.from_wide.at[day].items()},
        )
        for number, day in enumerate(moments)
    ]
    long = pl.concat(months).join(positions, on="applicant_id", how="left")
    return (
        long.sort("_row", "event_number")
        .drop("_row")
        .select("applicant_id", "occurred_at", "event_number", *declared.columns)
    )


def midnight(day: date) -> datetime:
    """Return the first moment of ``day`` in UTC."""
    return datetime.combine(day, time(), UTC)
