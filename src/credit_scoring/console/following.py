"""Follows the stream of a portfolio's pushed events until SIGTERM or Ctrl-C."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.event_stream import Membership, RedisEventStream
from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.errors import DeclarationError, StreamError
from credit_scoring.core.owners import DEFAULT_TENANT, Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.pushed import LONGEST_ID
from credit_scoring.environment import Environment
from credit_scoring.usecases.accept_events import EventIntake
from credit_scoring.usecases.follow_events import Follower, Stop

GROUP = "credit_scoring"
"""The consumer group when none is named."""

_LONGEST_STREAM = LONGEST_ID - len("/") - 2 * 20 - len("-")  # with a message's id it is the name of an event


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """What is followed and how; None leaves it to the default."""

    portfolio: str
    stream: str | None = None
    group: str | None = None
    consumer: str | None = None
    take_over_after_s: float = 60.0


def default_stream(owner: Owner) -> str:
    """Return the stream of an owner for whom none is named; the tenant of a single lender is not told."""
    tenant = "" if owner.tenant == DEFAULT_TENANT else f"{owner.tenant}:"
    return f"credit_scoring:{tenant}{owner.portfolio}:events"


def follow(options: FollowOptions, tell: Callable[[str], None]) -> str:
    """Take pushed events until the process is asked to stop; return what became of them.

    Raises:
        DeclarationError: If the portfolio is not declared or has no event table.
        StreamError: If the stream is not configured or cannot be reached at the start.
        RecordsError: If the database cannot be opened.
    """
    portfolio = _with_events(options.portfolio)
    environment = Environment()
    owner = environment.owner(portfolio.name)
    membership = _membership(options, owner)
    url = environment.redis_url
    if url is None:
        raise StreamError(
            "CREDIT_REDIS_URL is not set, so there is no stream to follow. Set it in the environment or in .env, such "
            "as 'redis://127.0.0.1:6379/0'."
        )
    stop = Stop()
    _stop_on_signals(stop)
    with opened(environment.database_url) as engine:
        stream = RedisEventStream(url, membership)
        _log_to_stderr()
        tell(f"Following '{membership.stream}' at {stream.server} as '{membership.consumer}' of '{membership.group}'.")
        intake = EventIntake(portfolio, owner, PushedEventRepository(engine))
        taken = Follower(stream, intake, stop, take_over_every_s=min(30.0, options.take_over_after_s)).run()
        waiting = _left(stream, leaving=options.consumer is None)
    aside = f" ('credit-scoring quarantine list --portfolio {portfolio.name}')" if taken.set_aside else ""
    return (
        f"Stopped after {taken.messages:,} messages: {taken.stored:,} events stored, {taken.copies:,} copies, "
        f"{taken.set_aside:,} set aside{aside}. {waiting}"
    )


def _with_events(name: str) -> Portfolio:
    portfolio = read_portfolio(Path("conf") / name / "portfolio.yml")
    if not portfolio.events:
        raise DeclarationError(f"'{name}' declares no event table. Declare one under 'events' in its portfolio.yml.")
    return portfolio


def _membership(options: FollowOptions, owner: Owner) -> Membership:
    stream = options.stream or default_stream(owner)
    if len(stream) > _LONGEST_STREAM:
        raise StreamError(f"The stream's name has more than {_LONGEST_STREAM} characters. Choose a shorter one.")
    consumer = options.consumer or f"{socket.gethostname()}:{os.getpid()}"
    return Membership(stream, options.group or GROUP, consumer, options.take_over_after_s)


def _log_to_stderr() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("credit_scoring").setLevel(logging.INFO)


def _stop_on_signals(stop: Stop) -> None:
    def request(_signal: int, _frame: FrameType | None) -> None:
        stop.requested = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request)


def _left(stream: RedisEventStream, *, leaving: bool) -> str:
    """Tell what is left to do; a consumer whose name nobody will use again leaves the group."""
    try:
        lag = stream.lag()
        if leaving:
            stream.leave()
    except StreamError:
        return "The stream does not answer now; what is left in it is taken next time."
    if lag.waiting == 0 and not lag.in_hand:
        return "Nothing is waiting."
    some = "Messages are" if lag.waiting is None else f"{lag.waiting:,} messages are"
    return f"{some} waiting, and {lag.in_hand:,} in the hands of consumers."
