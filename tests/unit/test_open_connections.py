import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.serving.open_connections import SILENT_S, OpenConnections, own_share

counts = st.integers(0, 200)


class Clock:
    """Monotonic time that passes when told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> int:
        return int(self.now_s * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic_ns", clock)
    return clock


def workers(directory: Path, count: int) -> list[OpenConnections]:
    every = [OpenConnections(directory, number, count) for number in range(count)]
    for worker in every:
        worker.here()
    return every


@pytest.mark.parametrize(
    ("own", "siblings", "waiting", "share"),
    [
        (0, [], 64, 64),
        (0, [0], 64, 32),
        (0, [0, 0, 0], 8, 2),
        (0, [10, 5], 4, 4),
        (5, [10, 0], 4, 0),
        (5, [10, 0], 12, 3),
        (1, [0], 1, 0),
        (0, [1], 1, 1),
        (3, [3], 1, 1),
        (16, [16, 16, 0], 17, 0),
        (0, [0], 0, 0),
    ],
)
def test_a_worker_takes_what_it_lacks_of_the_level_that_all_reach(own, siblings, waiting, share):
    assert own_share(own, siblings, waiting) == share


@given(st.lists(counts, min_size=1, max_size=6), counts, st.randoms(use_true_random=False))
def test_in_whatever_order_workers_look_all_is_taken_and_nobody_gains_more_than_one_beyond_the_lowest(
    before, waiting, random
):
    held = list(before)
    while waiting:
        shares = []
        for number in random.sample(range(len(held)), len(held)):
            share = own_share(held[number], [*held[:number], *held[number + 1 :]], waiting)
            assert share <= waiting
            held[number] += share
            waiting -= share
            shares.append(share)
        assert any(shares)
    assert all(after == first or after <= min(held) + 1 for first, after in zip(before, held, strict=True))


def test_each_worker_sees_what_the_others_hold(tmp_path, clock):
    first, second, third = workers(tmp_path, 3)
    for _ in range(3):
        second.opened()
    third.opened()
    second.closed()
    assert (first.own, second.own, third.own) == (0, 2, 1)
    assert (first.of_siblings(), second.of_siblings(), third.of_siblings()) == ([2, 1], [0, 1], [0, 2])


def test_a_worker_that_has_gone_or_not_come_yet_is_no_sibling(tmp_path, clock):
    first, second = workers(tmp_path, 2)
    second.opened()
    second.away()
    assert first.of_siblings() == []
    OpenConnections(tmp_path, 1, 2)
    assert first.of_siblings() == []


def test_a_silent_worker_is_no_sibling_until_it_gives_a_sign_of_life(tmp_path, clock):
    first, second = workers(tmp_path, 2)
    clock.now_s += 0.9 * SILENT_S
    assert first.of_siblings() == [0]
    clock.now_s += 0.2 * SILENT_S
    assert first.of_siblings() == []
    second.here()
    assert first.of_siblings() == [0]


def test_a_worker_in_the_place_of_a_dead_one_holds_nothing(tmp_path, clock):
    first, second = workers(tmp_path, 2)
    second.opened()
    again = OpenConnections(tmp_path, 1, 2)
    again.here()
    assert (again.own, first.of_siblings()) == (0, [0])
