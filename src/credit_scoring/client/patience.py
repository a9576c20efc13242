"""How long the client waits: for one answer, between attempts, and in all."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from credit_scoring.client.errors import UnusableArgumentError


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the client waits; times are seconds.

    An attempt may take ``timeout_s``. After one that failed, up to ``retries`` more follow: the n-th after a random
    part of ``first_wait_s * 2**(n-1)``, at most ``longest_wait_s``, added to what ``Retry-After`` asks for. None begins
    later than ``deadline_s`` after the first; a wait that would end later is not begun.
    """

    timeout_s: float = 10.0
    deadline_s: float = 30.0
    retries: int = 5
    first_wait_s: float = 0.2
    longest_wait_s: float = 8.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isfinite(value) or value < 0 or (value == 0 and field.name in ("timeout_s", "deadline_s")):
                raise UnusableArgumentError(f"'{field.name}' of Patience is {value}. Give a finite number above zero.")

    def longer_by(self, seconds: float) -> "Patience":
        """Return the same for what takes so much longer."""
        return replace(self, timeout_s=self.timeout_s + seconds, deadline_s=self.deadline_s + seconds)

    def wait_s(self, failed: int, elapsed_s: float, draw: float, retry_after_s: float | None = None) -> float | None:
        """Return the wait before the next attempt, or None when there is none.

        Args:
            failed: Attempts that failed so far, from 1.
            elapsed_s: Seconds since the first attempt began.
            draw: Random number in [0, 1), so that clients that failed together do not come back together.
            retry_after_s: What the service asked for; the wait is never shorter.
        """
        if failed > self.retries:
            return None
        # The exponent is bounded, because 2.0**1024 is an error.
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failed - 1, 64))
        wait = (retry_after_s or 0.0) + draw * longest
        return wait if elapsed_s + wait < self.deadline_s else None


PATIENCE = Patience()
"""What is waited where nothing else is asked for."""


def retry_after_s(told: str | None, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for at ``now``; None without one that can be read."""
    if told is None:
        return None
    text = told.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])  # nobody waits that long, and a longer number may be no float
    moment = http_date(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def http_date(text: str | None) -> datetime | None:
    """Return the moment of an HTTP date; None if it is none."""
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
