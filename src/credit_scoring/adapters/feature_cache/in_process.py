"""The feature cache of one process, for an installation without Redis."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from threading import Lock

from cachetools import TLRUCache

from credit_scoring.core.cached_features import CachedFeatures, FeatureKey, Lifetime, believable
from credit_scoring.core.owners import Applicant
from credit_scoring.ports import Clock

MAX_ROWS = 50_000

_Name = tuple[Applicant, str, datetime]


class InProcessFeatureCache:
    """``FeatureCache`` in memory, for any number of threads; the row not asked for longest goes when it is full."""

    def __init__(self, lifetime: Lifetime, clock: Clock, max_rows: int = MAX_ROWS) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._rows: TLRUCache[_Name, CachedFeatures, datetime] = TLRUCache(max_rows, self._ends_at, clock)
        self._lock = Lock()

    def get_many(self, keys: Sequence[FeatureKey]) -> list[CachedFeatures | None]:
        """See ``FeatureCache.get_many``; a row's values cannot be written."""
        with self._lock:
            found = [self._rows.get(_name(key)) for key in keys]
        now = self._clock()
        return [row if row and self._lifetime.covers(row.observed_at, now) else None for row in found]

    def put_many(self, rows: Sequence[tuple[FeatureKey, CachedFeatures]]) -> None:
        """See ``FeatureCache.put_many``."""
        now = self._clock()
        lasting = [(_name(key), row) for key, row in rows if self._lifetime.covers(row.observed_at, now)]
        with self._lock:
            for key, row in lasting:
                held = self._rows.get(key)
                if held is None or held.observed_at <= row.observed_at or not believable(held.observed_at, now):
                    self._rows[key] = _own_copy(row)

    def _ends_at(self, _key: _Name, row: CachedFeatures, _now: datetime) -> datetime:
        return self._lifetime.ends_at(row.observed_at)


def _name(key: FeatureKey) -> _Name:
    """Return a key as a tuple, whose hash is not computed in Python; it is taken several times for each use."""
    return key.applicant, key.feature_set, key.as_of


def _own_copy(row: CachedFeatures) -> CachedFeatures:
    values = row.values.copy()
    values.flags.writeable = False
    return replace(row, values=values)
