"""Counts requests by caller and route: in Redis for all replicas, or in the memory of this process."""

import asyncio
import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import redis
from limits import parse_many
from limits.aio.storage import RedisStorage
from limits.storage import Storage
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from credit_scoring.core.errors import SettingsError
from credit_scoring.core.rate_limits import Allowance, RateLimit, RouteLimits

UNAUTHENTICATED = "unauthenticated"
"""What stands for a route in the setting, where requests without an accepted key are limited."""

DEFAULT_RATE_LIMITS = "6000/minute; POST /v1/decisions/batch=60/minute; unauthenticated=600/minute"
REDIS_ANSWERS_WITHIN_S = 0.05
REDIS_TRIED_AGAIN_S = 1.0
MOST_COUNTED = 10_000
"""Windows of callers, and of client addresses, that one process counts at once: a few megabytes."""

_CONNECTIONS = 256  # of one process: as many requests at once; the pool that queues lets some wait for too long
_FAILURES = 3  # in a row; a process that was held up for a moment is no outage
_PREFIX = "credit_scoring:rate"
_NONE = "none"

logger = logging.getLogger(__name__)

Seconds = Callable[[], float]


def route_limits(text: str) -> RouteLimits:
    """Return the limits that ``text`` says: ``600/minute; POST /v1/decisions=50/second; GET /v1/roles=none``.

    A part without ``=`` is the default of all routes, the route ``unauthenticated`` limits requests without an
    accepted key by client address, and ``none`` means no limit. What is not named keeps its default.

    Raises:
        SettingsError: If a part cannot be read, or a route is named twice.
    """
    said = _parts(DEFAULT_RATE_LIMITS) | _parts(text)
    default, unauthenticated = said.pop(""), said.pop(UNAUTHENTICATED)
    return RouteLimits(default, unauthenticated, said)


def _parts(text: str) -> dict[str, RateLimit | None]:
    found: dict[str, RateLimit | None] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, _, limit = part.rpartition("=")
        route = " ".join(name.split())
        if route in found:
            raise SettingsError(f"CREDIT_RATE_LIMITS limits '{route or 'all routes'}' twice. Say it once.")
        found[route] = None if limit.strip() == _NONE else _limit(limit)
    return found


def _limit(text: str) -> RateLimit:
    try:
        (item,) = parse_many(text.strip())
    except ValueError:
        item = None
    if item is None or item.amount < 1 or item.get_expiry() < 1:
        raise SettingsError(
            f"CREDIT_RATE_LIMITS says '{text.strip()[:60]}', which is no limit. Write it like '600/minute', "
            f"'50 per 10 seconds' or 'none', and parts like 'POST /v1/decisions=50/second' with ';' between them."
        )
    return RateLimit(item.amount, item.get_expiry())


class BoundedMemoryStorage(Storage):
    """A storage of ``limits`` that forgets what it counted first when it is full.

    The library's own grows with the number of client addresses, and sweeps on threads that it keeps starting.
    """

    STORAGE_SCHEME = None

    def __init__(self, most: int = MOST_COUNTED, monotonic: Seconds = time.monotonic) -> None:
        super().__init__()
        self._most = most
        self._monotonic = monotonic
        self._counts: dict[str, tuple[int, float]] = {}
        self._lock = Lock()

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the storage itself may raise: nothing of its own."""
        return MemoryError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Return the count under ``key`` after adding ``amount``; a new one is forgotten after ``expiry`` seconds."""
        now = self._monotonic()
        with self._lock:
            count, until = self._counts.get(key, (0, 0.0))
            if until <= now:
                self._counts.pop(key, None)
                if len(self._counts) >= self._most:
                    del self._counts[next(iter(self._counts))]
                count, until = 0, now + expiry
            self._counts[key] = (count + amount, until)
            return count + amount

    def get(self, key: str) -> int:
        """Return the count under ``key``."""
        count, until = self._counts.get(key, (0, 0.0))
        return count if self._monotonic() < until else 0

    def get_expiry(self, key: str) -> float:
        """Return when (Unix time) the count under ``key`` is forgotten."""
        left = self._counts.get(key, (0, 0.0))[1] - self._monotonic()
        return time.time() + max(0.0, left)

    def check(self) -> bool:
        """Return that the memory answers."""
        return True

    def reset(self) -> int:
        """Forget all counts; return how many there were."""
        forgotten = len(self._counts)
        self._counts.clear()
        return forgotten

    def clear(self, key: str) -> None:
        """Forget the count under ``key``."""
        self._counts.pop(key, None)


