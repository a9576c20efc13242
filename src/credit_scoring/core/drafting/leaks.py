"""Columns that tell the outcome almost alone, as what is known only afterwards does."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.drafting.columns import CategoryGuess, GuessedColumn, TextGuess
from credit_scoring.core.drafting.dates import DateGuess
from credit_scoring.core.drafting.words import is_after_outcome
from credit_scoring.core.parsing import parsed
from credit_scoring.core.portfolio import Column

LEAK_FROM = 0.95
"""AUC of one column alone from which it is taken for a leak; scores of whole files of loans reach .65 to .95."""

_MOST_ROWS = 50_000
_BINS = 50
_FEWEST_PURE = 50
_PURE_SHARE = 0.02

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Leak:
    """Why a column is probably known only after the outcome, in words."""

    why: str
    sure: bool = True


def leak_of(column: GuessedColumn, received: pl.Series, is_bad: pl.Series) -> Leak | None:
    """Return why ``column`` is probably a leak, or is worth a look (``sure`` false); None if nothing says so.

    Args:
        column: What it is taken for.
        received: Its texts, ``(n,)``.
        is_bad: ``(n,)`` 1.0 bad, 0.0 good, null neither.
    """
    if is_after_outcome(column.source):
        return Leak("its name is that of something that happens after the decision")
    known = is_bad.is_not_null()
    outcomes = is_bad.filter(known).to_numpy().astype(np.float64)
    if isinstance(column.guess, TextGuess) or len(outcomes) < 2 * _FEWEST_PURE:
        return None
    text = received.filter(known)
    rows = np.random.default_rng(0).permutation(len(outcomes))[:_MOST_ROWS]
    codes, outcomes = _codes(column, text.gather(rows)), outcomes[rows]
    by_missing = cross_fitted_auc((codes == 0).astype(np.int64), outcomes)
    if by_missing >= LEAK_FROM:
        return Leak(f"whether it is missing alone tells the outcome (AUC {by_missing:.2f})")
    alone = cross_fitted_auc(codes, outcomes)
    if alone >= LEAK_FROM:
        return Leak(f"it alone tells the outcome (AUC {alone:.2f})")
    return _pure(column, codes, outcomes)


def cross_fitted_auc(codes: Codes, is_bad: Floats) -> float:
    """Return the AUC of the bad rate of each code, taken from the half of the rows that is not judged.

    Args:
        codes: ``(n,)`` whole numbers from 0, in no order of time or outcome.
        is_bad: ``(n,)`` of 0 and 1.
    """
    half = np.arange(len(codes)) % 2 == 0
    average, size = float(is_bad.mean()), int(codes.max(initial=0)) + 1
    areas = []
    for fit, judge in ((half, ~half), (~half, half)):
        rows = np.bincount(codes[fit], minlength=size)
        bads = np.bincount(codes[fit], weights=is_bad[fit], minlength=size)
        areas.append(_auc(((bads + average) / (rows + 1))[codes[judge]], is_bad[judge]))
    return sum(areas) / 2


def _auc(scores: Floats, is_bad: Floats) -> float:
    """Area under the ROC curve, ties counting half; 0.5 where one outcome is absent."""
    values, position = np.unique(scores, return_inverse=True)
    bads = np.bincount(position, weights=is_bad, minlength=len(values))
    goods = np.bincount(position, weights=1 - is_bad, minlength=len(values))
    if not bads.sum() or not goods.sum():
        return 0.5
    below = np.cumsum(goods) - goods
    return float((bads * (below + goods / 2)).sum() / (bads.sum() * goods.sum()))


def _codes(column: GuessedColumn, text: pl.Series) -> Codes:
    """A whole number per row: 0 where missing, else the category, or the part of the range."""
    stripped = text.alias("text").str.strip_chars().to_frame()
    guess = column.guess
    if isinstance(guess, CategoryGuess):
        positions = {value: position for position, value in enumerate(guess.values, start=1)}
        found = stripped["text"].replace_strict(positions, default=0, return_dtype=pl.Int64)
        return np.asarray(found.fill_null(0).to_numpy())
    missing = guess.declared().get("missing", [])
    declared = {key: value for key, value in guess.declared().items() if key not in ("min", "max", "special")}
    known = pl.when(~pl.col("text").is_in(missing)).then("text")
    values = stripped.select(parsed(known, Column.model_validate(declared))).to_series()
    numbers = values.dt.epoch("s") if isinstance(guess, DateGuess) else values
    amounts = numbers.cast(pl.Float64).to_numpy()
    present = ~np.isnan(amounts)
    if not present.any():
        return np.zeros(len(amounts), dtype=np.int64)
    edges = np.unique(np.quantile(amounts[present], np.linspace(0, 1, _BINS + 1)))
    distinct = np.unique(amounts[present])
    edges = distinct if len(distinct) <= _BINS else edges
    return np.where(present, np.searchsorted(edges, amounts, side="left") + 1, 0).astype(np.int64)


def _pure(column: GuessedColumn, codes: Codes, is_bad: Floats) -> Leak | None:
    """Categories whose rows all ended alike, far beyond chance: told, because they may be honest."""
    if not isinstance(column.guess, CategoryGuess):
        return None
    rows, bads = np.bincount(codes), np.bincount(codes, weights=is_bad)
    average = float(is_bad.mean())
    enough = rows >= max(_FEWEST_PURE, _PURE_SHARE * len(codes))
    all_bad = enough & (bads == rows) & (rows * -np.log(max(average, 1e-9)) > 14)
    all_good = enough & (bads == 0) & (rows * -np.log(max(1 - average, 1e-9)) > 14)
    pure = [column.guess.values[code - 1] for code in np.flatnonzero(all_bad | all_good) if code > 0]
    if not pure:
        return None
    return Leak(f"every row with {' or '.join(repr(value) for value in pure[:3])} ended alike", sure=False)
