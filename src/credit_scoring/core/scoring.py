"""From features to points: the one way to score, for training, batch and the service."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio, Scale

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

SCORER_VERSION = "1"
"""Names this way of scoring in every record: raise it when the same bundle may score differently."""


class Classifier(Protocol):
    """A fitted model that scores and explains itself; ``algorithm`` names its kind for the factory."""

    algorithm: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features in the order of the matrix's columns."""
        ...

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
    contributions are counted against, ``deciles`` the development deciles of each feature and of ``points``.
    """

    candidate: str
    portfolio: Portfolio
    classifier: Classifier
    calibration: Calibration
    reference: Matrix
    deciles: Mapping[str, Deciles]

    @cached_property
    def plan(self) -> FeatureSet:
        """The feature set that the model was fitted on."""
        return FeatureSet.of(self.portfolio)

    def explained_against(self, reference: Matrix) -> "ModelBundle":
        """Return the same model with reasons relative to ``reference``."""
        return replace(self, reference=reference, classifier=self.classifier.with_reference(reference))


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
    """What each feature adds to the points: ``base + points.sum(axis=1) == points_exact`` within 3e-4.

    ``points`` is ``(n, p)`` in the plan's order; negative where the value costs points against the reference.
    """

    base: float
    points: Floats


def score(features: Matrix, bundle: ModelBundle) -> Scores:
    """Score ``(n, p)`` float32 features of ``bundle.plan``; NaN is missing and never replaced."""
    logit = bundle.calibration.intercept + bundle.calibration.slope * bundle.classifier.margin(features)
    exact = points_at(logit, bundle.portfolio.scale)
    rounded = np.rint(exact).astype(np.int64)
    points = np.clip(rounded, bundle.portfolio.scale.min, bundle.portfolio.scale.max)
    return Scores(1 / (1 + np.exp(-logit)), exact, points, points != rounded)


def base_points(bundle: ModelBundle) -> float:
    """Return the expected score of the bundle's reference, from which contributions are counted."""
    base = bundle.calibration.intercept + bundle.calibration.slope * bundle.classifier.bias
    return float(points_at(np.asarray(base), bundle.portfolio.scale))


def explain(features: Matrix, bundle: ModelBundle) -> Explanation:
    """Explain ``(n, p)`` features of ``bundle.plan`` in points, relative to the bundle's reference."""
    per_margin = -factor(bundle.portfolio.scale) * bundle.calibration.slope
    return Explanation(base=base_points(bundle), points=per_margin * bundle.classifier.contributions(features))


def factor(scale: Scale) -> float:
    """Return the points that one unit of log-odds is worth."""
    return scale.points_to_double_odds / float(np.log(2))


def points_at(logit: Floats, scale: Scale) -> Floats:
    """Return exact points at log-odds of bad ``logit``; fewer points mean more risk."""
    return np.asarray(scale.points - factor(scale) * (logit + np.log(scale.odds)))
