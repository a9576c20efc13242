"""Python features of one applicant: the portfolio's own functions, run through a plan of one row; see ``one_row``."""

import threading
from collections.abc import Mapping, Sequence

import narwhals as nw
import polars as pl
from narwhals.exceptions import NarwhalsError

from credit_scoring.core.facts import Value, typed
from credit_scoring.core.features.declared import FeatureDeclaration
from credit_scoring.core.features.expressions import RowExpressions, raw
from credit_scoring.core.features.prepared import PreparedPlan
from credit_scoring.core.features.python_functions import failed_on_values
from credit_scoring.core.parsing import column_type
from credit_scoring.core.portfolio import Column

_TABLE = "row"


class OneRowFunctions:
    """Some Python features, none of which reads another of them, for one applicant.

    A plan of one row costs most of a millisecond on a busy machine: one is run for all functions that it can compute.
    """

    def __init__(
        self, names: Sequence[str], features: Mapping[str, FeatureDeclaration], columns: Mapping[str, Column]
    ) -> None:
        self._names = tuple(names)
        self._declared = features
        read = dict.fromkeys(operand for name in names for operand in features[name].operands)
        self._columns = {operand: columns[operand] for operand in read if operand in columns}
        self._features = tuple(operand for operand in read if operand not in columns)
        types = {raw(name): column_type(column) for name, column in self._columns.items()}
        self._schema = pl.Schema(types | dict.fromkeys(self._features, pl.Float64()))
        self._expressions = RowExpressions(features, columns)
        self._thread = threading.local()

    @property
    def features_read(self) -> tuple[str, ...]:
        """Features that are arguments of some function."""
        return self._features

    def values(self, fields: Mapping[str, Value], values: Mapping[str, float | None]) -> dict[str, float | None]:
        """Return the float64 value of each function, None where it is missing; ``values`` are of ``features_read``."""
        # Twice the same row: Polars divides by a column of one row as by a constant, which rounds otherwise.
        row = {raw(name): [typed(fields.get(name), column)] * 2 for name, column in self._columns.items()}
        row |= {name: [values[name]] * 2 for name in self._features}
        frame = pl.DataFrame(row, schema=self._schema)
        try:
            found: dict[str, float | None] = self._plan().run({_TABLE: frame}).row(0, named=True)
        except pl.exceptions.PolarsError as exc:
            raise self._failed(frame, exc) from None  # the cause may quote values
        return found

    def _failed(self, frame: pl.DataFrame, exc: Exception) -> Exception:
        for name in self._names:
            function = self._declared[name].python
            assert function is not None  # noqa: S101 - tells the type
            try:
                nw.from_native(frame).select(**{name: self._expressions.of(name)})
            except NarwhalsError:
                return failed_on_values(name, function, exc)
        return exc

    def _plan(self) -> PreparedPlan:
        """Return the plan of this thread: a plan's frames are its state."""
        if not hasattr(self._thread, "plan"):
            self._thread.plan = PreparedPlan(self._lowered, {_TABLE: self._schema})
        plan: PreparedPlan = self._thread.plan
        return plan

    def _lowered(self, frames: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
        expressions = {name: self._expressions.of(name) for name in self._names}
        lowered: pl.LazyFrame = nw.from_native(frames[_TABLE]).select(**expressions).to_native()
        return lowered
