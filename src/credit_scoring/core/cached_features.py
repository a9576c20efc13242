"""Computed features as the feature cache keeps them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from credit_scoring.core.owners import Applicant
from credit_scoring.core.scoring import Matrix

CLOCK_SKEW = timedelta(seconds=2)
"""How far the clocks of two machines may differ; what was observed later than this from now is not believed."""


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """What cached features are of: an applicant, a feature set's version, and the truncated ``as_of``."""

    applicant: Applicant
    feature_set: str
    as_of: datetime

    def __post_init__(self) -> None:
        _require_time_zone(self.as_of)


@dataclass(frozen=True, slots=True)
class CachedFeatures:
    """One applicant's features, ``(p,)`` float32 in the plan's order, NaN where missing.

    ``observed_at`` is when the facts were read that they were computed from, ``revision`` which state of these facts.
    """

    values: Matrix
    observed_at: datetime
    revision: str

    def __post_init__(self) -> None:
        _require_time_zone(self.observed_at)
        if self.values.ndim != 1 or self.values.dtype != np.float32:
            raise ValueError(f"features are one row of float32, not {self.values.shape} of {self.values.dtype}")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long features may be served after their facts were read, by the reader's own clock."""

    ttl: timedelta

    def ends_at(self, observed_at: datetime) -> datetime:
        """Return the first moment at which features observed at ``observed_at`` are served no more."""
        return observed_at + self.ttl

    def covers(self, observed_at: datetime, now: datetime) -> bool:
        """Whether features observed at ``observed_at`` may be served: neither too old nor from the future."""
        return believable(observed_at, now) and now < self.ends_at(observed_at)


def believable(observed_at: datetime, now: datetime) -> bool:
    """Whether ``observed_at`` lies in the past, but for the difference of two clocks."""
    return observed_at <= now + CLOCK_SKEW


def _require_time_zone(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone is another one on each machine")
