"""Checked tables put together: application columns, events, outcomes, protected attributes."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from credit_scoring.core.contracts import APPLICANTS, wide_name
from credit_scoring.core.features.declared import Condition
from credit_scoring.core.parsing import MOMENT, column_type
from credit_scoring.core.portfolio import AsOf, Column, EventsTable, Portfolio

Valid = Mapping[str, pl.LazyFrame]
"""Valid rows of every received table, under the names that its contract gives to columns."""


def applicant_rows(valid: Valid, portfolio: Portfolio) -> pl.LazyFrame:
    """Return the applicants' rows with the columns of every lookup, and ``as_of`` where a column holds it."""
    rows = valid[APPLICANTS]
    for table, lookup in portfolio.lookups.items():
        found = valid[table].select("lookup_key", *lookup.columns)
        rows = rows.join(found, left_on=lookup.by, right_on="lookup_key", how="left", maintain_order="left")
    if portfolio.as_of.column is not None:
        rows = rows.with_columns(as_of=truncated(pl.col(portfolio.as_of.column), portfolio.as_of))
    return rows


def application_table(valid: Valid, portfolio: Portfolio) -> pl.LazyFrame:
    """Return ``applicant_id`` and what is known of each applicant at the decision.

    Where declared, ``person`` names who several rows belong to, and ``as_of`` is the row's own decision.
    """
    rows = applicant_rows(valid, portfolio)
    own = [name for name in ("person", "as_of") if name in rows.collect_schema().names()]
    return rows.select("applicant_id", *own, *portfolio.application_columns)


def protected_table(valid: Valid, portfolio: Portfolio) -> pl.LazyFrame:
    """Return ``applicant_id`` and the protected attributes, which no model may read."""
    return applicant_rows(valid, portfolio).select("applicant_id", *portfolio.protected_columns)


def outcome_table(valid: Valid, portfolio: Portfolio) -> pl.LazyFrame:
    """Return ``applicant_id``, ``label`` and ``is_bad`` (int8: 1 bad, 0 good, null for all other labels).

    ``label`` is bad, good, indeterminate, excluded (by its rule, or decided before ``decided_from``), immature (read
    before the performance window was closed) or null, when no rule is met.
    """
    label = pl.lit(None, pl.String)
    for name, rule in reversed(portfolio.outcome.rules.items()):
        label = pl.when(meets(portfolio.outcome.column, rule)).then(pl.lit(name)).otherwise(label)
    label = pl.when(_is_mature(portfolio)).then(label).otherwise(pl.lit("immature"))
    if portfolio.outcome.decided_from is not None:
        out_of_scope = pl.col("as_of") < midnight(portfolio.outcome.decided_from)
        label = pl.when(out_of_scope).then(pl.lit("excluded")).otherwise(label)
    is_bad = pl.when(pl.col("label").is_in(["bad", "good"])).then((pl.col("label") == "bad").cast(pl.Int8))
    labelled = applicant_rows(valid, portfolio).select("applicant_id", label=label)
    return labelled.with_columns(is_bad=is_bad)


def event_tables(valid: Valid, portfolio: Portfolio) -> dict[str, pl.LazyFrame]:
    """Return each event table: ``applicant_id``, ``occurred_at``, ``event_number`` and its columns.

    ``event_number`` is the order of receipt. Tables that have them also carry ``known_at`` and ``event_id``.
    """
    return {
        table: _received_events(valid[table], declared)
        if declared.from_wide is None
        else _long(valid[APPLICANTS], table, declared)
        for table, declared in portfolio.events.items()
    }


def unmatched_rows(valid: Valid, portfolio: Portfolio) -> dict[str, int]:
    """Return, by event table, events whose applicant has no valid row; by lookup, applicants for whom it has none."""
    applicants = valid[APPLICANTS].select("applicant_id")
    left = {
        table: valid[table].join(applicants, on="applicant_id", how="anti")
        for table, declared in portfolio.events.items()
        if declared.from_wide is None
    }
    rows = valid[APPLICANTS]
    for table, lookup in portfolio.lookups.items():
        found = valid[table].select("lookup_key", *lookup.columns, _found=True)
        rows = rows.join(found, left_on=lookup.by, right_on="lookup_key", how="left").rename({"_found": f"_{table}"})
        left[table] = rows.filter(pl.col(f"_{table}").is_null() & pl.col(lookup.by).is_not_null())
    counted = pl.collect_all([frame.select(pl.len()) for frame in left.values()], engine="streaming")
    return {table: count.item() for table, count in zip(left, counted, strict=True)}


def truncated(moment: pl.Expr, as_of: AsOf) -> pl.Expr:
    """Return moments truncated to the declared granularity."""
    return moment.dt.truncate({"day": "1d", "hour": "1h", "second": "1s"}[as_of.granularity])


def midnight(day: date) -> datetime:
    """Return the first moment of ``day`` in UTC."""
    return datetime.combine(day, time(), UTC)


def meets(name: str, rule: Condition) -> pl.Expr:
    """Return whether a column meets every bound of ``rule``; never where it is missing."""
    value, met = pl.col(name), pl.lit(True)
    if rule.at_least is not None:
        met &= value >= rule.at_least
    if rule.at_most is not None:
        met &= value <= rule.at_most
    if rule.above is not None:
        met &= value > rule.above
    if rule.below is not None:
        met &= value < rule.below
    if rule.one_of is not None:
        texts = any(isinstance(listed, str) for listed in rule.one_of)
        met &= (value if texts else value.cast(pl.Float64)).is_in(list(rule.one_of))
    return met.fill_null(value=False)


def _is_mature(portfolio: Portfolio) -> pl.Expr:
    outcome, as_of = portfolio.outcome, portfolio.as_of
    if outcome.observed is None:
        return pl.lit(True)
    begins = pl.col(outcome.starts or as_of.column or "as_of")
    if not (outcome.starts or as_of.column):
        begins = pl.lit(midnight(as_of.constant) if as_of.constant else None).cast(MOMENT)
    observed = outcome.observed
    read = pl.col(observed.column) if observed.column else pl.lit(midnight(observed.constant or date.min)).cast(MOMENT)
    return (begins + timedelta(days=outcome.window_days) <= read).fill_null(value=False)


def _received_events(valid: pl.LazyFrame, declared: EventsTable) -> pl.LazyFrame:
    times = ["occurred_at", *(["known_at"] if declared.known_at else [])]
    names = ["event_id"] if declared.id else []
    return valid.select("applicant_id", *times, "event_number", *names, *declared.columns)


def _long(applicants: pl.LazyFrame, table: str, declared: EventsTable) -> pl.LazyFrame:
    """Events that arrive in the applicants' rows, applicant by applicant, from the oldest to the newest."""
    moments = sorted(declared.from_wide.at) if declared.from_wide else []
    rows = applicants.with_row_index("_row")
    long = pl.concat(
        rows.select(
            "_row",
            "applicant_id",
            occurred_at=pl.lit(midnight(day)).cast(MOMENT),
            event_number=pl.lit(number, pl.Int32),
            **{name: pl.col(wide_name(table, day, name)) for name in declared.columns},
        )
        for number, day in enumerate(moments)
    )
    return long.sort("_row", "event_number").drop("_row")


def types(columns: Mapping[str, Column]) -> dict[str, pl.DataType]:
    """Return the type in which each column is held."""
    return {name: column_type(column) for name, column in columns.items()}
