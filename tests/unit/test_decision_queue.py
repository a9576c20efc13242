import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from service_package import application

from credit_scoring.core.errors import OverloadedError, RecordsError, UnknownApplicantError
from credit_scoring.serving import decision_queue
from credit_scoring.serving.decision_queue import DecisionQueue
from credit_scoring.serving.telemetry import private_telemetry


class Recorder:
    """Decides by giving back ids; holds the first turn until it is let go."""

    def __init__(self, failures: dict[str, Exception] | None = None) -> None:
        self.turns: list[list[str]] = []
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self._failures = failures or {}

    def __call__(self, applications: Sequence[Any]) -> list[Any]:
        ids = [one.application_id for one in applications]
        self.turns.append(ids)
        self.begun.set()
        assert self.go_on.wait(10)
        if "whole" in self._failures:
            raise self._failures["whole"]
        return [self._failures.get(one, one) for one in ids]


async def gathered(queue: DecisionQueue, recorder: Recorder, ids: Sequence[str]) -> list[Any]:
    """Answers to requests of which the first is on its way before the others come."""
    first = asyncio.create_task(queue.decide(application(ids[0])))
    await asyncio.to_thread(recorder.begun.wait, 10)
    rest = [asyncio.create_task(queue.decide(application(one))) for one in ids[1:]]
    await asyncio.sleep(0)
    recorder.go_on.set()
    return await asyncio.gather(first, *rest, return_exceptions=True)


def test_requests_that_wait_are_decided_together_in_order():
    recorder = Recorder()
    queue = DecisionQueue(recorder, private_telemetry())
    ids = [f"a{number}" for number in range(10)]
    assert asyncio.run(gathered(queue, recorder, ids)) == ids
    assert recorder.turns == [ids[:1], ids[1:]]
    queue.close()


def test_a_turn_is_no_larger_than_it_may_be(monkeypatch):
    monkeypatch.setattr(decision_queue, "LARGEST_TURN", 4)
    recorder = Recorder()
    queue = DecisionQueue(recorder, private_telemetry())
    ids = [f"a{number}" for number in range(10)]
    assert asyncio.run(gathered(queue, recorder, ids)) == ids
    assert [len(turn) for turn in recorder.turns] == [1, 4, 4, 1]
    queue.close()


def test_an_error_reaches_the_request_it_belongs_to():
    recorder = Recorder({"a1": UnknownApplicantError()})
    queue = DecisionQueue(recorder, private_telemetry())
    answers = asyncio.run(gathered(queue, recorder, ["a0", "a1", "a2"]))
    assert (answers[0], answers[2]) == ("a0", "a2")
    assert isinstance(answers[1], UnknownApplicantError)
    queue.close()


@pytest.mark.parametrize("failure", [RecordsError("down"), ZeroDivisionError()], ids=["known", "unforeseen"])
def test_an_error_of_the_whole_turn_reaches_everybody_in_it_and_the_next_turn_is_decided(failure):
    recorder = Recorder({"whole": failure})
    queue = DecisionQueue(recorder, private_telemetry())
    answers = asyncio.run(gathered(queue, recorder, ["a0", "a1"]))
    assert answers == [failure, failure]
    queue.close()


def test_more_than_may_wait_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(decision_queue, "MOST_WAITING", 2)
    recorder = Recorder()
    queue = DecisionQueue(recorder, private_telemetry())
    answers = asyncio.run(gathered(queue, recorder, ["a0", "a1", "a2", "a3"]))
    assert answers[:3] == ["a0", "a1", "a2"]
    assert isinstance(answers[3], OverloadedError)
    queue.close()


def test_who_gave_up_waiting_is_not_decided():
    recorder = Recorder()
    queue = DecisionQueue(recorder, private_telemetry())

    async def one_gives_up() -> Any:
        first = asyncio.create_task(queue.decide(application("a0")))
        await asyncio.to_thread(recorder.begun.wait, 10)
        given_up = asyncio.create_task(queue.decide(application("a1")))
        last = asyncio.create_task(queue.decide(application("a2")))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        recorder.go_on.set()
        return await asyncio.gather(first, last)

    assert asyncio.run(one_gives_up()) == ["a0", "a2"]
    assert recorder.turns == [["a0"], ["a2"]]
    queue.close()


def test_single_requests_are_decided_between_the_chunks_of_a_batch():
    recorder = Recorder()
    queue = DecisionQueue(recorder, private_telemetry())

    async def both() -> None:
        chunks = [asyncio.create_task(queue.decide_chunk([application(f"c{number}")])) for number in range(3)]
        await asyncio.to_thread(recorder.begun.wait, 10)
        singles = [asyncio.create_task(queue.decide(application(f"s{number}"))) for number in range(2)]
        await asyncio.sleep(0)
        recorder.go_on.set()
        await asyncio.gather(*chunks, *singles)

    asyncio.run(both())
    assert recorder.turns == [["c0"], ["s0", "s1"], ["c1"], ["c2"]]
    queue.close()


def test_who_arrives_while_the_loop_is_busy_goes_with_the_same_turn():
    recorder = Recorder()
    recorder.go_on.set()
    queue = DecisionQueue(recorder, private_telemetry())

    async def arriving(loops: int, name: str) -> Any:
        for _ in range(loops):
            await asyncio.sleep(0)  # as a request that is read, parsed and checked
        return await queue.decide(application(name))

    async def all_of_them() -> None:
        await asyncio.gather(arriving(0, "first"), arriving(2, "second"), arriving(4, "third"))

    asyncio.run(all_of_them())
    assert [len(turn) for turn in recorder.turns] == [3]
    queue.close()
