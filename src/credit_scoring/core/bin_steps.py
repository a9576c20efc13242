"""The bins of several features as flat arrays, in which a few array operations find those of all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from credit_scoring.core.feature_bins import FeatureBins, Floats, Matrix

Places = npt.NDArray[np.intp]

_NOWHERE = -1
"""The bin of a value that its feature cannot have."""


@dataclass(frozen=True, slots=True)
class BinSteps:
    """Bins of f features: a bin changes only at breaks, so the number of breaks that a value reaches tells its bin.

    Attributes:
        columns: ``(f,)``, the column of each feature in the matrix.
        breaks: ``(f, e, 1)`` ascending from minus infinity; NaN, which no value reaches, beyond a feature's own.
        starts: ``(f, 1)``, where the feature's values start in a table of e + 1 values each.
        count: The least type that counts e breaks, in which many rows are counted fastest.
        bins: By feature, the bin of a missing value and then the bin from each break on, -1 where no value belongs.
    """

    columns: Places
    breaks: Floats
    starts: Places
    count: np.dtype[Any]
    bins: tuple[Places, ...]

    @classmethod
    def of(cls, bins: Sequence[FeatureBins], columns: Sequence[int]) -> "BinSteps":
        """Return the bins of features that stand in ``columns``."""
        breaks = [_breaks(one) for one in bins]
        padded = np.full((len(bins), max(map(len, breaks), default=0), 1), np.nan)
        for row, own in zip(padded, breaks, strict=True):
            row[: len(own), 0] = own
        width = padded.shape[1] + 1
        starts = np.arange(0, len(bins) * width, width, dtype=np.intp)[:, None]
        found = tuple(_bins_between(one, own) for one, own in zip(bins, breaks, strict=True))
        return cls(np.asarray(columns, dtype=np.intp), padded, starts, np.min_scalar_type(width), found)

    def table(self, values: Iterable[Floats]) -> Floats:
        """Return each feature's values by bin as ``places`` finds them; NaN where no value belongs."""
        table = np.full((len(self.bins), self.breaks.shape[1] + 1), np.nan)
        for row, bins, of_bins in zip(table, self.bins, values, strict=True):
            row[: len(bins)] = np.where(bins == _NOWHERE, np.nan, of_bins[bins])
        return table.ravel()

    def places(self, features: Matrix) -> Places:
        """Return ``(f, n)``: where a ``table`` holds the values of ``(n, p)`` features.

        A missing value reaches no break, so its place is its feature's first.
        """
        reached = features.T.take(self.columns, axis=0)[:, None, :] >= self.breaks
        places: Places = self.starts + np.add.reduce(reached.view(np.uint8), axis=1, dtype=self.count)
        return places


def _breaks(bins: FeatureBins) -> Floats:
    """Every number from which on another bin may hold; they are float64, between which float32 values lie."""
    single = np.asarray(bins.special, dtype=np.float32)
    above = _next(single).astype(np.float64)
    # Half way to the next float32: zero's neighbour itself is so small that some processors take it for zero.
    beyond = np.where(np.isinf(above) | np.isinf(single), above, (single + above) / 2)
    edges = np.arange(len(bins.groups) + 1) if bins.groups is not None else np.asarray(bins.edges, dtype=np.float32)
    return np.unique(np.concatenate([[-np.inf], edges.astype(np.float64), single.astype(np.float64), beyond]))


def _bins_between(bins: FeatureBins, breaks: Floats) -> Places:
    """The bin of a missing value, then the bin that holds from each break on: that of its least value."""
    least = breaks.astype(np.float32)
    least = np.where(least < breaks, _next(least), least)
    known = np.ones(len(breaks), dtype=np.bool_)
    if bins.groups is not None:
        known = np.isin(least, np.asarray(bins.special, np.float32)) | ((least >= 0) & (least < len(bins.groups)))
    found = np.full(len(breaks), _NOWHERE, dtype=np.intp)
    found[known] = bins.assign(least[known])
    return np.concatenate([[bins.size - 1], found])


def _next(values: Matrix) -> Matrix:
    """The float32 above each; nothing but infinity lies above the largest."""
    with np.errstate(over="ignore", under="ignore"):
        return np.nextafter(values, np.float32(np.inf))
