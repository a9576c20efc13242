"""The different texts of one received column, and how often each occurs."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import polars as pl


@dataclass(frozen=True)
class Distinct:
    """Stripped texts of a column, each once, most frequent first (ties in the order of text).

    ``texts`` (String) and ``counts`` (Int64) belong together; ``rows`` counts all rows, also those where the value is
    blank or was taken out.
    """

    texts: pl.Series
    counts: pl.Series
    rows: int

    @classmethod
    def of(cls, received: pl.Series) -> "Distinct":
        """Return the texts of ``received``, String; blank is missing."""
        stripped = received.alias("text").str.strip_chars()
        found = stripped.filter(stripped != "").drop_nulls().value_counts(name="rows")
        found = found.sort(["rows", "text"], descending=[True, False])
        return cls(found["text"], found["rows"].cast(pl.Int64), received.len())

    def __len__(self) -> int:
        return self.texts.len()

    @cached_property
    def known(self) -> int:
        """Rows with one of the texts."""
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        """Rows without."""
        return self.rows - self.known

    def where(self, mask: pl.Series) -> "Distinct":
        """Return those texts for which ``mask`` holds; the others are missing from then on."""
        return Distinct(self.texts.filter(mask), self.counts.filter(mask), self.rows)

    def without(self, texts: Collection[str]) -> "Distinct":
        """Return the same with ``texts`` counted as missing."""
        return self.where(~self.texts.is_in(list(texts))) if texts else self

    def head(self, size: int) -> "Distinct":
        """Return the ``size`` most frequent texts."""
        return Distinct(self.texts.head(size), self.counts.head(size), self.rows)
