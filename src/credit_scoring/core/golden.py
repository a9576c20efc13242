"""One made-up application per portfolio, from the declared examples: scored before anybody is served."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import polars as pl

from credit_scoring.core.features.feature_set import to_matrix
from credit_scoring.core.parsing import MOMENT, column_type
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.scoring import ModelBundle, score_and_explain

GOLDEN_APPLICANT = "golden"

_AS_OF = datetime(2000, 7, 1, tzinfo=UTC)
_DAY = date(2000, 1, 1)
_EVENTS = 6
_EVENT_SPACING = timedelta(days=30)


def golden_application(portfolio: Portfolio) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Return the applicants table, one row, and the event tables, six rows each, of the made-up applicant."""
    columns = portfolio.application_columns
    applicants = pl.DataFrame({"applicant_id": [GOLDEN_APPLICANT]}).with_columns(
        pl.lit(_AS_OF).cast(MOMENT).alias("as_of"), **_examples(columns)
    )
    moments = [_AS_OF - _EVENT_SPACING * (_EVENTS - number) for number in range(_EVENTS)]
    rows = pl.DataFrame(
        {"applicant_id": GOLDEN_APPLICANT, "occurred_at": moments, "event_number": range(_EVENTS)},
        schema={"applicant_id": pl.String, "occurred_at": MOMENT, "event_number": pl.Int32},
    ).with_columns(known_at="occurred_at")
    return applicants, {
        table: rows.with_columns(**_examples(declared.columns)) for table, declared in portfolio.events.items()
    }


def golden_points(bundle: ModelBundle) -> float:
    """Return ``points_exact`` of the made-up applicant under ``bundle``.

    Its reasons are found too, so that all that a bundle makes when it is first needed is made by then.
    """
    applicants, events = golden_application(bundle.portfolio)
    features = to_matrix(bundle.plan.compute(applicants, events), bundle.plan.names)
    scores, explanation = score_and_explain(features, bundle)
    bundle.reason_table.reasons(features, explanation.points)
    return float(scores.points_exact[0])


def example_value(column: Column) -> float | str | date | None:
    """Return the declared example, else the first category, the bound nearest zero or 2000, or nothing if nullable."""
    if column.example is not None:
        return column.example
    if column.nullable:
        return None
    if column.type == "category":
        return column.categories[0]
    if column.type == "date":
        first, last = column.days
        return min(max(_DAY, first), last)
    low, high = column.bounds
    return min(max(0.0, low), high)


def _examples(columns: Mapping[str, Column]) -> dict[str, pl.Expr]:
    return {name: pl.lit(example_value(column)).cast(column_type(column)) for name, column in columns.items()}
