"""The features of a portfolio as one plan: names, order, version, and their computation."""

import threading
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.errors import CreditScoringError, FeatureTablesError
from credit_scoring.core.facts import Facts
from credit_scoring.core.features.declared import FeatureDeclaration, PythonFunction, TimeSince, Window
from credit_scoring.core.features.engines import (
    Frame,
    beside,
    collected,
    frame_of,
    in_microseconds,
    in_order,
    numbered,
    on_one_engine,
)
from credit_scoring.core.features.expressions import RowExpressions, layers, moment, raw
from credit_scoring.core.features.moments import AS_OF, KNOWN_AT, OCCURRED_AT
from credit_scoring.core.features.one_row import OneRow
from credit_scoring.core.features.past import APPLICANT, EventColumns, past_events
from credit_scoring.core.features.prepared import PreparedPlan
from credit_scoring.core.features.python_functions import failed_on_values
from credit_scoring.core.features.version import feature_set_version
from credit_scoring.core.features.windows import WindowedFeatures
from credit_scoring.core.portfolio import Column, EventsTable, Portfolio

APPLICANTS = "applicants"
"""Name of the applicants table among the tables; no event table may have it."""

_THREAD = threading.local()
_MOST_PLANS = 32


@dataclass(frozen=True)
class FeatureSet:
    """All features of a declaration; ``names`` are the scored ones, in the order models read them.

    ``columns`` are those of the applicants table that features may read, ``tables`` the declared event tables.
    """

    features: Mapping[str, FeatureDeclaration]
    columns: Mapping[str, Column]
    tables: Mapping[str, EventsTable] = field(default_factory=dict)

    @classmethod
    def of(cls, portfolio: Portfolio) -> "FeatureSet":
        """Return the feature set that ``portfolio`` declares."""
        return cls(portfolio.features, portfolio.application_columns, portfolio.events)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Scored features in declared order."""
        return tuple(name for name, feature in self.features.items() if feature.scored)

    @cached_property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """Categories of each scored categorical feature; its value is a position in this tuple."""
        found = {}
        for name in self.names:
            column = self.columns.get(self.features[name].column or "")
            if column is not None and column.type == "category":
                found[name] = column.categories
        return found

    @cached_property
    def version(self) -> str:
        """Hash of everything that can move a feature's value; what only models and readers use does not count."""
        return feature_set_version(self.features, self.columns, self._columns_read, self._events_read)

    def compute(self, applicants: Frame, events: Mapping[str, Frame]) -> pl.DataFrame:
        """Compute every scored feature; training, batch decisions and the service all call this.

        Args:
            applicants: One row per applicant: ``applicant_id``, ``as_of`` (with a time zone) and the application's
                columns, null where unknown.
            events: By table, any number of rows per applicant: ``applicant_id``, ``occurred_at``,
                ``event_number`` and the table's columns, and ``known_at`` where it is declared. A table that is
                absent is unknown for everybody.

        All tables are frames of one engine: Polars (eager or lazy), pandas or PySpark.

        Returns:
            One row per applicant in the order given (for PySpark, that of ``applicant_id``): ``applicant_id`` and a
            float32 column per scored feature; null where the value is missing, undefined or not finite.

        Raises:
            MissingInputsError: If a table lacks a column that a feature reads.
            FeatureTablesError: If tables are of several engines, or an applicant has several rows.
            FeatureFunctionError: If a Python feature fails.
        """
        return self._computed({**events, APPLICANTS: applicants}, exact=False)

    def compute_exact(self, applicants: Frame, events: Mapping[str, Frame]) -> pl.DataFrame:
        """Compute the same before the one cast, in float64, by which engines are compared."""
        return self._computed({**events, APPLICANTS: applicants}, exact=True)

    def compute_one(self, facts: Facts, as_of: datetime) -> npt.NDArray[np.float32]:
        """Return ``(1, p)`` float32 features of one applicant in the order of ``names``, NaN where missing.

        The same as ``to_matrix`` of ``compute`` on these facts, in a hundredth of the time.

        Raises:
            MissingFunctionError: If a Python feature's function is not loaded.
        """
        # An array rounds as NumPy does and warns of nothing, which saves two changes of NumPy's state.
        single = np.asarray(array("f", self._one_row.scored(facts, as_of)))
        np.putmask(single, ~np.isfinite(single), np.nan)  # what float32 cannot hold is missing
        return single.reshape(1, -1)

    def compute_one_exact(self, facts: Facts, as_of: datetime) -> Mapping[str, float | None]:
        """Return the same before the one cast, by name, with the features that only serve others."""
        return self._one_row.values(facts, as_of)

    @cached_property
    def _one_row(self) -> OneRow:
        return OneRow(self.features, self.columns, self._windows, self._events_read)

    def _computed(self, tables: Mapping[str, Frame], *, exact: bool) -> pl.DataFrame:
        tables = on_one_engine(tables)
        try:
            found = self._on_engine(tables, exact=exact)
        except CreditScoringError:
            raise
        except Exception as exc:  # every engine has errors of its own
            failing = self._failing_function(tables)
            if failing is None:
                raise
            raise failed_on_values(*failing, exc) from None  # the cause may quote values
        if found["applicant_id"].n_unique() != found.height:
            raise FeatureTablesError(
                f"The table '{APPLICANTS}' has several rows of one 'applicant_id'. Features are of one row each; "
                f"keep one row, or declare the key that tells them apart."
            )
        return found

    def _on_engine(self, tables: Mapping[str, Frame], *, exact: bool) -> pl.DataFrame:
        if all(isinstance(frame, pl.DataFrame) for frame in tables.values()):
            return self._prepared(tables, exact=exact).run(tables)
        with np.errstate(all="ignore"):  # pandas computes by NumPy, which warns of what is missing here
            computed = collected(self.plan(tables))
        return computed if exact else computed.select("applicant_id", *_once_to_float32(self.names))

    def _prepared(self, tables: Mapping[str, pl.DataFrame], *, exact: bool) -> PreparedPlan:
        """Return the plan over tables of these schemas, built at most once per thread."""
        schemas = {table: frame.schema for table, frame in tables.items()}
        key = (self.version, exact, *((table, *schema.items()) for table, schema in sorted(schemas.items())))
        plans: dict[object, PreparedPlan] = _THREAD.__dict__.setdefault("plans", {})
        if key not in plans:
            if len(plans) >= _MOST_PLANS:
                plans.clear()
            plans[key] = PreparedPlan(lambda frames: self._lowered(frames, exact=exact), schemas)
        return plans[key]

    def _lowered(self, tables: Mapping[str, pl.LazyFrame], *, exact: bool) -> pl.LazyFrame:
        lowered: pl.LazyFrame = self.plan(tables).to_native()
        return lowered if exact else lowered.select("applicant_id", *_once_to_float32(self.names))

    def plan(self, tables: Mapping[str, Frame]) -> nw.LazyFrame[Any]:
        """Return ``applicant_id`` and the features as float64, lazily, of tables that share an engine."""
        rows = self._rows(tables[APPLICANTS])
        decisions = rows.select(APPLICANT, "applicant_id", AS_OF)
        for table, declared in self._windows.items():
            if table in tables:
                found = self._from_events(table, tables[table], decisions)
                rows = beside(rows, found)
            else:
                rows = rows.with_columns(**{name: nw.lit(None, nw.Float64) for name in declared})
        expressions = RowExpressions(self.features, self.columns)
        for layer in layers(self.features, self.columns):
            rows = rows.with_columns(**{name: expressions.of(name) for name in layer})
        return in_order(rows).select("applicant_id", *self.names)

    def _rows(self, applicants: Frame) -> nw.LazyFrame[Any]:
        frame = frame_of(APPLICANTS, applicants, {"applicant_id", "as_of", *self._columns_read})
        dates = {moment(name): name for name in sorted(self._dates_read)}
        frame = in_microseconds(APPLICANTS, numbered(frame), {AS_OF: "as_of"} | dates)
        columns = {raw(name): nw.col(name) for name in sorted(self._columns_read)}
        return frame.select(APPLICANT, "applicant_id", AS_OF, *dates, **columns)

    def _from_events(self, table: str, events: Frame, decisions: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        read = self._events_read[table]
        frame = frame_of(table, events, read.required)
        moments = {OCCURRED_AT: "occurred_at"} | ({KNOWN_AT: "known_at"} if read.known_at else {})
        frame = in_microseconds(table, frame, moments).drop(*moments.values())
        return WindowedFeatures(self._windows[table]).of(past_events(frame, decisions, read))

    def _failing_function(self, tables: Mapping[str, Frame]) -> tuple[str, PythonFunction] | None:
        """Return the first Python feature that cannot be computed on ``tables``, None when all can be."""
        for name, function in ((name, feature.python) for name, feature in self.features.items()):
            if function is None:
                continue
            alone = {other: self.features[other] for other in self.features if other in self._made_of(name)}
            try:
                replace(self, features=alone)._on_engine(tables, exact=True)
            except Exception:  # noqa: BLE001 - that it fails is the answer
                return name, function
        return None

    def _made_of(self, name: str) -> set[str]:
        """Return ``name`` and every feature that it is made of."""
        operands = {o for o in self.features[name].operands if o in self.features and o not in self.columns}
        return {name}.union(*(self._made_of(operand) for operand in operands))

    @cached_property
    def _columns_read(self) -> frozenset[str]:
        """Columns of the applicants table that some feature reads."""
        return frozenset(o for feature in self.features.values() for o in feature.operands if o in self.columns)

    @cached_property
    def _dates_read(self) -> frozenset[str]:
        """Date columns from which time is counted."""
        counted = (feature.time_since.column for feature in self.features.values() if feature.time_since)
        return frozenset(column for column in counted if column is not None)

    @cached_property
    def _windows(self) -> Mapping[str, Mapping[str, Window | TimeSince]]:
        """Windowed features by event table."""
        by_table: dict[str, dict[str, Window | TimeSince]] = {}
        for name, feature in self.features.items():
            reading = feature.reading
            if reading is not None and reading.table is not None:
                by_table.setdefault(reading.table, {})[name] = reading
        return by_table

    @cached_property
    def _events_read(self) -> Mapping[str, EventColumns]:
        """What the windowed features read, by event table."""
        found = {}
        for table, readings in self._windows.items():
            declared = self.tables.get(table)
            columns = declared.columns if declared is not None else {}
            read = sorted({column for reading in readings.values() for column in _columns_of(reading)})
            special = {column: tuple(columns[column].special) if column in columns else () for column in read}
            texts = frozenset(column for column in read if column in columns and columns[column].type == "category")
            known_at = declared is not None and declared.known_at is not None
            found[table] = EventColumns(special, texts, known_at)
        return found


def to_matrix(features: pl.DataFrame, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return ``(n, p)`` float32 in the order of ``names``, C-contiguous, NaN where a feature is missing."""
    columns = [features[name].to_numpy() for name in names]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)


def _once_to_float32(names: tuple[str, ...]) -> Iterator[pl.Expr]:
    """The one cast that models, cache and records share; what float32 cannot hold is missing."""
    for name in names:
        value = pl.col(name).cast(pl.Float32)
        yield pl.when(value.is_finite()).then(value).alias(name)


def _columns_of(reading: Window | TimeSince) -> set[str]:
    read = set(reading.where)
    return read | ({reading.column} if isinstance(reading, Window) and reading.column is not None else set())
