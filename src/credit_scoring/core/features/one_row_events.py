"""Windowed features of one applicant's events in plain Python; see ``one_row``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from credit_scoring.core.facts import Event, Value
from credit_scoring.core.features.declared import Condition, TimeSince, Window
from credit_scoring.core.features.moments import DAYS_PER_MONTH, DAYS_PER_SECOND, PER_MONTH
from credit_scoring.core.features.past import EventColumns

Number = float | None
Rows = Sequence[int]
"""Positions of past events, the oldest first."""

_Feature = Callable[["_Past"], Number]
_Select = Callable[["_Past"], Rows]
_by_time = attrgetter("occurred_at", "event_number")


def days_between(earlier: datetime, later: datetime) -> float:
    """Return days and their fraction between two moments, to the whole second below."""
    elapsed = later - earlier
    return (elapsed.days * 86_400 + elapsed.seconds) * DAYS_PER_SECOND


def added(values: Iterable[float]) -> float:
    """Return the compensated sum (Kahan 1965) of ``values``, as Polars and pandas add up what is left of a group."""
    total = lost = 0.0
    for value in values:
        term = value - lost
        grown = total + term
        lost = (grown - total) - term
        total = grown
    return total


class OneRowEvents:
    """The features over one event table for one applicant, prepared once."""

    def __init__(self, declared: Mapping[str, Window | TimeSince], read: EventColumns) -> None:
        self._read = {name: _reader(name, read) for name in read.columns}
        self._has_known_at = read.known_at
        self._features = {
            name: _time_since(reading) if isinstance(reading, TimeSince) else _window(reading)
            for name, reading in declared.items()
        }
        self._nothing: dict[str, Number] = dict.fromkeys(declared)

    def values(self, events: Sequence[Event] | None, as_of: datetime) -> dict[str, Number]:
        """Return each feature's value, None where it is missing; ``events`` are None where they are unknown."""
        past = [event for event in events or () if event.occurred_at < as_of]
        if self._has_known_at:
            past = [event for event in past if event.known_at is None or event.known_at < as_of]
        if not past:
            return self._nothing
        past.sort(key=_by_time)
        found = _Past(past, as_of, {name: read(past) for name, read in self._read.items()})
        return {name: feature(found) for name, feature in self._features.items()}


class _Past:
    """One applicant's past events, the oldest first, and what was found out about them so far."""

    __slots__ = ("_days_ago", "_events", "as_of", "columns", "found", "size")

    def __init__(self, events: Sequence[Event], as_of: datetime, columns: Mapping[str, Sequence[Value]]) -> None:
        self._events = events
        self._days_ago: list[float] | None = None
        self.as_of = as_of
        self.columns = columns
        self.size = len(events)
        self.found: dict[object, Any] = {}

    @property
    def days_ago(self) -> list[float]:
        if self._days_ago is None:
            self._days_ago = [days_between(event.occurred_at, self.as_of) for event in self._events]
        return self._days_ago

    def since(self, age: timedelta) -> int:
        """Return the position of the first event that is no older than ``age``."""
        return sum(1 for event in self._events if self.as_of - event.occurred_at > age)


def _reader(name: str, read: EventColumns) -> Callable[[Sequence[Event]], list[Value]]:
    special = frozenset(read.columns[name])

    def texts(past: Sequence[Event]) -> list[Value]:
        return [event.values.get(name) for event in past]

    def numbers(past: Sequence[Event]) -> list[Value]:
        given = (event.values.get(name) for event in past)
        # A text among numbers is a fault, and raises here.
        found: list[Value] = [None if value is None else value * 1.0 for value in given]  # type: ignore[operator]
        return [None if number in special else number for number in found] if special else found

    return texts if name in read.texts else numbers


def _time_since(declared: TimeSince) -> _Feature:
    taken = _selected(_everything, declared.where, repr(declared.where))
    unit = PER_MONTH if declared.unit == "months" else 1.0

    def time_since(past: _Past) -> Number:
        rows = taken(past)
        return past.days_ago[rows[-1]] * unit if rows else None

    return time_since


