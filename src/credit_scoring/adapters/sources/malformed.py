"""Rows that cannot be put into columns, while a batch is made."""

import polars as pl

from credit_scoring.core.received import MALFORMED_SCHEMA


class Malformed:
    """A growing list of them."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, str, str]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row_number: int, rule: str, reason: str, received: str) -> None:
        """Add one; ``received`` is JSON."""
        self._rows.append((row_number, rule, reason, received))

    def frame(self) -> pl.DataFrame:
        """Return them as ``MALFORMED_SCHEMA``."""
        return pl.DataFrame(self._rows, schema=MALFORMED_SCHEMA, orient="row")
