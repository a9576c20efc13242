import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import numpy as np
import pytest
from cached_features import HOUR, NOON, SetClock, key, row, same

from credit_scoring.adapters.feature_cache import (
    BreakingFeatureCache,
    InProcessFeatureCache,
    RedisCacheOptions,
    redis_feature_cache,
)
from credit_scoring.core.cached_features import FeatureKey
from credit_scoring.ports import FeatureCache

SECOND = timedelta(seconds=1)
UNHURRIED = RedisCacheOptions(connect_timeout_s=10, answer_timeout_s=10)


@dataclass
class Kept:
    """A cache, its clock, and a tenant that no other test has."""

    cache: FeatureCache
    clock: SetClock
    tenant: str

    def key(self, applicant_id: str = "a1", **overrides) -> FeatureKey:
        return key(applicant_id, **({"tenant": self.tenant} | overrides))

    def get(self, applicant_id: str = "a1", **overrides):
        [found] = self.cache.get_many([self.key(applicant_id, **overrides)])
        return found


@pytest.fixture(params=["in_process", "redis", "breaking_in_process", "breaking_redis"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    clock = SetClock()
    with ExitStack() as closed:
        if request.param.endswith("redis"):
            url = request.getfixturevalue("redis_url")
            cache = closed.enter_context(closing(redis_feature_cache(url, HOUR, clock, pytest.fail, UNHURRIED)))
        else:
            cache = InProcessFeatureCache(HOUR, clock)
        if request.param.startswith("breaking"):
            cache = BreakingFeatureCache(cache, pytest.fail)
        yield Kept(cache, clock, uuid4().hex)


def test_what_was_never_kept_is_none(kept):
    assert kept.cache.get_many([]) == []
    kept.cache.put_many([])
    assert kept.cache.get_many([kept.key("a"), kept.key("b")]) == [None, None]


def test_rows_come_back_bit_for_bit_in_the_order_asked_for(kept):
    one = row(np.nan, -0.0, 1e-45, np.inf, revision="")
    other = row(*range(61), observed_at=NOON - timedelta(microseconds=1), revision="é:\n" * 20)
    kept.cache.put_many([(kept.key("a"), one), (kept.key("b"), other)])
    found = kept.cache.get_many([kept.key(name) for name in ("b", "absent", "a", "b")])
    assert [same(*pair) for pair in zip(found, (other, None, one, other), strict=True)] == [True] * 4


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "somebody else"},
        {"portfolio": "loans"},
        {"feature_set": "fs-2"},
        {"as_of": datetime(2024, 6, 2, tzinfo=NOON.tzinfo)},
        {"applicant_id": "a2"},
        {"applicant_id": "A1"},
        {"applicant_id": "a1:"},
        {"applicant_id": ""},
    ],
    ids=["tenant", "portfolio", "feature_set", "as_of", "applicant", "capital", "longer", "empty"],
)
def test_a_row_answers_for_its_own_key_only(kept, other):
    kept.cache.put_many([(kept.key(), row())])
    assert kept.get(**other) is None
    assert kept.get() is not None


def test_ids_with_borders_in_them_are_not_confused(kept):
    pairs = [("a:b", "c"), ("a", "b:c"), ("1:a", ""), ("", "1:a"), ("a\0", "\r\n"), ("a", "\0\r\n"), ("%3A", ":")]
    keys = [kept.key(applicant, portfolio=portfolio) for portfolio, applicant in pairs]
    kept.cache.put_many([(one, row(number)) for number, one in enumerate(keys)])
    assert [found.values[0] for found in kept.cache.get_many(keys)] == list(range(len(keys)))


def test_the_same_moment_in_another_time_zone_is_the_same_key(kept):
    kept.cache.put_many([(kept.key(), row())])
    assert kept.get(as_of=kept.key().as_of.astimezone(timezone(timedelta(hours=9)))) is not None


def test_a_row_that_was_observed_earlier_never_overwrites_a_newer_one(kept):
    newer = row(2.0, observed_at=NOON - SECOND)
    kept.cache.put_many([(kept.key(), newer)])
    kept.cache.put_many([(kept.key(), row(1.0, observed_at=NOON - SECOND - timedelta(microseconds=1)))])
    assert same(kept.get(), newer)


