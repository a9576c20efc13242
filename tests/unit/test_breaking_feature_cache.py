from collections import Counter
from collections.abc import Sequence
from threading import Event, Thread
from typing import Any

import pytest
from cached_features import HOUR, SetClock, key, row, same

from credit_scoring.adapters.feature_cache import BreakerOptions, BreakingFeatureCache, InProcessFeatureCache
from credit_scoring.core.errors import FeatureCacheError

READY_S = 30
LONG_S = 3_600.0


class HeldUp:
    """A cache that fails until it is told, and then answers when it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = True
        self.entered, self.let_go = Event(), Event()

    def get_many(self, keys: Sequence[Any]) -> list[Any]:
        self.asked += 1
        if self.fails:
            raise FeatureCacheError("down")
        self.entered.set()
        assert self.let_go.wait(READY_S)
        return [row() for _ in keys]

    def put_many(self, rows: Sequence[Any]) -> None:
        self.get_many(rows)


def test_an_open_breaker_asks_nothing():
    held, failures = HeldUp(), Counter()
    cache = BreakingFeatureCache(held, lambda kind: failures.update([kind]), BreakerOptions(failures=2, reset_s=LONG_S))
    for _ in range(5):
        assert cache.get_many([key()]) == [None]
        cache.put_many([(key(), row())])
    assert held.asked == 2
    assert failures == {"unavailable": 2, "open": 8}


def test_a_success_in_between_begins_the_count_anew():
    held, failures = HeldUp(), Counter()
    held.let_go.set()
    cache = BreakingFeatureCache(held, lambda kind: failures.update([kind]), BreakerOptions(failures=2, reset_s=LONG_S))
    for fails in (True, False) * 5:
        held.fails = fails
        cache.get_many([key()])
    assert failures == {"unavailable": 5}


def test_one_thread_tries_the_cache_again_and_no_other_waits_for_it():
    held, failures = HeldUp(), Counter()
    cache = BreakingFeatureCache(held, lambda kind: failures.update([kind]), BreakerOptions(failures=1, reset_s=0))
    cache.get_many([key()])
    held.fails = False
    trial = Thread(target=cache.get_many, args=([key()],))
    trial.start()
    assert held.entered.wait(READY_S)
    assert cache.get_many([key()]) == [None]
    assert (held.asked, failures["open"]) == (2, 1)
    held.let_go.set()
    trial.join(READY_S)
    assert same(cache.get_many([key()])[0], row())


def test_an_error_of_our_own_is_not_hidden_by_the_breaker():
    cache = BreakingFeatureCache(InProcessFeatureCache(HOUR, SetClock()))
    with pytest.raises(AttributeError):
        cache.get_many(["no key"])
