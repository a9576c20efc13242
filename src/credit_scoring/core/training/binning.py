"""Finds the monotone bins of one feature with optbinning."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from credit_scoring.core.feature_bins import FeatureBins, Floats, Matrix
from credit_scoring.core.features.declared import FeatureDeclaration
from credit_scoring.core.training.options import ScorecardOptions

# optbinning pulls in cvxpy, which reports on import that it cannot load one of its many solvers (HiGHS is
# there already, in ortools' build). Binning uses neither; the message would only worry the reader.
logging.getLogger("__cvxpy__").addFilter(lambda record: "HIGHS" not in record.getMessage())
from optbinning import OptimalBinning  # noqa: E402 - after the filter above

_TREND = {"riskier": "ascending", "safer": "descending", None: "auto_asc_desc"}
"""Declared direction to optbinning's trend of the bad rate over the bins."""

_RARE_CATEGORY = 0.01
"""Categories below this share of applicants are judged together."""


def fit_bins(
    name: str,
    declared: FeatureDeclaration,
    categories: Sequence[str],
    values: Matrix,
    is_bad: npt.NDArray[np.int8],
    options: ScorecardOptions,
) -> FeatureBins:
    """Return the bins of one feature, counted on ``values``, ``(n,)`` float32 with NaN missing.

    The bad rate over the bins of a number follows the declared direction, or whichever of rising and
    falling separates better (optimal binning, Navas-Palencia 2020, arXiv:2001.08025). ``categories`` are
    those of a categorical feature, else empty: they are grouped by similar bad rate.
    """
    if categories:
        bins = FeatureBins(feature=name, groups=_groups(values, is_bad, len(categories), options))
    else:
        special = tuple(declared.special)
        cuts = _cuts(values, is_bad, special, _TREND[declared.higher_is], options)
        bins = FeatureBins(feature=name, edges=cuts, special=special)
    return bins.counted(values, is_bad)


def information_value(bins: FeatureBins) -> float:
    """Return the information value: the sum over bins of (share of goods - share of bads) * WoE."""
    goods, bads = np.asarray(bins.goods), np.asarray(bins.bads)
    return float(np.sum((goods / goods.sum() - bads / bads.sum()) * np.asarray(bins.woe)))


def _cuts(
    values: Matrix,
    is_bad: npt.NDArray[np.int8],
    special: tuple[float, ...],
    trend: str,
    options: ScorecardOptions,
) -> tuple[float, ...]:
    regular = ~np.isnan(values) & ~np.isin(values, np.asarray(special, dtype=np.float32))
    if len(np.unique(values[regular])) < 2 or len(np.unique(is_bad[regular])) < 2:
        return ()
    found = _fit(values[regular], is_bad[regular], options, len(values), dtype="numerical", monotonic_trend=trend)
    # Edges are float32 like the values they part, so that no path can land in another bin.
    return tuple(float(edge) for edge in np.unique(np.asarray(found, dtype=np.float32)))


def _groups(values: Matrix, is_bad: npt.NDArray[np.int8], size: int, options: ScorecardOptions) -> tuple[int, ...]:
    """Group of each category position; a category never seen joins the group of the rare ones, the last."""
    known = ~np.isnan(values)
    if not known.any():
        return (0,) * size
    found: Sequence[Floats] = _fit(
        values[known], is_bad[known], options, len(values), dtype="categorical", cat_cutoff=_RARE_CATEGORY
    )
    group_of = {int(position): group for group, positions in enumerate(found) for position in positions}
    return tuple(group_of.get(position, len(found) - 1) for position in range(size))


def _fit(values: Matrix, is_bad: npt.NDArray[np.int8], options: ScorecardOptions, rows: int, **kind: Any) -> Any:
    # Specials and missing values have bins of their own, so shares are stated of all rows.
    share = min(options.min_bin_share * rows / len(values), 0.49)
    binning = OptimalBinning(max_n_bins=options.max_bins, min_bin_size=share, solver="cp", **kind)
    return binning.fit(values.astype(np.float64), is_bad).splits
