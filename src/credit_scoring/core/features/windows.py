"""Declared aggregates over each applicant's past events, as Narwhals expressions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import narwhals as nw

from credit_scoring.core.features.conditions import known, meets
from credit_scoring.core.features.declared import TimeSince, Window
from credit_scoring.core.features.moments import DAYS_PER_MONTH, MICROSECONDS_PER_DAY, PER_MONTH
from credit_scoring.core.features.past import APPLICANT, DAYS_AGO, MICROSECONDS_AGO, NEWEST

How = Literal["sum", "mean", "min", "max", "count"]


@dataclass(frozen=True, slots=True)
class _Number:
    """A number of each event, and which events it is taken of; None means all that have one."""

    value: nw.Expr
    condition: nw.Expr | None = None

    @property
    def column(self) -> nw.Expr:
        """The number as a column, missing on events that are left out."""
        return self.value if self.condition is None else nw.when(self.condition).then(self.value)


class WindowedFeatures:
    """The features over one event table: numbers of each event, their aggregates, the features made of these.

    What several features need is made once. An instance belongs to one table.
    """

    def __init__(self, declared: Mapping[str, Window | TimeSince]) -> None:
        self._names: dict[tuple[object, ...], str] = {}
        self._numbers: dict[str, _Number] = {}
        self._beside: dict[str, nw.Expr] = {}
        self._aggregates: dict[str, tuple[str, How]] = {}
        self._features = {name: self._feature(feature) for name, feature in declared.items()}

    def of(self, past: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Return ``_applicant`` and a float64 column per feature, null where missing.

        Args:
            past: The rows of ``past_events``; applicants without any have no row in the result either.
        """
        rows = past.with_columns(**self._beside) if self._beside else past
        if past.implementation.is_pandas():
            # There a group-by of anything but plain columns calls Python once per applicant.
            rows = rows.with_columns(**{name: number.column for name, number in self._numbers.items()})
            numbers = {name: nw.col(name) for name in self._numbers}
        elif past.implementation.is_polars():
            numbers = {name: _filtered(number) for name, number in self._numbers.items()}
        else:
            numbers = {name: number.column for name, number in self._numbers.items()}
        aggregates = {name: getattr(numbers[number], how)() for name, (number, how) in self._aggregates.items()}
        summed = rows.group_by(APPLICANT).agg(**aggregates)
        return summed.select(APPLICANT, **self._features)

    def _feature(self, feature: Window | TimeSince) -> nw.Expr:
        if isinstance(feature, TimeSince):
            ago = _Number(nw.col(DAYS_AGO), meets(feature.where))
            unit = PER_MONTH if feature.unit == "months" else 1.0
            return self._aggregate("min", ago, ("ago", repr(feature.where))) * unit
        span, selection = _span(feature), _selection(feature)
        if feature.aggregate == "count":
            taken = _Number(_one_where(_both(span, meets(feature.where))))
            return self._aggregate("sum", taken, ("taken", *selection))
        if feature.aggregate == "share":
            return self._aggregate(
                "mean",
                _Number(_one_where(meets(feature.where)), _both(span, known(feature.where))),
                ("met", *selection),
            )
        value = _Number(nw.col(str(feature.column)).cast(nw.Float64), _both(span, meets(feature.where)))
        return self._of_value(feature, value, (feature.column, *selection))

    def _of_value(self, feature: Window, value: _Number, key: tuple[object, ...]) -> nw.Expr:
        if feature.aggregate == "trend":
            return self._trend(value, key)
        if feature.aggregate == "sum":
            some = self._aggregate("count", value, key) > 0  # the sum of nothing is missing, not zero
            return nw.when(some).then(self._aggregate("sum", value, key))
        if feature.aggregate in ("mean", "min", "max"):
            return self._aggregate(feature.aggregate, value, key)
        if feature.last == 1:
            return self._aggregate("max", value, key)  # of at most one event
        return self._aggregate("max", self._newest(value, key), ("newest", *key))

    def _newest(self, value: _Number, key: tuple[object, ...]) -> _Number:
        """The value of the newest event that has one, on that event's row alone."""
        rank = nw.when(~value.column.is_null()).then(nw.col(NEWEST))
        newest = self._beside_events(rank.min().over(APPLICANT), ("newest", *key))
        return _Number(value.value, nw.col(NEWEST) == newest)

    def _trend(self, value: _Number, key: tuple[object, ...]) -> nw.Expr:
        """Least-squares slope per ``DAYS_PER_MONTH``; times count backwards from ``as_of``, hence the sign.

        Both are counted from their smallest, so that one moment alone, or one value alone, cancels exactly.
        """
        has_value = ~value.column.is_null()
        soonest = nw.when(has_value).then(nw.col(DAYS_AGO)).min().over(APPLICANT)
        ago = nw.col(DAYS_AGO) - self._beside_events(soonest, ("soonest", *key))
        above = value.value - self._beside_events(value.column.min().over(APPLICANT), ("lowest", *key))
        parts = {"x": above, "t": ago, "tx": ago * above, "tt": ago * ago}
        x, t, tx, tt = (self._aggregate("sum", _Number(e, has_value), (name, *key)) for name, e in parts.items())
        n = self._aggregate("count", value, key)
        spread = n * tt - t * t
        return nw.when((n > 1) & (spread > 0)).then(-DAYS_PER_MONTH * (n * tx - t * x) / spread)

    def _aggregate(self, how: How, number: _Number, key: tuple[object, ...]) -> nw.Expr:
        """Return what ``number`` of all of an applicant's past events comes to; ``key`` names the number."""
        name = self._names.setdefault(key, f"_number_{len(self._names)}")
        self._numbers.setdefault(name, number)
        self._aggregates.setdefault(f"{name}_{how}", (name, how))
        return nw.col(f"{name}_{how}").cast(nw.Float64)

    def _beside_events(self, number: nw.Expr, key: tuple[object, ...]) -> nw.Expr:
        """Return a number of the applicant's events together, put beside each of them."""
        name = self._names.setdefault(("beside", *key), f"_beside_{len(self._names)}")
        self._beside.setdefault(name, number)
        return nw.col(name)


def _filtered(number: _Number) -> nw.Expr:
    """The events' numbers without those that are left out, in half the time that it takes to make them missing.

    Polars adds up what a filter leaves of a group with compensation (Kahan 1965), a group as it stands in blocks:
    filtered always, a sum is the same to the bit in pandas, in ``one_row`` and here, for any number of events.
    """
    return number.value.filter(~number.value.is_null() if number.condition is None else number.condition)


def _one_where(condition: nw.Expr | None) -> nw.Expr:
    """One on each event that meets the condition, zero on the others."""
    every = nw.col(NEWEST) > 0
    return nw.when(every if condition is None else condition).then(nw.lit(1.0)).otherwise(nw.lit(0.0))


def _span(window: Window) -> nw.Expr | None:
    """Whether an event is among those the window takes, by rank and age; None when it takes all."""
    span = nw.col(NEWEST) > window.skip if window.skip else None
    if window.last is not None:
        span = _both(span, nw.col(NEWEST) <= window.skip + window.last)
    if window.days is not None:
        span = _both(span, nw.col(MICROSECONDS_AGO) <= window.days * MICROSECONDS_PER_DAY)
    return span


def _selection(window: Window) -> tuple[object, ...]:
    """What tells the events that a window takes from those that another takes."""
    return (window.skip, window.last, window.days, repr(window.where))


def _both(first: nw.Expr | None, second: nw.Expr | None) -> nw.Expr | None:
    if first is None or second is None:
        return second if first is None else first
    return first & second
