"""Which feature cache a process uses."""

from collections.abc import Iterator
from contextlib import contextmanager

from credit_scoring.adapters.feature_cache.breaker import BreakingFeatureCache
from credit_scoring.adapters.feature_cache.failures import OnFailure, ignore_failure
from credit_scoring.adapters.feature_cache.in_process import InProcessFeatureCache
from credit_scoring.adapters.feature_cache.redis import redis_feature_cache
from credit_scoring.core.cached_features import Lifetime
from credit_scoring.ports import Clock, FeatureCache


@contextmanager
def open_feature_cache(
    redis_url: str | None, lifetime: Lifetime, clock: Clock, on_failure: OnFailure = ignore_failure
) -> Iterator[FeatureCache]:
    """Give the cache in Redis, behind a breaker, or that of this process when ``redis_url`` is None.

    Raises:
        FeatureCacheError: If the URL is not one of Redis; that it answers is not asked for.
    """
    if redis_url is None:
        yield InProcessFeatureCache(lifetime, clock)
        return
    shared = redis_feature_cache(redis_url, lifetime, clock, on_failure)
    try:
        yield BreakingFeatureCache(shared, on_failure)
    finally:
        shared.close()
