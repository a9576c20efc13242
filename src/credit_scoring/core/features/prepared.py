"""Lowers a plan to the engine once and runs it on new frames many times."""

from collections.abc import Callable, Iterator, Mapping

import polars as pl
from polars.io.plugins import register_io_source

Plan = Callable[[Mapping[str, pl.LazyFrame]], pl.LazyFrame]


class PreparedPlan:
    """A lazy plan over named tables, built once; most of the cost of one applicant is building it.

    The tables stand in the plan as sources that hand over whichever frames are being computed. An instance
    belongs to one thread: its frames are state.
    """

    def __init__(self, plan: Plan, schemas: Mapping[str, pl.Schema]) -> None:
        self._frames: dict[str, pl.DataFrame] = {}
        self._lowered = plan({table: self._source(table, schema) for table, schema in schemas.items()})

    def run(self, frames: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Return the plan's result on ``frames``, which have the schemas that it was built for."""
        self._frames.update(frames)
        try:
            # The streaming engine adds partial sums in any order; a value must not depend on that.
            return self._lowered.collect(engine="in-memory")
        finally:
            self._frames.clear()

    def _source(self, table: str, schema: pl.Schema) -> pl.LazyFrame:
        def hand_over(
            columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            frame = self._frames[table]
            if columns is not None:
                frame = frame.select(columns)
            if predicate is not None:
                frame = frame.filter(predicate)
            yield frame if rows is None else frame.head(rows)

        return register_io_source(hand_over, schema=schema)
