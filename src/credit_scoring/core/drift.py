"""Population stability against frozen development deciles."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from credit_scoring.core.scoring import Deciles, Floats, Matrix

POINTS = "points"
"""Name under which the score itself stands among the deciles; no feature may have it."""

_FLOOR = 1e-4
"""Share given to an empty group, so that its logarithm exists (the usual convention)."""


def development_deciles(features: Matrix, names: tuple[str, ...], points: Floats) -> dict[str, Deciles]:
    """Freeze ten groups of the development part by each feature, ``(n, p)``, and by its points, ``(n,)``."""
    columns = dict(zip(names, features.T, strict=True)) | {POINTS: points}
    return {name: _deciles(np.asarray(values, dtype=np.float64)) for name, values in columns.items()}


def population_stability_index(values: npt.NDArray[np.floating], deciles: Deciles) -> float:
    """Return the PSI of ``(n,)`` values against frozen deciles: sum of (a - e) * ln(a / e) over groups.

    Missing values are a group of their own, so a feature that stops arriving shows. Zero means the same
    distribution; by common usage 0.10 is worth a look and 0.25 a shift (Siddiqi 2006, ch. 9).
    """
    expected = np.maximum(np.asarray(deciles.shares), _FLOOR)
    actual = np.maximum(_shares(np.asarray(values, dtype=np.float64), deciles.edges), _FLOOR)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def stability(
    features: Matrix, names: tuple[str, ...], points: Floats, deciles: Mapping[str, Deciles]
) -> dict[str, float]:
    """Return the PSI of each feature, ``(n, p)``, and of the points, ``(n,)``, by name."""
    columns = dict(zip(names, features.T, strict=True)) | {POINTS: points}
    return {name: population_stability_index(values, deciles[name]) for name, values in columns.items()}


def _deciles(values: Floats) -> Deciles:
    known = values[~np.isnan(values)]
    cuts = np.unique(np.quantile(known, np.arange(1, 10) / 10)) if len(known) else np.empty(0)
    return Deciles(tuple(float(c) for c in cuts), tuple(float(s) for s in _shares(values, cuts)))


def _shares(values: Floats, edges: Floats | tuple[float, ...]) -> Floats:
    """Shares of the groups ``edges[i-1] < value <= edges[i]``, then of missing values."""
    groups = np.searchsorted(np.asarray(edges), values, side="left")
    groups[np.isnan(values)] = len(edges) + 1
    return np.bincount(groups, minlength=len(edges) + 2) / max(len(values), 1)
