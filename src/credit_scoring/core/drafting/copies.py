"""Columns that repeat another one, or follow from it."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import polars as pl

from credit_scoring.core.drafting.columns import CategoryGuess, GuessedColumn, TextGuess

_COMPARED = 2_000
_NEARLY = 0.98
_MOST_CATEGORICAL = 40


def copies(columns: Sequence[GuessedColumn], rows: pl.DataFrame) -> dict[str, str]:
    """Return, for each column that repeats an earlier one or follows from it, that in words.

    Args:
        columns: What the received columns are taken for.
        rows: Received text, a column for each of them.
    """
    usable = [column for column in columns if not isinstance(column.guess, TextGuess)]
    return {**_dependent(usable, rows), **_equal(usable, rows)}


def _equal(columns: Sequence[GuessedColumn], rows: pl.DataFrame) -> dict[str, str]:
    """Columns of the same texts in nearly all rows; some rows are compared first, as there are many pairs."""
    if len(columns) < 2 or not rows.height:
        return {}
    some = rows.select(column.source for column in columns).sample(min(_COMPARED, rows.height), seed=0)
    texts = np.stack([some[column.source].fill_null("").str.strip_chars().hash().to_numpy() for column in columns])
    found: dict[str, str] = {}
    for position in range(1, len(columns)):
        similar = np.flatnonzero((texts[:position] == texts[position]).mean(axis=1) >= _NEARLY)
        for other in similar:
            later, earlier = columns[position].source, columns[int(other)].source
            if _same_beside_the_usual(rows[earlier], rows[later]):
                found[later] = f"nearly always the same as '{earlier}'; one of them is enough"
                break
    return found


def _same_beside_the_usual(earlier: pl.Series, later: pl.Series) -> bool:
    """Whether they agree in nearly all rows where one of them is not what it mostly is: by then it is no chance."""
    one, other = (column.fill_null("").str.strip_chars() for column in (earlier, later))
    unusual = (one != one.mode().sort()[0]) | (other != other.mode().sort()[0])
    rows = int(unusual.sum())
    return rows > 0 and int(((one == other) & unusual).sum()) >= _NEARLY * rows


def _dependent(columns: Sequence[GuessedColumn], rows: pl.DataFrame) -> dict[str, str]:
    """Categories of which each comes with one category of another column only."""
    categorical = [c for c in columns if isinstance(c.guess, CategoryGuess) and len(c.guess.values) > 2]
    found: dict[str, str] = {}
    for one, other in combinations(categorical[:_MOST_CATEGORICAL], 2):
        coarse, fine = sorted((one, other), key=lambda column: len(column.distinct))
        pairs = rows.select(pl.col(coarse.source, fine.source).fill_null("").str.strip_chars()).head(10 * _COMPARED)
        known = pairs.filter(pl.col(fine.source) != "").unique()
        if 0 < known.height == known[fine.source].n_unique() and known[coarse.source].n_unique() > 2:
            found.setdefault(coarse.source, f"it follows from '{fine.source}', which is finer; one of them is enough")
    return found
