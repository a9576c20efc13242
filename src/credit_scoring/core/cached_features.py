"""Computed features as the feature cache keeps them."""

from dataclasses import dataclass
from datetime import datetime

from credit_scoring.core.owners import Applicant
from credit_scoring.core.scoring import Matrix


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """What cached features are of: an applicant, a feature set's version, and the truncated ``as_of``."""

    applicant: Applicant
    feature_set: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class CachedFeatures:
    """One applicant's features, ``(p,)`` float32 in the plan's order, NaN where missing.

    ``observed_at`` is when the facts were read that they were computed from, ``revision`` which state of these facts.
    """

    values: Matrix
    observed_at: datetime
    revision: str
