"""Received columns that tell the outcome almost alone, by their names or by their values."""

import numpy as np
import polars as pl

from credit_scoring.core.drafting.columns import CategoryGuess, GuessedColumn, TextGuess
from credit_scoring.core.drafting.words import is_after_outcome
from credit_scoring.core.leaks import Leak, leak_in
from credit_scoring.core.parsing import parsed
from credit_scoring.core.portfolio import Column


def leak_of(column: GuessedColumn, received: pl.Series, is_bad: pl.Series) -> Leak | None:
    """Return why ``column`` is probably a leak, or is worth a look (``sure`` false); None if nothing says so.

    Args:
        column: What it is taken for.
        received: Its texts, ``(n,)``.
        is_bad: ``(n,)`` 1.0 bad, 0.0 good, null neither.
    """
    if is_after_outcome(column.source):
        return Leak("its name is that of something that happens after the decision")
    if isinstance(column.guess, TextGuess):
        return None
    known = is_bad.is_not_null()
    return leak_in(typed_values(column, received.filter(known)), is_bad.filter(known).to_numpy().astype(np.float64))


def typed_values(column: GuessedColumn, text: pl.Series) -> pl.Series:
    """Return categories as they are, numbers, and dates as seconds; null where missing or unreadable."""
    stripped = text.alias("text").str.strip_chars().to_frame()
    guess = column.guess
    if isinstance(guess, CategoryGuess):
        return stripped.select(pl.when(pl.col("text").is_in(list(guess.values))).then("text")).to_series()
    missing = guess.declared().get("missing", [])
    declared = {key: value for key, value in guess.declared().items() if key not in ("min", "max", "special")}
    known = pl.when(~pl.col("text").is_in(missing)).then("text")
    values = stripped.select(parsed(known, Column.model_validate(declared)).alias("text")).to_series()
    return (values.dt.epoch("s") if values.dtype.is_temporal() else values).cast(pl.Float64)
