"""Aggregates over an applicant's events, strictly before ``as_of``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from credit_scoring.core.features.declared import Condition, TimeSince, Window

DAYS_PER_MONTH = 30.0
"""Length of the month in which trends and times are stated; a unit, not a calendar."""

_SECONDS_PER_DAY = 86_400.0
_ORDER = ("occurred_at", "event_number")
"""Events of one moment are ordered by the number under which they were received."""


@dataclass(frozen=True, slots=True)
class _Aggregation:
    """Columns to add to the events, aggregates per applicant of these, and the feature made of those."""

    columns: dict[str, nw.Expr]
    aggregates: dict[str, nw.Expr]
    feature: nw.Expr


def aggregate_events(
    events: nw.LazyFrame[Any],
    moments: nw.LazyFrame[Any],
    declared: Mapping[str, Window | TimeSince],
) -> nw.LazyFrame[Any]:
    """Compute windowed features of all applicants at once.

    Args:
        events: One row per event: ``applicant_id``, ``occurred_at``, ``event_number`` (order of receipt,
            never null) and the table's columns, null where unknown.
        moments: One row per applicant: ``applicant_id`` and ``as_of``, comparable with ``occurred_at``.
        declared: Features by name, all over this table.

    Returns:
        One row per applicant with at least one event before ``as_of``: ``applicant_id`` and a float64
        column per feature, null where missing.
    """
    past = events.join(moments, on="applicant_id", how="inner").filter(nw.col("occurred_at") < nw.col("as_of"))
    # Sums of fractions depend on the order of their terms, so every path adds from the oldest event on.
    past = past.sort(*_ORDER)
    past = past.with_columns(
        _newest=nw.col("event_number").cum_count(reverse=True).over("applicant_id", order_by=list(_ORDER)),
        _days_ago=(nw.col("as_of") - nw.col("occurred_at")).dt.total_seconds() / _SECONDS_PER_DAY,
    )
    plans = {name: _aggregation(name, feature) for name, feature in declared.items()}
    needs_newest_match = [name for name, feature in declared.items() if _takes_last(feature)]
    past = past.with_columns(**{k: v for plan in plans.values() for k, v in plan.columns.items()})
    if needs_newest_match:
        past = past.with_columns(**{_own(name, "at"): _value_at_newest_match(name) for name in needs_newest_match})
    summed = past.group_by("applicant_id").agg(**{k: v for plan in plans.values() for k, v in plan.aggregates.items()})
    return summed.select("applicant_id", **{name: plan.feature for name, plan in plans.items()})


def _aggregation(name: str, feature: Window | TimeSince) -> _Aggregation:
    if isinstance(feature, TimeSince):
        ago = nw.when(_meets(feature.where)).then(nw.col("_days_ago"))
        unit = DAYS_PER_MONTH if feature.unit == "months" else 1.0
        return _Aggregation({name: ago}, {name: nw.col(name).min()}, nw.col(name) / unit)
    inside = _inside(feature)
    if feature.aggregate == "count":
        taken = nw.when(inside & _meets(feature.where)).then(nw.lit(1.0)).otherwise(nw.lit(0.0))
        return _Aggregation({name: taken}, {name: nw.col(name).sum()}, nw.col(name))
    if feature.aggregate == "share":
        met = nw.when(_meets(feature.where)).then(nw.lit(1.0)).otherwise(nw.lit(0.0))
        taken = nw.when(inside & _known(feature.where)).then(met)
        return _Aggregation({name: taken}, {name: nw.col(name).mean()}, nw.col(name))
    value = nw.when(inside & _meets(feature.where)).then(nw.col(str(feature.column)).cast(nw.Float64))
    if feature.aggregate == "trend":
        return _trend(name, value)
    if feature.aggregate == "last":
        rank = nw.when(~value.is_null()).then(nw.col("_newest"))
        at_newest = nw.col(_own(name, "at")).max()
        return _Aggregation({name: value, _own(name, "rank"): rank}, {name: at_newest}, nw.col(name))
    return _Aggregation({name: value}, _known_only(name, feature.aggregate), _where_any(name))


def _takes_last(feature: Window | TimeSince) -> bool:
    return isinstance(feature, Window) and feature.aggregate == "last"


def _value_at_newest_match(name: str) -> nw.Expr:
    """The value of the newest matching event, on that event's row alone."""
    rank = nw.col(_own(name, "rank"))
    return nw.when(rank == rank.min().over("applicant_id")).then(nw.col(name))


def _known_only(name: str, aggregate: str) -> dict[str, nw.Expr]:
    """An aggregate beside the number of known values: the sum of nothing is missing, not zero."""
    return {name: getattr(nw.col(name), aggregate)(), _own(name, "n"): nw.col(name).count()}


def _where_any(name: str) -> nw.Expr:
    return nw.when(nw.col(_own(name, "n")) > 0).then(nw.col(name))


def _trend(name: str, value: nw.Expr) -> _Aggregation:
    """Least-squares slope per ``DAYS_PER_MONTH``; times count backwards from ``as_of``, hence the sign.

    Both are counted from their smallest, so that one moment alone, or one value alone, cancels exactly.
    """
    ago = nw.when(~value.is_null()).then(nw.col("_days_ago"))
    ago = ago - ago.min().over("applicant_id")
    above = value - value.min().over("applicant_id")
    parts = {"x": above, "t": ago, "tx": ago * above, "tt": ago * ago}
    columns = {_own(name, part): expression for part, expression in parts.items()}
    sums = {column: nw.col(column).sum() for column in columns}
    n, x, t, tx, tt = (nw.col(_own(name, part)) for part in ("n", "x", "t", "tx", "tt"))
    spread = n * tt - t * t
    slope = nw.when((n > 1) & (spread > 0)).then(-DAYS_PER_MONTH * (n * tx - t * x) / spread)
    return _Aggregation(columns, {**sums, _own(name, "n"): nw.col(_own(name, "x")).count()}, slope)


def _own(name: str, part: str) -> str:
    """Name of a column made on the way to feature ``name``; declared names do not begin with an underscore."""
    return f"_{name}__{part}"


def _inside(window: Window) -> nw.Expr:
    """Whether an event is among those the window takes, counted from the newest."""
    inside = nw.col("_newest") > window.skip
    if window.last is not None:
        inside = inside & (nw.col("_newest") <= window.skip + window.last)
    return inside


def _meets(where: Mapping[str, Condition]) -> nw.Expr:
    """Whether an event meets every condition; a missing value meets none."""
    met = nw.lit(True)
    for column, condition in where.items():
        value = nw.col(column)
        if condition.at_least is not None:
            met = met & (value >= condition.at_least)
        if condition.at_most is not None:
            met = met & (value <= condition.at_most)
        if condition.one_of is not None:
            numbers = not any(isinstance(allowed, str) for allowed in condition.one_of)
            met = met & (value.cast(nw.Float64) if numbers else value).is_in(list(condition.one_of))
    return met


def _known(where: Mapping[str, Condition]) -> nw.Expr:
    """Whether every value that the conditions read is known."""
    known = nw.lit(True)
    for column in where:
        known = known & ~nw.col(column).is_null()
    return known
