"""A thread of the challenger's own: whatever it does there, the champion answers in time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
_Work = tuple[Callable[[], Any], Future[Any]]

BUDGET_S = 0.25
"""Seconds that a turn waits for the challenger, however few applications it has."""
BUDGET_PER_APPLICATION_S = 0.005
"""Seconds that each application of a turn adds."""

IDLE_S = 10.0
"""Seconds without work after which the thread ends, as when another challenger has taken the role."""

HUNG = "hung"
"""What is recorded of a challenger that did not answer within its budget, or is still busy with an earlier turn."""


@dataclass(slots=True)
class Pending(Generic[Result]):
    """Work that the challenger's thread was given; ``future`` is None when the thread is busy."""

    future: "Future[Result] | None"

    def result(self, within_s: float) -> Result | str:
        """Return the result, or what the failure is called: an error's class, or ``HUNG``."""
        if self.future is None:
            return HUNG
        try:
            failure = self.future.exception(within_s)
        except TimeoutError:
            return HUNG
        return self.future.result() if failure is None else type(failure).__name__


@dataclass(slots=True)
class ChallengerThread:
    """Runs one piece of work at a time and takes no other meanwhile: work that hangs is not queued behind.

    The thread stays for the next turn, since starting one takes longer than a score, and ends when there is none for
    ``idle_s``. It is a daemon: a process that ends does not wait for a challenger that hangs.
    """

    idle_s: float = IDLE_S
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _given: "SimpleQueue[_Work]" = field(default_factory=SimpleQueue)
    _waiting: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it takes no work now."""
        return self._busy.locked()

    def run(self, work: Callable[[], Result]) -> Pending[Result]:
        """Start ``work`` and return at once."""
        if not self._busy.acquire(blocking=False):
            return Pending(None)
        future: Future[Result] = Future()
        with self._waiting:
            self._given.put((work, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="challenger", daemon=True)
                self._thread.start()
        return Pending(future)

    def _go_on(self) -> None:
        while (given := self._next()) is not None:
            self._work(*given)
            del given  # what was worked on is not kept while nothing comes

    def _next(self) -> "_Work | None":
        try:
            return self._given.get(timeout=self.idle_s)
        except Empty:
            with self._waiting:
                if self._given.empty():
                    self._thread = None
                    return None
            return self._given.get()

    def _work(self, work: Callable[[], Any], future: "Future[Any]") -> None:
        try:
            result = work()
        except BaseException as exc:  # noqa: BLE001 - whatever a challenger raises is its own failure, and recorded
            self._busy.release()
            future.set_exception(exc)
        else:
            self._busy.release()
            future.set_result(result)


def budget_s(applications: int) -> float:
    """Return the seconds that a turn of so many applications waits for the challenger."""
    return BUDGET_S + BUDGET_PER_APPLICATION_S * applications
