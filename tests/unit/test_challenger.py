"""The thread on which the challenger scores."""

import threading

from credit_scoring.usecases.challenger import ChallengerThread

SECONDS = 30.0


def test_turns_share_one_thread() -> None:
    thread = ChallengerThread()
    names = {thread.run(threading.get_ident).result(SECONDS) for _ in range(20)}
    assert len(names) == 1
    assert names != {threading.get_ident()}


def test_a_thread_without_work_ends_and_the_next_work_has_one_again() -> None:
    thread = ChallengerThread(idle_s=0.01)
    first = thread.run(threading.current_thread).result(SECONDS)
    assert isinstance(first, threading.Thread)
    first.join(SECONDS)
    assert not first.is_alive()
    assert thread.run(lambda: 7).result(SECONDS) == 7


def test_work_is_never_lost_however_soon_the_thread_ends() -> None:
    thread = ChallengerThread(idle_s=0.0)
    for number in range(2_000):
        assert thread.run(lambda number=number: number).result(SECONDS) == number


def test_whatever_work_raises_is_named_and_the_thread_goes_on() -> None:
    def fails() -> None:
        raise SystemExit

    thread = ChallengerThread()
    assert thread.run(fails).result(SECONDS) == "SystemExit"
    assert thread.run(lambda: "well").result(SECONDS) == "well"
