"""The events that exist for a decision: those that occurred, and were known, strictly before its ``as_of``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import polars as pl

from credit_scoring.core.features.expressions import amount
from credit_scoring.core.features.moments import AS_OF, KNOWN_AT, OCCURRED_AT, days_between

APPLICANT = "_applicant"
"""What names an applicant inside a plan: the row's position where rows have one, else the ``applicant_id``."""

NEWEST = "_newest"
"""Rank of an event among its applicant's past events: 1 is the newest."""

DAYS_AGO = "_days_ago"
MICROSECONDS_AGO = "_microseconds_ago"


@dataclass(frozen=True, slots=True)
class EventColumns:
    """What features read of an event table: columns with their special codes, and ``known_at`` if declared.

    ``texts`` are the columns that hold categories rather than numbers.
    """

    columns: Mapping[str, Sequence[float]]
    texts: frozenset[str]
    known_at: bool

    @property
    def required(self) -> set[str]:
        """Every column that a frame of this table must have."""
        keys = {"applicant_id", "occurred_at", "event_number"} | ({"known_at"} if self.known_at else set())
        return keys | set(self.columns)


def past_events(events: nw.LazyFrame[Any], decisions: nw.LazyFrame[Any], read: EventColumns) -> nw.LazyFrame[Any]:
    """Return each decision's past events with their rank and age, in each applicant from the oldest to the newest.

    Args:
        events: One row per event: ``applicant_id``, ``_occurred_at`` (and ``_known_at``) in microseconds,
            ``event_number`` (order of receipt, never null) and the columns read, null where unknown.
        decisions: One row per applicant: ``_applicant``, ``applicant_id`` and ``_as_of`` in microseconds.
        read: What the features read.
    """
    past = events.join(decisions, on="applicant_id", how="inner").filter(nw.col(OCCURRED_AT) < nw.col(AS_OF))
    if read.known_at:
        past = past.filter(nw.col(KNOWN_AT) < nw.col(AS_OF))
    return _ranked(past).select(
        APPLICANT,
        NEWEST,
        **{DAYS_AGO: days_between(nw.col(OCCURRED_AT), nw.col(AS_OF))},
        **{MICROSECONDS_AGO: nw.col(AS_OF) - nw.col(OCCURRED_AT)},
        **{column: amount(nw.col(column), special) for column, special in read.columns.items()},
    )


def _ranked(past: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Sort events, because sums depend on the order of their terms, and rank them.

    Events of one moment are ordered by the number under which they were received.
    """
    order = [OCCURRED_AT, "event_number"]
    if past.implementation.is_polars():
        return nw.from_native(_ranked_by_polars(past.to_native(), order))
    # Counted is a column that is not ordered by: narwhals 2.28 on pandas orders by "is counted" instead of by it.
    rank = nw.col(AS_OF).cum_count(reverse=True).over(APPLICANT, order_by=order)
    return past.sort(*order).with_columns(**{NEWEST: rank})


def _ranked_by_polars(past: pl.LazyFrame, order: list[str]) -> pl.LazyFrame:
    """The same rank in a tenth of the time: an applicant's events stand together, so positions can be subtracted."""
    position, last = pl.int_range(pl.len()), pl.col(APPLICANT).ne_missing(pl.col(APPLICANT).shift(-1))
    end = pl.when(last).then(position).backward_fill()
    return past.sort(APPLICANT, *order).with_columns((end - position + 1).alias(NEWEST))
