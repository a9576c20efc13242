"""Which column dates each decision, and which dates lie after it."""

from collections.abc import Collection, Sequence

import polars as pl

from credit_scoring.core.drafting.columns import GuessedColumn
from credit_scoring.core.drafting.dates import DateGuess
from credit_scoring.core.drafting.leaks import typed_values
from credit_scoring.core.drafting.words import decision_date_rank, is_protected

_MOSTLY = 0.5
_MOST_MISSING = 0.5


def choose_decision_date(columns: Sequence[GuessedColumn], leaks: Collection[str]) -> str | None:
    """Return the received column that most likely dates each application or decision; None if there is none."""
    ranks = {
        column.source: (rank, column.missing_rows)
        for column in _dates(columns, leaks)
        if (rank := decision_date_rank(column.source)) is not None
        and column.missing_rows < _MOST_MISSING * column.distinct.rows
    }
    return min(ranks, key=lambda source: ranks[source]) if ranks else None


def dates_after(
    chosen: str, columns: Sequence[GuessedColumn], leaks: Collection[str], rows: pl.DataFrame
) -> dict[str, str]:
    """Return, for each date that lies after the ``chosen`` one in most rows, that in words."""
    days = {column.source: typed_values(column, rows[column.source]) for column in _dates(columns, leaks)}
    found = {}
    for source, other in days.items():
        after = (other > days[chosen]).drop_nulls()
        share = after.sum() / max(after.len(), 1)
        if source != chosen and share > _MOSTLY:
            found[source] = (
                f"in {share:.0%} of the rows that have both it lies after '{chosen}': if it is known only "
                f"later, write after_outcome: true"
            )
    return found


def _dates(columns: Sequence[GuessedColumn], leaks: Collection[str]) -> list[GuessedColumn]:
    return [
        column
        for column in columns
        if isinstance(column.guess, DateGuess) and column.source not in leaks and not is_protected(column.source)
    ]
