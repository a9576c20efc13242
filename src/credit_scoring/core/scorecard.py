"""The scorecard: weight of evidence per bin, added up with one coefficient per feature."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from credit_scoring.core.bin_steps import BinSteps
from credit_scoring.core.feature_bins import FeatureBins, Floats, Matrix

_ROWS_AT_ONCE = 16_384
"""Rows whose bins are found together: more would only take memory, about 1 kB each."""


class ScorecardData(BaseModel):
    """A scorecard as it is stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[str, ...]
    intercept: float
    bins: tuple[FeatureBins, ...]
    coefficients: tuple[float, ...]
    reference_woe: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Terms:
    """What each bin adds, as ``BinSteps.table`` lays it out; the first feature's margins have the intercept in them."""

    margin: Floats
    contribution: Floats


@dataclass(frozen=True)
class Scorecard:
    """Classifier whose margin is ``intercept + sum(coefficient * woe of the value's bin)``.

    ``data.reference_woe`` is the mean WoE of each used feature over the reference sample: the level
    against which contributions are counted. These are exact: the margin has no term of several features.
    """

    data: ScorecardData

    algorithm = "scorecard"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features of the plan in the order of the matrix's columns; unused ones contribute nothing."""
        return self.data.inputs

    @cached_property
    def bias(self) -> float:
        """Mean margin of the reference sample."""
        weights = zip(self.data.coefficients, self.data.reference_woe, strict=True)
        return self.data.intercept + sum(coefficient * woe for coefficient, woe in weights)

    def margin(self, features: Matrix) -> Floats:
        """Return the log-odds of bad before calibration, ``(n,)``, for ``(n, p)`` features.

        NaN where a category is none of the declared ones.
        """
        margin = np.empty(len(features))
        for rows, places in self._places(features):
            margin[rows] = self._margin(places)
        return margin

    def contributions(self, features: Matrix) -> Floats:
        """Return ``(n, p)`` contributions to the margin, relative to the reference; rows add up to margin - bias."""
        found = np.zeros(features.shape)
        for rows, places in self._places(features):
            found[rows, self._steps.columns] = self._terms.contribution.take(places).T
        return found

    def explained(self, features: Matrix) -> tuple[Floats, Floats]:
        """Return ``margin`` and ``contributions`` of ``(n, p)`` features; their bins are found once."""
        margin, found = np.empty(len(features)), np.zeros(features.shape)
        for rows, places in self._places(features):
            margin[rows] = self._margin(places)
            found[rows, self._steps.columns] = self._terms.contribution.take(places).T
        return margin, found

    def under(self, scorer_version: str) -> "Scorecard":  # noqa: ARG002 - the protocol's signature
        """Return itself: every version of the scorer adds up the same terms in the same order."""
        return self

    def with_reference(self, reference: Matrix) -> "Scorecard":
        """Return the same scorecard with contributions counted against ``reference``, ``(m, p)``."""
        columns = [reference[:, self.inputs.index(bins.feature)] for bins in self.data.bins]
        woe = [np.asarray(bins.woe)[bins.assign(values)] for bins, values in zip(self.data.bins, columns, strict=True)]
        means = tuple(float(one.mean()) for one in woe)
        return Scorecard(self.data.model_copy(update={"reference_woe": means}))

    def to_files(self) -> dict[str, bytes]:
        """Return the classifier as files by name."""
        return {"scorecard.json": self.data.model_dump_json(indent=1).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Scorecard":
        """Read what ``to_files`` wrote."""
        return cls(ScorecardData.model_validate_json(files["scorecard.json"]))

    @cached_property
    def _steps(self) -> BinSteps:
        return BinSteps.of(self.data.bins, [self.inputs.index(bins.feature) for bins in self.data.bins])

    @cached_property
    def _terms(self) -> _Terms:
        margins, contributions = [], []
        terms = zip(self.data.bins, self.data.coefficients, self.data.reference_woe, strict=True)
        for place, (bins, coefficient, reference) in enumerate(terms):
            woe = np.asarray(bins.woe)
            margins.append(coefficient * woe if place else self.data.intercept + coefficient * woe)
            contributions.append(coefficient * (woe - reference))
        return _Terms(self._steps.table(margins), self._steps.table(contributions))

    def _places(self, features: Matrix) -> Iterator[tuple[slice, npt.NDArray[np.intp]]]:
        for first in range(0, len(features), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            yield rows, self._steps.places(features[rows])

    def _margin(self, places: npt.NDArray[np.intp]) -> Floats | float:
        if not len(places):
            return self.data.intercept
        # Added feature by feature: a sum or a product may add in another order for one row than for many.
        summed: Floats = np.add.accumulate(self._terms.margin.take(places), axis=0)[-1]
        return summed
