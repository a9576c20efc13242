"""A feature cache that is left alone for a while after it failed repeatedly."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

import pybreaker
from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.adapters.feature_cache.failures import OnFailure, ignore_failure
from credit_scoring.core.cached_features import CachedFeatures, FeatureKey
from credit_scoring.core.errors import FeatureCacheError
from credit_scoring.ports import FeatureCache

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class BreakerOptions(BaseModel):
    """After how many failures in a row the cache is left alone, and for how many seconds before one call tries it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: int = Field(3, gt=0)
    reset_s: float = Field(5.0, ge=0)


class BreakingFeatureCache:
    """``FeatureCache`` that never raises ``FeatureCacheError``: a cache that fails is empty and keeps nothing.

    ``on_failure`` is told of each call that failed ("unavailable") or was not made ("open"). While the breaker is
    open one thread at a time tries the cache again, and no other waits for it.
    """

    def __init__(
        self, cache: FeatureCache, on_failure: OnFailure = ignore_failure, options: BreakerOptions | None = None
    ) -> None:
        own = options or BreakerOptions()
        self._cache = cache
        self._on_failure = on_failure
        self._trial = Lock()
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=own.failures, reset_timeout=own.reset_s, listeners=[_Told()], throw_new_error_on_trip=False
        )

    def get_many(self, keys: Sequence[FeatureKey]) -> list[CachedFeatures | None]:
        """See ``FeatureCache.get_many``; a cache that fails has no row."""
        return self._asked(lambda: self._cache.get_many(keys), [None] * len(keys))

    def put_many(self, rows: Sequence[tuple[FeatureKey, CachedFeatures]]) -> None:
        """See ``FeatureCache.put_many``; a cache that fails keeps nothing."""
        return self._asked(lambda: self._cache.put_many(rows), None)

    def _asked(self, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            # 'call' would hold the breaker's lock while the cache answers; 'calling' does not.
            with self._one_trial(), self._breaker.calling():
                return ask()
        except pybreaker.CircuitBreakerError:
            self._on_failure("open")
        except FeatureCacheError:
            self._on_failure("unavailable")
        return otherwise

    @contextmanager
    def _one_trial(self) -> Iterator[None]:
        if self._breaker.current_state == pybreaker.STATE_CLOSED:
            yield
            return
        if not self._trial.acquire(blocking=False):
            raise pybreaker.CircuitBreakerError
        try:
            yield
        finally:
            self._trial.release()


class _Told(pybreaker.CircuitBreakerListener):
    """Says in the log when the cache is left alone, and when it is back."""

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        if new_state.name == pybreaker.STATE_CLOSED:
            logger.info("feature_cache_back")
        elif old_state is not None and old_state.name == pybreaker.STATE_CLOSED:
            logger.warning("feature_cache_left_alone failures=%d: features are computed instead", cb.fail_counter)
