"""Keys and rows for tests of the feature cache, and a clock that is set by hand."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from credit_scoring.core.cached_features import CachedFeatures, FeatureKey, Lifetime
from credit_scoring.core.owners import Applicant, Owner

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
HOUR = Lifetime(timedelta(hours=1))


@dataclass
class SetClock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


def key(applicant_id: str = "a1", **overrides: Any) -> FeatureKey:
    """Of one applicant; ``overrides`` are the tenant, the portfolio and fields of the key."""
    owner = Owner(overrides.pop("tenant", "lender"), overrides.pop("portfolio", "cards"))
    return replace(FeatureKey(Applicant(owner, applicant_id), "fs-1", datetime(2024, 6, 1, tzinfo=UTC)), **overrides)


def row(*values: float, observed_at: datetime = NOON, revision: str = "r1") -> CachedFeatures:
    return CachedFeatures(np.array(values or (1.5, np.nan), np.float32), observed_at, revision)


def same(one: CachedFeatures | None, other: CachedFeatures | None) -> bool:
    """Whether two rows are equal bit for bit, or both absent."""
    if one is None or other is None:
        return one is other
    told = ((found.values.tobytes(), found.observed_at, found.revision) for found in (one, other))
    return len(set(told)) == 1
