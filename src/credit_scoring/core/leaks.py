"""Values that tell the outcome almost alone, in any language, as what is known only afterwards does."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

LEAK_FROM = 0.95
"""AUC of one column alone from which it is taken for a leak; scores of whole files of loans reach .65 to .95."""

SUSPICIOUS_FROM = 0.90

_MOST_ROWS = 50_000
_FEWEST_ROWS = 100
_BINS = 50
_ABSURD = 1e-9
_FEWEST_ALIKE = 30
_SHARE_OF_BADS = 0.05
_SHARE_OF_GOODS = 0.2
"""An honest grade can be free of bads, but hardly one in which so many of the goods are; nothing honest is all bad."""

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Leak:
    """Why values are probably known only after the outcome, in words; where not ``sure`` they are worth a look.

    ``auc`` is that of the values alone, where that is the reason.
    """

    why: str
    sure: bool = True
    auc: float | None = None


@dataclass(frozen=True, slots=True)
class _State:
    """How many rows have in common what ``told`` says, and how many of them are bad."""

    told: str
    rows: int
    bads: int


def leak_in(values: pl.Series, is_bad: Floats) -> Leak | None:
    """Return why ``values`` are probably a leak, or worth a look; None if nothing says so, or there are few rows.

    Args:
        values: ``(n,)`` numbers or texts, null where missing.
        is_bad: ``(n,)`` of 0 and 1.
    """
    if len(is_bad) < _FEWEST_ROWS:
        return None
    rows = np.random.default_rng(0).permutation(len(is_bad))[:_MOST_ROWS]
    values, outcomes = values.gather(rows), is_bad[rows]
    missing = values.is_null().to_numpy().astype(np.int64)
    by_missing = cross_fitted_auc(missing, outcomes)
    if by_missing >= LEAK_FROM:
        return Leak(f"whether it is missing alone tells the outcome (AUC {by_missing:.2f})", auc=by_missing)
    alone = cross_fitted_auc(_codes(values), outcomes)
    if alone >= LEAK_FROM:
        return Leak(f"it alone tells the outcome (AUC {alone:.2f})", auc=alone)
    pure = _pure(values, outcomes)
    if (pure is None or not pure.sure) and alone >= SUSPICIOUS_FROM:
        return Leak(f"suspicious, as it alone nearly tells the outcome (AUC {alone:.2f})", sure=False, auc=alone)
    return pure


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


def _codes(values: pl.Series) -> Codes:
    """A whole number per row: 0 where missing, else the text's, or that of the part of the range."""
    if not values.dtype.is_numeric():
        return (values.rank("dense").fill_null(0)).to_numpy().astype(np.int64)
    amounts = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    present = ~np.isnan(amounts)
    if not present.any():
        return np.zeros(len(amounts), dtype=np.int64)
    distinct = np.unique(amounts[present])
    edges = np.unique(np.quantile(amounts[present], np.linspace(0, 1, _BINS + 1)))
    edges = distinct if len(distinct) <= _BINS else edges
    return np.where(present, np.searchsorted(edges, amounts, side="left") + 1, 0).astype(np.int64)


def _pure(values: pl.Series, is_bad: Floats) -> Leak | None:
    """States whose rows all ended alike, where by the share of that outcome this is absurd for chance."""
    found: dict[tuple[bool, bool], Leak] = {}
    for state in _states(values, is_bad):
        if state.rows < _FEWEST_ALIKE or state.bads not in (0, state.rows):
            continue
        outcome, share = ("bad", _SHARE_OF_BADS) if state.bads else ("good", _SHARE_OF_GOODS)
        of_all = float(is_bad.mean()) if state.bads else 1 - float(is_bad.mean())
        if state.rows * np.log(max(of_all, _ABSURD)) > np.log(_ABSURD):
            continue
        sure = state.rows >= share * of_all * len(is_bad)
        leak = Leak(f"it is {state.told} in {state.rows:,} rows, and all of them are {outcome}", sure)
        found.setdefault((sure, outcome == "bad"), leak)
    return found[max(found)] if found else None


def _states(values: pl.Series, is_bad: Floats) -> Iterator[_State]:
    """Missing, given, each value of enough rows, and other than the usual one: a zero where nothing happened."""
    rows = pl.DataFrame({"value": values, "is_bad": is_bad})
    by_value = rows.group_by("value").agg(pl.len().alias("rows"), pl.col("is_bad").sum().alias("bads"))
    missing = by_value.filter(pl.col("value").is_null())
    given = by_value.drop_nulls("value").sort(["rows", "value"], descending=True)
    yield _State("missing", int(missing["rows"].sum()), int(missing["bads"].sum()))
    all_given = _State("given", int(given["rows"].sum()), int(given["bads"].sum()))
    yield all_given
    for position, (value, size, bads) in enumerate(given.filter(pl.col("rows") >= _FEWEST_ALIKE).iter_rows()):
        told = f"{value:g}" if isinstance(value, int | float) else repr(value)
        yield _State(told, size, int(bads))
        if position == 0:
            yield _State(f"given and other than {told}", all_given.rows - size, all_given.bads - int(bads))
