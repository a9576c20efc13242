"""Has applications that wait together decided together, in turns, on one thread per process.

While a turn writes its records, the next one gathers: concurrent requests share every read and one commit. A turn
begins as soon as the event loop has nothing else to do: whoever is being read goes with it, and nobody waits for
company that may not come. Within a process two turns never run at once, so that what one turn put into the cache the
next one finds there.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from credit_scoring.api.decisions import Decision
from credit_scoring.core.errors import CreditScoringError, OverloadedError
from credit_scoring.serving.telemetry import Telemetry
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.decide_applications import Answer

LARGEST_TURN = 64
"""Most single requests that are decided together: more would make each wait for the others."""
QUIET_LOOPS = 4
"""Loops of the event loop without a new request after which a turn begins: one reads it, one parses it, and the callers
who were answered last send their next ones meanwhile."""
CHUNK = 250
"""Applications of a batch request that are decided together; single requests get their turn in between."""
MOST_WAITING = 2_000
"""Requests that may wait; above it they are refused at once, not after they waited in vain."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Applications of one request; ``mark`` is its place in a trace, ``since_s`` when it came."""

    applications: Sequence[Application]
    answers: "asyncio.Future[list[Answer]]"
    mark: Any
    since_s: float


class DecisionQueue:
    """Passes applications to ``decide_many`` in turns; for one event loop."""

    def __init__(self, decide_many: Callable[[Sequence[Application]], list[Answer]], telemetry: Telemetry) -> None:
        self._decide_many = decide_many
        self._telemetry = telemetry
        self._singles: deque[_Waiting] = deque()
        self._chunks: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decisions")
        self._working: asyncio.Task[None] | None = None

    async def decide(self, application: Application) -> Decision:
        """Return the decision on one application.

        Raises:
            CreditScoringError: What kept it from being decided; ``OverloadedError`` when too many wait.
        """
        [answer] = await self._answers([application], self._singles)
        if isinstance(answer, CreditScoringError):
            raise answer
        return answer

    async def decide_chunk(self, applications: Sequence[Application]) -> list[Answer]:
        """Return the answer to each application of a part of a batch, at most ``CHUNK`` of them.

        Raises:
            CreditScoringError: What kept all of them from being decided.
        """
        return await self._answers(applications, self._chunks)

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._singles) + len(self._chunks)

    def close(self) -> None:
        """Let the turn in hand end, and take no more."""
        self._thread.shutdown(wait=True)

    async def _answers(self, applications: Sequence[Application], queue: deque[_Waiting]) -> list[Answer]:
        if self.depth >= MOST_WAITING:
            raise OverloadedError("More requests wait than can be answered in time. Send the same again later.")
        future: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(applications, future, self._telemetry.mark(), perf_counter())
        queue.append(waiting)
        self._telemetry.metrics.queue_depth(self.depth)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await waiting.answers

    async def _work(self) -> None:
        """Take turns until nobody waits; single requests and chunks alternate when both do."""
        loop = asyncio.get_running_loop()
        chunk_is_next = False
        while self._singles or self._chunks:
            await self._others_arrived()
            take_chunk = bool(self._chunks) and (chunk_is_next or not self._singles)
            turn = self._taken(self._chunks, 1) if take_chunk else self._taken(self._singles, LARGEST_TURN)
            chunk_is_next = not take_chunk
            if turn:
                work = loop.run_in_executor(self._thread, self._decided, turn)
                [found] = await asyncio.gather(work, return_exceptions=True)
                _hand_out(turn, found)

    async def _others_arrived(self) -> None:
        """Let the event loop work off what is ready now, which takes no time when nothing is."""
        quiet = 0
        while quiet < QUIET_LOOPS and self.depth < LARGEST_TURN:
            depth = self.depth
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.depth == depth else 0

    def _decided(self, turn: Sequence[_Waiting]) -> list[Answer]:
        applications = [application for waiting in turn for application in waiting.applications]
        with self._telemetry.turn([waiting.mark for waiting in turn]):
            return self._decide_many(applications)

    def _taken(self, queue: deque[_Waiting], most: int) -> list[_Waiting]:
        """Take those who still wait; whoever gave up is not decided."""
        taken = [queue.popleft() for _ in range(min(most, len(queue)))]
        turn = [waiting for waiting in taken if not waiting.answers.done()]
        metrics = self._telemetry.metrics
        if turn:
            metrics.waited(perf_counter() - turn[0].since_s)
        metrics.turn(sum(len(waiting.applications) for waiting in turn))
        metrics.queue_depth(self.depth)
        return turn


def _hand_out(turn: Sequence[_Waiting], found: list[Answer] | BaseException) -> None:
    place = 0
    for waiting in turn:
        size = len(waiting.applications)
        if waiting.answers.done():
            pass
        elif isinstance(found, BaseException):
            waiting.answers.set_exception(found)
        else:
            waiting.answers.set_result(found[place : place + size])
        place += size
