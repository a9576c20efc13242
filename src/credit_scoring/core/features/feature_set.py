"""The features of a portfolio as one plan: names, order, version, and their computation."""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.errors import MissingInputsError
from credit_scoring.core.features.declared import FeatureDeclaration, TimeSince, Window
from credit_scoring.core.features.expressions import layers, row_expression
from credit_scoring.core.features.prepared import PreparedPlan
from credit_scoring.core.features.windows import aggregate_events
from credit_scoring.core.portfolio import Column, Portfolio

APPLICANTS = "applicants"
"""Name of the applicants table among the tables; no event table may have it."""

_THREAD = threading.local()
_MOST_PLANS = 32

COMPUTATION_VERSION = 1
"""Part of every feature-set version: raise it when a declared kind changes its meaning."""


@dataclass(frozen=True)
class FeatureSet:
    """All features of a declaration; ``names`` are the scored ones, in the order models read them."""

    features: Mapping[str, FeatureDeclaration]
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, portfolio: Portfolio) -> "FeatureSet":
        """Return the feature set that ``portfolio`` declares."""
        return cls(portfolio.features, portfolio.application_columns)

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
        wording = {"description", "reason", "unit", "higher_is", "special"}
        kinds = {
            name: feature.model_dump(mode="json", exclude=wording, exclude_none=True)
            for name, feature in self.features.items()
        }
        plan = {
            "computation": COMPUTATION_VERSION,
            "features": list(kinds.items()),
            "categories": {name: self.columns[name].categories for name in self._columns_read},
        }
        return "fs-" + hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]

    def compute(self, applicants: pl.DataFrame, events: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        """Compute every scored feature; training, batch decisions and the service all call this.

        Args:
            applicants: One row per applicant: ``applicant_id``, ``as_of`` (UTC) and the application's
                columns, null where unknown.
            events: By table, any number of rows per applicant: ``applicant_id``, ``occurred_at`` (UTC),
                ``event_number`` and the table's columns. A table that is absent is unknown for everybody.

        Returns:
            One row per applicant in the order given: ``applicant_id`` and a float32 column per scored
            feature; null where the value is missing, undefined or not finite.

        Raises:
            MissingInputsError: If a table lacks a column that a feature reads.
        """
        tables = {**events, APPLICANTS: applicants}
        computed = self._prepared(tables).run(tables)
        order = applicants.select("applicant_id")
        return order.join(computed, on="applicant_id", how="left", maintain_order="left", validate="1:1")

    def _prepared(self, tables: Mapping[str, pl.DataFrame]) -> PreparedPlan:
        """Return the plan over tables of these schemas, built at most once per thread."""
        schemas = {table: frame.schema for table, frame in tables.items()}
        key = (self.version, *((table, *schema.items()) for table, schema in sorted(schemas.items())))
        plans: dict[object, PreparedPlan] = _THREAD.__dict__.setdefault("plans", {})
        if key not in plans:
            if len(plans) >= _MOST_PLANS:
                plans.clear()
            plans[key] = PreparedPlan(self._lowered, schemas)
        return plans[key]

    def _lowered(self, tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
        frames = {table: nw.from_native(frame) for table, frame in tables.items()}
        lowered: pl.LazyFrame = self.plan(frames.pop(APPLICANTS), frames).to_native()
        return lowered

    def plan(self, applicants: nw.LazyFrame[Any], events: Mapping[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
        """Return the computation on lazy frames of any engine; see ``compute`` for tables and result."""
        read = self._columns_read
        _require(APPLICANTS, applicants, {"applicant_id", "as_of", *read})
        rows = applicants.select("applicant_id", "as_of", *sorted(read))
        moments = rows.select("applicant_id", "as_of")
        for table, declared in self._windows.items():
            if table in events:
                _require(table, events[table], {"applicant_id", "occurred_at", "event_number", *_columns_of(declared)})
                found = aggregate_events(events[table], moments, declared)
                rows = rows.join(found, on="applicant_id", how="left")
            else:
                rows = rows.with_columns(**{name: nw.lit(None, nw.Float64) for name in declared})
        for layer in layers(self.features, self.columns):
            rows = rows.with_columns(**{name: row_expression(self.features[name], self.columns) for name in layer})
        return rows.select("applicant_id", **{name: _once_to_float32(name) for name in self.names})

    @cached_property
    def _columns_read(self) -> frozenset[str]:
        """Columns of the applicants table that some feature reads."""
        return frozenset(o for feature in self.features.values() for o in feature.operands if o in self.columns)

    @cached_property
    def _windows(self) -> Mapping[str, Mapping[str, Window | TimeSince]]:
        """Windowed features by event table."""
        by_table: dict[str, dict[str, Window | TimeSince]] = {}
        for name, feature in self.features.items():
            reading = feature.window or feature.time_since
            if reading is not None:
                by_table.setdefault(reading.table, {})[name] = reading
        return by_table


def to_matrix(features: pl.DataFrame, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return ``(n, p)`` float32 in the order of ``names``, C-contiguous, NaN where a feature is missing."""
    columns = [features[name].to_numpy() for name in names]
    return np.ascontiguousarray(np.column_stack(columns), dtype=np.float32)


def _once_to_float32(name: str) -> nw.Expr:
    """The one cast that models, cache and records share; what float32 cannot hold is missing."""
    value = nw.col(name).cast(nw.Float32)
    return nw.when(value.is_finite()).then(value)


def _columns_of(declared: Mapping[str, Window | TimeSince]) -> set[str]:
    read = {column for feature in declared.values() for column in feature.where}
    return read | {f.column for f in declared.values() if isinstance(f, Window) and f.column is not None}


def _require(table: str, frame: nw.LazyFrame[Any], columns: set[str]) -> None:
    missing = columns - set(frame.collect_schema().names())
    if missing:
        raise MissingInputsError(table, missing)