def _window(window: Window) -> _Feature:
    span, key = _span(window), (window.skip, window.last, window.days)
    taken = _selected(span, window.where, (*key, repr(window.where)))
    if window.aggregate == "count":
        return lambda past: float(len(taken(past)))
    if window.aggregate == "share":
        known = _selected(span, dict.fromkeys(window.where, Condition()), (*key, *window.where))
        return _share(taken, known)
    values = _values(str(window.column), taken, (window.column, *key, repr(window.where)))
    aggregate = _AGGREGATES[window.aggregate]

    def windowed(past: _Past) -> Number:
        rows, numbers = values(past)
        return aggregate(numbers, rows, past) if rows else None

    return windowed


def _everything(past: _Past) -> Rows:
    return range(past.size)


def _span(window: Window) -> _Select:
    """The events a window takes, by rank and age: as they are sorted, always some that follow each other."""
    age = None if window.days is None else timedelta(days=window.days)

    def span(past: _Past) -> Rows:
        end = past.size - window.skip
        start = 0 if window.last is None else max(0, end - window.last)
        return range(start if age is None else max(start, past.since(age)), end)

    return span


def _selected(span: _Select, where: Mapping[str, Condition], key: object) -> _Select:
    tests = [(column, _test(condition)) for column, condition in where.items()]

    def selected(past: _Past) -> Rows:
        rows: Rows | None = past.found.get(key)
        if rows is None:
            rows = span(past)
            for column, test in tests:
                values = past.columns[column]
                rows = [row for row in rows if test(values[row])]
            past.found[key] = rows
        return rows

    return selected


def _test(condition: Condition) -> Callable[[Any], bool]:
    low, high, above, below = condition.at_least, condition.at_most, condition.above, condition.below
    allowed = None if condition.one_of is None else frozenset(condition.one_of)

    def test(value: Any) -> bool:
        return (
            value is not None
            and (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
            and (below is None or value < below)
            and (allowed is None or value in allowed)
        )

    return test


def _share(met: _Select, known: _Select) -> _Feature:
    def share(past: _Past) -> Number:
        of = len(known(past))
        return len(met(past)) / of if of else None

    return share


def _values(column: str, taken: _Select, key: object) -> Callable[["_Past"], tuple[Rows, Sequence[float]]]:
    def values(past: _Past) -> tuple[Rows, Sequence[float]]:
        found: tuple[Rows, Sequence[float]] | None = past.found.get(key)
        if found is None:
            given: Sequence[Any] = past.columns[column]
            rows = [row for row in taken(past) if given[row] is not None]
            found = past.found[key] = rows, [given[row] for row in rows]
        return found

    return values


def _trend(numbers: Sequence[float], rows: Rows, past: _Past) -> Number:
    """See ``WindowedFeatures``: the same sums of the same terms."""
    days_ago = past.days_ago
    soonest, lowest = days_ago[rows[-1]], min(numbers)
    ago = [days_ago[row] - soonest for row in rows]
    above = [number - lowest for number in numbers]
    n, x, t = float(len(rows)), added(above), added(ago)
    tx = added([a * b for a, b in zip(ago, above, strict=True)])
    spread = n * added([a * a for a in ago]) - t * t
    return -DAYS_PER_MONTH * (n * tx - t * x) / spread if n > 1 and spread > 0 else None


_AGGREGATES: Mapping[str, Callable[[Sequence[float], Rows, _Past], Number]] = {
    "sum": lambda numbers, _, __: added(numbers),
    "mean": lambda numbers, _, __: added(numbers) / len(numbers),
    "min": lambda numbers, _, __: min(numbers),
    "max": lambda numbers, _, __: max(numbers),
    "last": lambda numbers, _, __: numbers[-1],
    "trend": _trend,
}
