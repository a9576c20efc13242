"""From features to points: the one way to score, for training, batch and the service."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio, Scale
from credit_scoring.core.reasons import ReasonTable

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

SCORER_VERSION = "2"
"""Names this way of scoring in every record: raise it when the same bundle may score differently."""

SCORER_VERSIONS = ("1", SCORER_VERSION)
"""The versions under which decisions on record can be computed again, bit for bit.

Under 1 XGBoost itself scored and explained the trees, in float32; since 2 ``table_treeshap`` does, in float64.
Scorecards score under both the same.
"""


class Scorer(Protocol):
    """A fitted model as one version of the scorer reads it."""

    @property
    def bias(self) -> float:
        """Expected margin of the reference sample."""
        ...

    def margin(self, features: Matrix) -> Floats:
        """Return ``(n,)`` log-odds of bad before calibration for ``(n, p)`` features, NaN where missing."""
        ...

    def contributions(self, features: Matrix) -> Floats:
        """Return ``(n, p)`` contributions to the margin against the reference; rows add up to margin - bias."""
        ...

    def explained(self, features: Matrix) -> tuple[Floats, Floats]:
        """Return what ``margin`` and ``contributions`` return, bit for bit, in one pass.

        What is said of a row never depends on the rows beside it.
        """
        ...


class Classifier(Scorer, Protocol):
    """A fitted model that scores and explains itself; ``algorithm`` names its kind for the factory."""

    algorithm: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features in the order of the matrix's columns."""
        ...

    def under(self, scorer_version: str) -> Scorer:
        """Return the same model as an earlier one of ``SCORER_VERSIONS`` scored and explained it."""
        ...

    def with_reference(self, reference: Matrix) -> "Classifier":
        """Return the same model explained against ``reference``, ``(m, p)``."""
        ...

    def to_files(self) -> dict[str, bytes]:
        """Return the model as files by name: data, never pickles."""
        ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """``logit(prob_default) = intercept + slope * margin``, slope above zero (Platt 1999)."""

    intercept: float
    slope: float


@dataclass(frozen=True, slots=True)
class Deciles:
    """Ten groups of the development part by one number, frozen for the population stability index.

    ``edges`` are at most nine ascending cuts; ``shares`` are the groups' shares, missing values last.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class ModelBundle:
    """A fitted model with everything that its scores and reasons mean; a bundle is always scored by itself.

    ``candidate`` is the training namespace it came from, ``reference`` the ``(m, p)`` features that
    contributions are counted against, ``deciles`` the development deciles of each feature and of ``points``;
    ``scorer_version`` is the one it is scored under.
    """

    candidate: str
    portfolio: Portfolio
    classifier: Classifier
    calibration: Calibration
    reference: Matrix
    deciles: Mapping[str, Deciles]
    scorer_version: str = SCORER_VERSION
    _others: dict[str, "ModelBundle"] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def plan(self) -> FeatureSet:
        """The feature set that the model was fitted on."""
        return FeatureSet.of(self.portfolio)

    @cached_property
    def scorer(self) -> Scorer:
        """The model as ``scorer_version`` reads it."""
        return self.classifier if self.scorer_version == SCORER_VERSION else self.classifier.under(self.scorer_version)

    @cached_property
    def line(self) -> "PointsLine":
        """Points as a function of the log-odds."""
        return PointsLine.of(self.portfolio.scale)

    @cached_property
    def base_points(self) -> float:
        """The expected score of the reference, from which contributions are counted."""
        logit = self.calibration.intercept + self.calibration.slope * self.scorer.bias
        return float(self.line.at(np.asarray(logit)))

    @cached_property
    def reason_table(self) -> ReasonTable:
        """What is told of each feature that costs points."""
        return ReasonTable.of(self.portfolio, self.plan.names)

    def explained_against(self, reference: Matrix) -> "ModelBundle":
        """Return the same model with reasons relative to ``reference``."""
        return replace(self, reference=reference, classifier=self.classifier.with_reference(reference))

    def under(self, scorer_version: str) -> "ModelBundle":
        """Return this bundle as one of ``SCORER_VERSIONS`` scored it; itself under a version that is none of them."""
        if scorer_version == self.scorer_version or scorer_version not in SCORER_VERSIONS:
            return self
        if scorer_version not in self._others:
            self._others[scorer_version] = replace(self, scorer_version=scorer_version)
        return self._others[scorer_version]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n applicants, each array ``(n,)``.

    ``points_exact`` is additive in the contributions; ``points`` rounds it once, half to even, and is
    clipped to the declared range; ``clipped`` tells where.
    """

    prob_default: Floats
    points_exact: Floats
    points: npt.NDArray[np.int64]
    clipped: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each feature adds to the points: ``base + points.sum(axis=1) == points_exact`` within 1e-6.

    ``points`` is ``(n, p)`` in the plan's order; negative where the value costs points against the reference.
    """

    base: float
    points: Floats


@dataclass(frozen=True, slots=True)
class PointsLine:
    """The scale: ``points - factor * (logit + log_odds)``; ``factor`` is the points of one unit of log-odds."""

    points: float
    factor: float
    log_odds: float

    @classmethod
    def of(cls, scale: Scale) -> "PointsLine":
        """Return the line of a declared scale."""
        return cls(scale.points, scale.points_to_double_odds / float(np.log(2)), float(np.log(scale.odds)))

    def at(self, logit: Floats) -> Floats:
        """Return exact points at log-odds of bad ``logit``; fewer points mean more risk."""
        return np.asarray(self.points - self.factor * (logit + self.log_odds))


def score(features: Matrix, bundle: ModelBundle) -> Scores:
    """Score ``(n, p)`` float32 features of ``bundle.plan``; NaN is missing and never replaced."""
    return _scores(bundle.scorer.margin(features), bundle)


def explain(features: Matrix, bundle: ModelBundle) -> Explanation:
    """Explain ``(n, p)`` features of ``bundle.plan`` in points, relative to the bundle's reference."""
    return _explanation(bundle.scorer.contributions(features), bundle)


def score_and_explain(features: Matrix, bundle: ModelBundle) -> tuple[Scores, Explanation]:
    """Return what ``score`` and ``explain`` return, bit for bit, in one pass over the features."""
    margin, contributions = bundle.scorer.explained(features)
    return _scores(margin, bundle), _explanation(contributions, bundle)


def factor(scale: Scale) -> float:
    """Return the points that one unit of log-odds is worth."""
    return PointsLine.of(scale).factor


def points_at(logit: Floats, scale: Scale) -> Floats:
    """Return exact points at log-odds of bad ``logit``; fewer points mean more risk."""
    return PointsLine.of(scale).at(logit)


def _scores(margin: Floats, bundle: ModelBundle) -> Scores:
    scale = bundle.portfolio.scale
    logit = bundle.calibration.intercept + bundle.calibration.slope * margin
    exact = bundle.line.at(logit)
    rounded = np.rint(exact).astype(np.int64)
    points = np.minimum(np.maximum(rounded, scale.min), scale.max)
    return Scores(1 / (1 + np.exp(-logit)), exact, points, points != rounded)


def _explanation(contributions: Floats, bundle: ModelBundle) -> Explanation:
    per_margin = -bundle.line.factor * bundle.calibration.slope
    return Explanation(bundle.base_points, per_margin * contributions)
