"""The feature cache that processes share, on Redis 6.2 or newer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import redis
from pydantic import BaseModel, ConfigDict, Field
from redis.backoff import NoBackoff
from redis.retry import Retry

from credit_scoring.adapters.feature_cache.failures import OnFailure, ignore_failure
from credit_scoring.adapters.feature_cache.packed import (
    MAGIC,
    OBSERVED_AT_OFFSET,
    key_text,
    microseconds,
    pack,
    unpack,
)
from credit_scoring.core.cached_features import CLOCK_SKEW, CachedFeatures, FeatureKey, Lifetime
from credit_scoring.core.errors import FeatureCacheError
from credit_scoring.ports import Clock

Part = TypeVar("Part")

_AT_ONCE = 500
"""Keys in one command: few enough that the server is soon free for others."""

_MILLISECOND = timedelta(milliseconds=1)

# Compares and sets on the server, where nobody writes in between. What is not of this format, or was observed in the
# future, holds nothing up. ARGV[1] is the latest moment to be believed; then each key's value and milliseconds to live.
_KEEP_NEWER = f"""
local function observed_at(value)
  if type(value) ~= 'string' or #value < {OBSERVED_AT_OFFSET + 8} then return nil end
  if string.sub(value, 1, {len(MAGIC)}) ~= '{MAGIC.decode()}' then return nil end
  return (struct.unpack('<i8', value, {OBSERVED_AT_OFFSET + 1}))
end
local latest = tonumber(ARGV[1])
for number, key in ipairs(KEYS) do
  local value, milliseconds = ARGV[2 * number], ARGV[2 * number + 1]
  local held = observed_at(redis.pcall('GET', key))
  if not held or held > latest or held <= observed_at(value) then
    redis.call('SET', key, value, 'PX', milliseconds)
  end
end
"""


class RedisCacheOptions(BaseModel):
    """How long one call may wait, in seconds, and how many connections a process opens at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect_timeout_s: float = Field(0.05, gt=0)
    answer_timeout_s: float = Field(0.05, gt=0)
    max_connections: int = Field(8, gt=0)


class RedisFeatureCache:
    """``FeatureCache`` on Redis; a kept value that cannot be read counts as absent, and ``on_failure`` is told of it.

    Expiry is set on the server and checked again by ``clock`` against the time at which a row was observed.
    """

    def __init__(
        self, client: redis.Redis, lifetime: Lifetime, clock: Clock, on_failure: OnFailure = ignore_failure
    ) -> None:
        self._client = client
        self._lifetime = lifetime
        self._clock = clock
        self._on_failure = on_failure
        self._keep_newer = client.register_script(_KEEP_NEWER)

    def get_many(self, keys: Sequence[FeatureKey]) -> list[CachedFeatures | None]:
        """See ``FeatureCache.get_many``; a row's values cannot be written."""
        named, packed = [key_text(key) for key in keys], []
        for some in _parts(named):
            with _told("reading features"):
                told: Any = self._client.mget(some)
            packed += told
        now = self._clock()
        return [self._served(key, value, now) for key, value in zip(named, packed, strict=True)]

    def put_many(self, rows: Sequence[tuple[FeatureKey, CachedFeatures]]) -> None:
        """See ``FeatureCache.put_many``."""
        now = self._clock()
        for some in _parts([(key, row) for key, row in rows if self._lifetime.covers(row.observed_at, now)]):
            names = [key_text(key) for key, _ in some]
            arguments: list[bytes | int] = [microseconds(now + CLOCK_SKEW)]
            for name, (_, row) in zip(names, some, strict=True):
                arguments += pack(name, row), self._milliseconds_left(row, now)
            with _told("keeping features"):
                self._keep_newer(names, arguments)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._client.connection_pool.disconnect()

    def _served(self, key: bytes, packed: bytes | None, now: datetime) -> CachedFeatures | None:
        if packed is None:
            return None
        try:
            row = unpack(key, packed)
        except FeatureCacheError:
            self._on_failure("rubbish")
            return None
        return row if self._lifetime.covers(row.observed_at, now) else None

    def _milliseconds_left(self, row: CachedFeatures, now: datetime) -> int:
        return max(1, (self._lifetime.ends_at(row.observed_at) - now) // _MILLISECOND)


def redis_feature_cache(
    url: str,
    lifetime: Lifetime,
    clock: Clock,
    on_failure: OnFailure = ignore_failure,
    options: RedisCacheOptions | None = None,
) -> RedisFeatureCache:
    """Return the cache on the server at ``url``, which is first asked when a row is read or kept.

    Raises:
        FeatureCacheError: If the URL is not one of Redis.
    """
    own = options or RedisCacheOptions()
    try:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=own.max_connections,
            timeout=own.connect_timeout_s,
            socket_connect_timeout=own.connect_timeout_s,
            socket_timeout=own.answer_timeout_s,
            retry=Retry(NoBackoff(), 0),  # the features are computed sooner than a second try ends
            protocol=2,
        )
    except ValueError as exc:
        raise FeatureCacheError(
            "CREDIT_REDIS_URL is not a Redis URL. Write it like 'redis://127.0.0.1:6379/0', or 'rediss://' for TLS."
        ) from exc
    pool.connection_kwargs["decode_responses"] = False  # whatever the URL says: values are bytes
    return RedisFeatureCache(redis.Redis(connection_pool=pool), lifetime, clock, on_failure)


def _parts(whole: Sequence[Part]) -> Iterator[Sequence[Part]]:
    return (whole[start : start + _AT_ONCE] for start in range(0, len(whole), _AT_ONCE))


@contextmanager
def _told(doing: str) -> Iterator[None]:
    try:
        yield
    except (redis.RedisError, OSError) as exc:
        raise FeatureCacheError(
            f"Redis failed while {doing} ({type(exc).__name__}). Features are computed from the facts instead; check "
            f"CREDIT_REDIS_URL, and that the server runs, can be reached and has memory left."
        ) from exc
