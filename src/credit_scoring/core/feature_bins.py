"""The bins of one feature, and the weight of evidence of each."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

PRIOR_ROWS = 0.5
"""Average applicants added to a regular bin, so that one without bads has a finite weight of evidence."""

PRIOR_ROWS_OF_A_STATE = 20.0
"""The same for special and missing values, whose bins may be of any size: a few applicants prove little."""


class FeatureBins(BaseModel):
    """The bins of one feature with their weight of evidence (WoE).

    Regular bins come first: for a number, bin i holds ``edges[i-1] <= value < edges[i]`` in float32; for a
    category, ``groups[position]`` names its bin. Then one bin per special value, and the bin of missing
    values last. ``woe[b] = ln(share of goods in b / share of bads in b)`` on the development part (Siddiqi
    2006, Credit Risk Scorecards, ch. 6), each share raised by the bin's prior rows over all rows; so it is 0,
    the average applicant, where a bin held no applicant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    edges: tuple[float, ...] = ()
    groups: tuple[int, ...] | None = None
    special: tuple[float, ...] = ()
    goods: tuple[int, ...] = ()
    bads: tuple[int, ...] = ()
    woe: tuple[float, ...] = ()

    @property
    def regular(self) -> int:
        """Number of regular bins."""
        return max(self.groups) + 1 if self.groups is not None else len(self.edges) + 1

    @property
    def size(self) -> int:
        """Number of bins: the regular ones, one per special value, and that of missing values."""
        return self.regular + len(self.special) + 1

    def assign(self, values: Matrix) -> npt.NDArray[np.intp]:
        """Return the bin of each value of ``values``, ``(n,)`` float32; NaN goes to the last bin."""
        missing_bin = self.size - 1
        if self.groups is not None:
            known = np.where(np.isnan(values), 0, values).astype(np.intp)
            bins = np.asarray(self.groups, dtype=np.intp)[known]
        else:
            bins = np.searchsorted(np.asarray(self.edges, dtype=np.float32), values, side="right")
        for position, special in enumerate(self.special):
            bins = np.where(values == np.float32(special), self.regular + position, bins)
        return np.where(np.isnan(values), missing_bin, bins)

    def counted(self, values: Matrix, is_bad: npt.NDArray[np.int8]) -> Self:
        """Return these bins with goods, bads and WoE counted on ``values``."""
        bins = self.assign(values)
        bads = np.bincount(bins, weights=is_bad, minlength=self.size)
        goods = np.bincount(bins, minlength=self.size) - bads
        prior = np.where(np.arange(self.size) < self.regular, PRIOR_ROWS, PRIOR_ROWS_OF_A_STATE) / len(values)
        woe = np.log((goods / goods.sum() + prior) / (bads / bads.sum() + prior))
        return self.model_copy(
            update={
                "goods": tuple(int(n) for n in goods),
                "bads": tuple(int(n) for n in bads),
                "woe": tuple(float(w) for w in woe),
            }
        )

    def labels(self, categories: Sequence[str] = ()) -> list[str]:
        """Return a readable name of each bin, in bin order."""
        if self.groups is not None:
            regular = [
                ", ".join(c for c, group in zip(categories, self.groups, strict=True) if group == b)
                for b in range(self.regular)
            ]
        else:
            bounds = ["-inf", *(f"{edge:g}" for edge in self.edges), "inf"]
            regular = [f"[{low}, {high})" for low, high in pairwise(bounds)]
        return [*regular, *(f"special {value:g}" for value in self.special), "missing"]
