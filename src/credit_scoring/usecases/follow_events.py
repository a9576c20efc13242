"""Follows a stream of pushed events until told to stop, through failures of the stream and of the store."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from credit_scoring.core.errors import RecordsError, StreamError
from credit_scoring.core.pushed import Taken
from credit_scoring.ports import EventStream
from credit_scoring.usecases.accept_events import EventIntake

MESSAGES_AT_ONCE = 500
LONGEST_WAIT_S = 1.0
"""How long the stream is waited for at once, and thereby how late a request to stop is seen."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0
_SLICE_S = 0.1

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Stop:
    """A request to stop; a plain flag, because a signal handler may set it at any moment."""

    requested: bool = False

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than until a stop is requested."""
        end = time.monotonic() + seconds
        while not self.requested and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))


@dataclass(slots=True)
class Follower:
    """Takes messages batch by batch; each is acknowledged only once what became of it is durable.

    ``taken`` counts what became of messages so far. What was delivered and not acknowledged, by this consumer in an
    earlier life or by others ``take_over_every_s`` ago, comes before what is new.
    """

    stream: EventStream
    intake: EventIntake
    stop: Stop
    take_over_every_s: float = 30.0
    report_every_s: float = 10.0
    now: Callable[[], float] = time.monotonic
    taken: Taken = field(default_factory=Taken)
    _unfinished: bool = True
    _failures: int = 0
    _next_take_over: float = field(default=float("-inf"))
    _next_report: float = field(default=float("inf"))

    def run(self) -> Taken:
        """Follow the stream until a stop is requested; return what became of all messages."""
        self._next_report = self.now() + self.report_every_s
        while not self.stop.requested:
            try:
                self._step()
            except (StreamError, RecordsError) as exc:
                self._wait_after(exc)
            else:
                self._tell_recovery()
        return self.taken

    def _step(self) -> None:
        if self.now() >= self._next_take_over:
            self._unfinished |= self.stream.take_over() > 0
            self._next_take_over = self.now() + self.take_over_every_s
        if self._unfinished:
            delivered = self.stream.unfinished(MESSAGES_AT_ONCE)
            self._unfinished = bool(delivered)
        else:
            delivered = self.stream.next(MESSAGES_AT_ONCE, LONGEST_WAIT_S)
        if delivered:
            self.taken += self.intake.accept(delivered)
            self.stream.acknowledge(delivered)
        if self.now() >= self._next_report:
            self._report()

    def _report(self) -> None:
        self._next_report = self.now() + self.report_every_s
        lag, taken = self.stream.lag(), self.taken
        waiting = "?" if lag.waiting is None else lag.waiting
        told = (taken.stored, taken.copies, taken.set_aside, lag.in_hand, waiting, lag.seconds)
        logger.info("following stored=%d copies=%d set_aside=%d in_hand=%d waiting=%s behind_s=%.1f", *told)

    def _wait_after(self, fault: StreamError | RecordsError) -> None:
        """Tell of the first failure of a row of them, then pause longer each time."""
        if not self._failures:
            logger.warning("following_interrupted, will go on by itself: %s", fault)
        self._unfinished = True  # what was delivered meanwhile may have been lost on its way here
        self.stop.pause(min(_FIRST_PAUSE_S * 2**self._failures, _LONGEST_PAUSE_S))
        self._failures = min(self._failures + 1, 20)

    def _tell_recovery(self) -> None:
        if self._failures:
            logger.info("following_again after failed_attempts=%d", self._failures)
            self._failures = 0
