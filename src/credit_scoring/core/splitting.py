"""Which part of a portfolio an applicant belongs to."""

import polars as pl

from credit_scoring.core.hashing import salted_draw
from credit_scoring.core.portfolio import Split


def part_of(applicant_id: str, split: Split) -> str:
    """Return ``development``, ``holdout`` or ``stream``; the same for the same applicant for ever."""
    draw = salted_draw("split", split.salt, applicant_id)
    if draw < split.development:
        return "development"
    return "holdout" if draw < split.development + split.holdout else "stream"


def assign_parts(applicant_ids: pl.Series, split: Split) -> pl.DataFrame:
    """Return ``(n, 2)``: ``applicant_id`` and ``part``, in the order of ``applicant_ids``."""
    parts = [part_of(applicant_id, split) for applicant_id in applicant_ids]
    return pl.DataFrame({"applicant_id": applicant_ids, "part": parts}, schema_overrides={"part": pl.String})
