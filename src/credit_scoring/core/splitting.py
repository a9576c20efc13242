"""Which part of a portfolio an applicant belongs to."""

from datetime import date

import polars as pl

from credit_scoring.core.hashing import salted_draw
from credit_scoring.core.portfolio import HashSplit, Split, TimeSplit


def part_of(person: str, split: HashSplit) -> str:
    """Return ``development``, ``holdout`` or ``stream``; the same for the same person for ever."""
    draw = salted_draw("split", split.salt, person)
    if draw < split.development:
        return "development"
    return "holdout" if draw < split.development + split.holdout else "stream"


def assign_parts(applicants: pl.DataFrame, split: Split, decided_from: date | None = None) -> pl.DataFrame:
    """Return ``(n, 2)``: ``applicant_id`` and ``part``, in the order of ``applicants``.

    Args:
        applicants: ``applicant_id``, ``person`` where one person may have several rows, and ``as_of`` for a split
            by time. All rows of a person fall into one part, by time that of the first; those that were decided in
            the time of a later part belong to none, so that no part knows a later time.
        split: The declared split.
        decided_from: Rows decided before this day are left out; they belong to no part.
    """
    if decided_from is not None:
        applicants = applicants.filter(pl.col("as_of").dt.date() >= decided_from)
    person = "person" if "person" in applicants.columns else "applicant_id"
    if isinstance(split, TimeSplit):
        own, first = _part_in_time(split, pl.col("as_of")), _part_in_time(split, pl.col("as_of").min().over(person))
        return (
            applicants.select("applicant_id", part=first, _own=own)
            .filter(pl.col("part") == pl.col("_own"))
            .drop("_own")
        )
    return applicants.select("applicant_id", part=_part_by_hash(split, person))


def _part_by_hash(split: HashSplit, person: str) -> pl.Expr:
    return pl.col(person).map_elements(lambda name: part_of(name, split), return_dtype=pl.String)


def _part_in_time(split: TimeSplit, moment: pl.Expr) -> pl.Expr:
    day = moment.dt.date()
    stream = pl.lit(False) if split.stream_from is None else day >= split.stream_from
    part = pl.when(stream).then(pl.lit("stream")).when(day >= split.holdout_from).then(pl.lit("holdout"))
    return part.otherwise(pl.lit("development"))
