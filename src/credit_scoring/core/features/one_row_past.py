"""One applicant's past events as columns, for the function that ``one_row`` writes; see there."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter, ge

from credit_scoring.core.facts import Event, Value
from credit_scoring.core.features.moments import DAYS_PER_SECOND
from credit_scoring.core.features.one_row_sums import Add, Number, added

NumberColumn = tuple[Sequence[Number], bool, Add]
"""A column's values, the oldest event's first; whether none is missing; and what adds some of them up."""

EXACT = 2**52
"""Whole numbers are added up exactly in any order, as floats too, while their sums stay below this."""

_by_time = attrgetter("occurred_at", "event_number")


def occurred_before(as_of: datetime, events: Sequence[Event] | None) -> Sequence[Event]:
    """Return the events before ``as_of``, the oldest first; ``events`` are None where they are unknown."""
    return _in_order([event for event in events or () if event.occurred_at < as_of])


def known_before(as_of: datetime, events: Sequence[Event] | None) -> Sequence[Event]:
    """Return the events that also were known before ``as_of``, the oldest first."""
    past = [event for event in events or () if event.occurred_at < as_of]
    return _in_order([event for event in past if event.known_at is None or event.known_at < as_of])


def _in_order(past: list[Event]) -> list[Event]:
    moments = [event.occurred_at for event in past]
    if any(map(ge, moments, moments[1:])):  # most come in order, which is seen in a third of the time of sorting
        past.sort(key=_by_time)
    return past


def days_between(earlier: datetime, later: datetime) -> float:
    """Return days and their fraction between two moments, to the whole second below."""
    elapsed = later - earlier
    return (elapsed.days * 86_400 + elapsed.seconds) * DAYS_PER_SECOND


def days_ago(past: Sequence[Event], as_of: datetime) -> list[float]:
    """Return how many days before ``as_of`` each event occurred; see ``days_between``."""
    ages = [as_of - event.occurred_at for event in past]
    return [(age.days * 86_400 + age.seconds) * DAYS_PER_SECOND for age in ages]


def older_than(limit: timedelta, past: Sequence[Event], as_of: datetime) -> int:
    """Return how many events occurred longer than ``limit`` before ``as_of``, which the first younger one follows."""
    return sum([as_of - event.occurred_at > limit for event in past])


def texts(past: Sequence[Event], column: str) -> Sequence[Value]:
    """Return a column of texts."""
    return [event.values.get(column) for event in past]


def numbers(past: Sequence[Event], column: str) -> NumberColumn:
    """Return a column of numbers; a text among them is a fault, and raises ``TypeError``."""
    try:
        given: list[float] = [event.values[column] for event in past]  # type: ignore[misc] # else it raises
        size = sum(map(abs, given))
    except (KeyError, TypeError):
        found = _floats(past, column)
        return found, None not in found, added
    exact = type(size) is int and size * len(given) < EXACT
    return [value * 1.0 for value in given], True, sum if exact else added


def amounts(past: Sequence[Event], column: str, special: frozenset[float]) -> NumberColumn:
    """Return a column of numbers whose special codes are missing."""
    found = [None if number in special else number for number in _floats(past, column)]
    return found, None not in found, added


def _floats(past: Sequence[Event], column: str) -> list[Number]:
    given = [event.values.get(column) for event in past]
    return [None if value is None else value * 1.0 for value in given]  # type: ignore[operator] # a text raises