def test_a_row_that_was_observed_later_or_at_once_replaces_what_is_kept(kept):
    for number, seconds in enumerate((3, 2, 2)):
        latest = row(number, observed_at=NOON - seconds * SECOND, revision=f"r{number}")
        kept.cache.put_many([(kept.key(), latest)])
        assert same(kept.get(), latest)


def test_among_rows_kept_together_the_newest_wins(kept):
    ages = (3, 1, 2)
    kept.cache.put_many([(kept.key(), row(age, observed_at=NOON - age * SECOND)) for age in ages])
    assert kept.get().values[0] == 1


def test_the_newest_of_rows_written_at_the_same_time_wins(kept):
    ages = np.random.default_rng(5).permutation(200).tolist()
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda age: kept.cache.put_many([(kept.key(), row(age, observed_at=NOON - age * SECOND))]), ages
            )
        )
    assert kept.get().values[0] == 0


def test_a_row_is_served_until_its_own_time_is_up_however_late_it_was_kept(kept):
    observed_at = NOON - timedelta(minutes=50)
    kept.cache.put_many([(kept.key(), row(observed_at=observed_at))])
    kept.clock.now = observed_at + HOUR.ttl - timedelta(microseconds=1)
    assert kept.get() is not None
    kept.clock.now = observed_at + HOUR.ttl
    assert kept.get() is None


def test_a_row_whose_time_is_up_is_not_kept_and_costs_no_other(kept):
    kept.cache.put_many([(kept.key(), row(1.0))])
    kept.cache.put_many([(kept.key(), row(2.0, observed_at=NOON - HOUR.ttl)), (kept.key("b"), row(3.0))])
    assert [found.values[0] for found in kept.cache.get_many([kept.key(), kept.key("b")])] == [1.0, 3.0]
    kept.cache.put_many([(kept.key("c"), row(observed_at=NOON - HOUR.ttl))])
    assert kept.get("c") is None


def test_a_row_from_the_future_is_neither_served_nor_in_the_way(kept):
    kept.clock.now = NOON + timedelta(minutes=10)
    kept.cache.put_many([(kept.key(), row(1.0, observed_at=kept.clock.now))])
    kept.clock.now = NOON
    assert kept.get() is None
    kept.cache.put_many([(kept.key(), row(2.0))])
    assert kept.get().values[0] == 2.0
    kept.cache.put_many([(kept.key(), row(3.0, observed_at=NOON + timedelta(minutes=1)))])
    assert kept.get().values[0] == 2.0


def test_clocks_may_differ_a_little(kept):
    kept.cache.put_many([(kept.key(), row(observed_at=NOON + SECOND))])
    assert kept.get() is not None


def test_what_is_kept_does_not_change_with_the_callers_array(kept):
    given = row(1.0, 2.0)
    kept.cache.put_many([(kept.key(), given)])
    given.values[:] = 9
    found = kept.get()
    assert found.values.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        found.values[0] = 9


def test_thousands_of_rows_are_kept_and_read_at_once(kept):
    names = [str(number) for number in range(2_345)]
    kept.cache.put_many([(kept.key(name), row(float(name))) for name in names if int(name) % 7])
    found = kept.cache.get_many([kept.key(name) for name in names])
    assert [one and one.values[0] for one in found] == [int(name) if int(name) % 7 else None for name in names]


def test_a_full_cache_of_a_process_drops_what_was_not_asked_for_longest():
    cache = InProcessFeatureCache(HOUR, SetClock(), max_rows=2)
    cache.put_many([(key("a"), row()), (key("b"), row())])
    cache.get_many([key("a")])
    cache.put_many([(key("c"), row())])
    assert [found is not None for found in cache.get_many([key("a"), key("b"), key("c")])] == [True, False, True]


@pytest.fixture
def hurried_threads() -> Iterator[None]:
    """Threads that take turns after a microsecond, so that few writes show what many would."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hurried_threads")
def test_threads_that_fill_a_small_cache_of_a_process_do_not_meet_halfway():
    cache = InProcessFeatureCache(HOUR, SetClock(), max_rows=5)
    keys = [key(str(number)) for number in range(20)]

    def use(age: int) -> None:
        cache.put_many([(one, row(age, observed_at=NOON - age * SECOND)) for one in keys])
        cache.get_many(keys)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(200)))
    assert sum(found is not None for found in cache.get_many(keys)) == 5
