"""The feature cache: in Redis behind a circuit breaker, or in this process."""

from credit_scoring.adapters.feature_cache.breaker import BreakerOptions, BreakingFeatureCache
from credit_scoring.adapters.feature_cache.in_process import InProcessFeatureCache
from credit_scoring.adapters.feature_cache.opening import open_feature_cache
from credit_scoring.adapters.feature_cache.redis import RedisCacheOptions, RedisFeatureCache, redis_feature_cache

__all__ = [
    "BreakerOptions",
    "BreakingFeatureCache",
    "InProcessFeatureCache",
    "RedisCacheOptions",
    "RedisFeatureCache",
    "open_feature_cache",
    "redis_feature_cache",
]