class RedisCounts:
    """Counts that all replicas share; Redis is left alone for a second after it failed three times in a row.

    For one event loop. Nothing is raised when Redis does not answer in time: who asks counts in memory then.
    """

    def __init__(self, url: str, monotonic: Seconds = time.monotonic) -> None:
        try:
            pool: Any = ConnectionPool.from_url(url, max_connections=_CONNECTIONS, retry=Retry(NoBackoff(), 0))
            self._storage = RedisStorage(
                f"async+{url}", implementation="redispy", key_prefix=_PREFIX, connection_pool=pool
            )
        except (ValueError, redis.RedisError) as exc:
            raise SettingsError(
                "CREDIT_REDIS_URL is not a Redis URL. Write it like 'redis://127.0.0.1:6379/0', or 'rediss://' for TLS."
            ) from exc
        self._pool = pool
        self._monotonic = monotonic
        self._failures = 0
        self._ask_from_s = float("-inf")

    async def incr(self, key: str, expiry: int) -> int | None:
        """Return the count of all replicas after adding one, or None while Redis does not answer."""
        now = self._monotonic()
        if now < self._ask_from_s:
            return None
        if self._failures >= _FAILURES:
            self._ask_from_s = now + REDIS_TRIED_AGAIN_S  # one request finds out, the others do not wait for it
        try:
            async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
                counted: object = await self._storage.incr(key, expiry)
        except (redis.RedisError, OSError, TimeoutError) as exc:
            self._failed(type(exc).__name__)
            return None
        if not isinstance(counted, int):
            self._failed("no number")
            return None
        if self._failures >= _FAILURES:
            logger.warning("rate_limits_shared_again: Redis answers; requests are counted across replicas.")
        self._failures, self._ask_from_s = 0, float("-inf")
        return counted

    async def close(self) -> None:
        """Release the connections."""
        await self._pool.aclose()

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures == _FAILURES:
            logger.warning("rate_limits_local: Redis does not count (%s); each process counts for itself.", why)
        if self._failures >= _FAILURES:
            self._ask_from_s = self._monotonic() + REDIS_TRIED_AGAIN_S


class RateLimiter:
    """Counts requests in windows that begin at whole multiples of their length, the same in every replica.

    So a caller may bring two windows' requests around the turn of one to the next. Counts in memory, too, where
    Redis counts: when it fails, this process knows what it has let through.
    """

    def __init__(self, limits: RouteLimits, shared: RedisCounts | None = None, clock: Seconds = time.time) -> None:
        self._limits = limits
        self._shared = shared
        self._clock = clock
        self._callers = BoundedMemoryStorage()
        self._addresses = BoundedMemoryStorage()

    async def take(self, route: str, key_id: str) -> Allowance | None:
        """Count one request of a caller; return what is left, or None where there is no limit."""
        limit = self._limits.of(route)
        if limit is None:
            return None
        key, reset_s = self._window(limit, route, key_id)
        used = self._callers.incr(key, limit.window_s)
        if self._shared is not None:
            counted = await self._shared.incr(key, limit.window_s)
            used = used if counted is None else counted
        return Allowance(limit, used, reset_s)

    def refused(self, address: str, more: int = 1) -> Allowance | None:
        """Count ``more`` requests of a client address that brought nothing acceptable; 0 only looks."""
        limit = self._limits.unauthenticated
        if limit is None:
            return None
        key, reset_s = self._window(limit, UNAUTHENTICATED, address)
        used = self._addresses.incr(key, limit.window_s, more) if more else self._addresses.get(key)
        return Allowance(limit, used, reset_s)

    async def close(self) -> None:
        """Release the connections to Redis."""
        if self._shared is not None:
            await self._shared.close()

    def _window(self, limit: RateLimit, route: str, who: str) -> tuple[str, float]:
        index, into_s = divmod(self._clock(), limit.window_s)
        return f"{route}/{who}/{limit.policy}/{int(index)}", limit.window_s - into_s
