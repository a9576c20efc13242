"""The scorecard: weight of evidence per bin, added up with one coefficient per feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

    def assign(self, values: Matrix) -> npt.NDArray[np.intp]:
        """Return the bin of each value of ``values``, ``(n,)`` float32; NaN goes to the last bin."""
        missing_bin = self.regular + len(self.special)
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
        size = self.regular + len(self.special) + 1
        bins = self.assign(values)
        bads = np.bincount(bins, weights=is_bad, minlength=size)
        goods = np.bincount(bins, minlength=size) - bads
        prior = np.where(np.arange(size) < self.regular, PRIOR_ROWS, PRIOR_ROWS_OF_A_STATE) / len(values)
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


class ScorecardData(BaseModel):
    """A scorecard as it is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[str, ...]
    intercept: float
    bins: tuple[FeatureBins, ...]
    coefficients: tuple[float, ...]
    reference_woe: tuple[float, ...]


@dataclass(frozen=True)
class Scorecard:
    """Classifier whose margin is ``intercept + sum(coefficient * woe of the value's bin)``.

    ``data.reference_woe`` is the mean WoE of each used feature over the reference sample: the level
    against which contributions are counted.
    """

    data: ScorecardData

    algorithm = "scorecard"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features of the plan in the order of the matrix's columns; unused ones contribute nothing."""
        return self.data.inputs

    @property
    def bias(self) -> float:
        """Mean margin of the reference sample."""
        weights = zip(self.data.coefficients, self.data.reference_woe, strict=True)
        return self.data.intercept + sum(coefficient * woe for coefficient, woe in weights)

    def margin(self, features: Matrix) -> Floats:
        """Return the log-odds of bad before calibration, ``(n,)``, for ``(n, p)`` features."""
        # Added feature by feature: a matrix product may add in another order for one row than for many.
        margin = np.full(len(features), self.data.intercept)
        for coefficient, woe in zip(self.data.coefficients, self._woe(features), strict=True):
            margin += coefficient * woe
        return margin

    def contributions(self, features: Matrix) -> Floats:
        """Return ``(n, p)`` contributions to the margin, relative to the reference; rows add up to margin - bias."""
        found = np.zeros(features.shape)
        terms = zip(self.data.bins, self.data.coefficients, self.data.reference_woe, self._woe(features), strict=True)
        for bins, coefficient, reference, woe in terms:
            found[:, self.inputs.index(bins.feature)] = coefficient * (woe - reference)
        return found

    def with_reference(self, reference: Matrix) -> "Scorecard":
        """Return the same scorecard with contributions counted against ``reference``, ``(m, p)``."""
        means = tuple(float(woe.mean()) for woe in self._woe(reference))
        return Scorecard(self.data.model_copy(update={"reference_woe": means}))

    def _woe(self, features: Matrix) -> list[Floats]:
        columns = [self.inputs.index(bins.feature) for bins in self.data.bins]
        return [
            np.asarray(bins.woe)[bins.assign(features[:, column])]
            for bins, column in zip(self.data.bins, columns, strict=True)
        ]

    def to_files(self) -> dict[str, bytes]:
        """Return the classifier as files by name."""
        return {"scorecard.json": self.data.model_dump_json(indent=1).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Scorecard":
        """Read what ``to_files`` wrote."""
        return cls(ScorecardData.model_validate_json(files["scorecard.json"]))
