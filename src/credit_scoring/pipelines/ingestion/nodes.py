"""Nodes of the ingestion pipeline."""

import hashlib
import logging
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.core.contracts import APPLICANTS, received_tables
from credit_scoring.core.errors import ContractError, TooManyQuarantinedError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.received import schema_drift
from credit_scoring.core.table_checks import CheckedTables, TableCheck, table_checks
from credit_scoring.core.tables import (
    application_table,
    event_tables,
    outcome_table,
    protected_table,
    unmatched_rows,
)

logger = logging.getLogger(__name__)


class IngestionOptions(BaseModel):
    """How many rows of a table may be set aside before a run would be meaningless."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_quarantined_share: float = Field(default=0.05, ge=0, le=1)


def check_tables(
    raw_applicants: Any, raw_tables: MutableMapping[str, Any], portfolio: Portfolio
) -> dict[str, TableCheck]:
    """Return the check of every declared table; the rows are read and checked as it is saved."""
    return table_checks(ChainMap({APPLICANTS: raw_applicants}, raw_tables), portfolio)


def summarize_ingestion(
    checked_tables: CheckedTables, previous_ingestion_summary: Mapping[str, Any], portfolio: Portfolio
) -> tuple[pl.DataFrame, dict[str, Any], dict[str, float]]:
    """Return quarantined rows, a summary of what was received, and its numbers as metrics."""
    quarantined = checked_tables.quarantined
    previous = previous_ingestion_summary.get("tables", {})
    tables = {table: _table_summary(table, checked_tables, portfolio) for table in checked_tables.received}
    for table, rows in unmatched_rows(checked_tables.valid, portfolio).items():
        tables[table]["rows_unmatched"] = rows
        _warn_of_unmatched(table, tables, portfolio)
    for table, told in tables.items():
        _warn_of_other_columns(table, told, previous.get(table, {}).get("columns"))
    totals = {name: sum(t[name] for t in tables.values()) for name in ("rows_in", "rows_valid", "rows_quarantined")}
    labels = _labels(checked_tables, portfolio)
    summary = {**totals, "dataset_version": _dataset_version(tables), "tables": tables, "outcomes": labels}
    return quarantined, summary | _by_rule(quarantined), _metrics(totals, tables, labels)


def split_tables(
    checked_tables: CheckedTables,
    ingestion_summary: dict[str, Any],
    portfolio: Portfolio,
    options: IngestionOptions,
) -> tuple[pl.LazyFrame, dict[str, pl.LazyFrame], pl.LazyFrame, pl.LazyFrame]:
    """Return applications, event tables, outcomes and protected attributes, each a table of its own.

    Raises:
        ContractError: If no row of the applicants was received.
        TooManyQuarantinedError: If more rows of a table were set aside than ``options`` allow.
    """
    for table, told in ingestion_summary["tables"].items():
        rows, quarantined = told["rows_in"], told["rows_quarantined"]
        if not rows and table == APPLICANTS:
            raise ContractError("The applicants file has a header and no rows. Put the received rows under it.")
        if quarantined > options.max_quarantined_share * rows:
            by_rule = [r for r in ingestion_summary["quarantined_by_rule"] if r["table"] == table]
            worst = "; ".join(f"{r['column'] or 'the whole row'} ({r['rule']})" for r in by_rule[:3])
            raise TooManyQuarantinedError(table, quarantined, rows, options.max_quarantined_share, worst)
    valid = checked_tables.valid
    return (
        application_table(valid, portfolio),
        event_tables(valid, portfolio),
        outcome_table(valid, portfolio),
        protected_table(valid, portfolio),
    )


def _table_summary(table: str, checked: CheckedTables, portfolio: Portfolio) -> dict[str, Any]:
    received = checked.received[table]
    declared = {column.source for column in received_tables(portfolio)[table].columns}
    valid = checked.valid[table].select(pl.len()).collect().item()
    return {
        "rows_in": received.rows,
        "rows_valid": valid,
        "rows_quarantined": checked.quarantined.filter(table=table).height,
        "rows_by_source": received.rows_by_source,
        "content": received.content_hash,
        "columns": received.columns,
        "undeclared_columns": [name for name in received.columns if name not in declared],
    }


def _warn_of_other_columns(table: str, told: Mapping[str, Any], previous: list[str] | None) -> None:
    """Tell of columns that came or went since the last ingestion; that a declared one is absent is an error."""
    drift = schema_drift(previous, told["columns"]) if previous is not None else None
    if drift and drift.added:
        logger.warning("Table '%s' has columns that it had not before: %s.", table, ", ".join(drift.added))
    if drift and drift.absent:
        logger.warning("Table '%s' lacks columns that it had before: %s.", table, ", ".join(drift.absent))
    if previous is None and told["undeclared_columns"]:
        names = ", ".join(told["undeclared_columns"])
        logger.warning("Table '%s' has columns that nobody declared, which are left out: %s.", table, names)


def _warn_of_unmatched(table: str, tables: Mapping[str, Mapping[str, Any]], portfolio: Portfolio) -> None:
    rows = tables[table]["rows_unmatched"]
    if not rows:
        return
    if table in portfolio.lookups:
        applicants, by = tables[APPLICANTS]["rows_valid"], portfolio.lookups[table].by
        told = "Lookup '%s' has no row for %s of %s applicants, by their '%s'; its columns are missing for them."
        logger.warning(told, table, f"{rows:,}", f"{applicants:,}", by)
    else:
        told = "Table '%s': %s of %s events belong to no valid applicant and count for nobody. Is 'key' right?"
        logger.warning(told, table, f"{rows:,}", f"{tables[table]['rows_valid']:,}")


def _by_rule(quarantined: pl.DataFrame) -> dict[str, Any]:
    by_rule = quarantined.group_by("table", "column", "rule").len("rows")
    return {"quarantined_by_rule": by_rule.sort("rows", "table", "column", "rule", descending=True).to_dicts()}


def _labels(checked: CheckedTables, portfolio: Portfolio) -> dict[str, int]:
    """Return how many outcomes are bad, good, immature and so on; only bad and good ones are trained on."""
    counted = outcome_table(checked.valid, portfolio).group_by("label").len().collect(engine="streaming")
    labels = {label or "unknown": rows for label, rows in sorted(counted.iter_rows(), key=str)}
    left_out = {label: rows for label, rows in labels.items() if label not in ("bad", "good")}
    if left_out:
        told = ", ".join(f"{rows:,} {label}" for label, rows in left_out.items())
        logger.info("Outcomes that are neither bad nor good, and never trained on: %s.", told)
    return labels


def _dataset_version(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a hash of the received content, whatever its file formats or compression."""
    content = "".join(f"{table}={told['content']};" for table, told in sorted(tables.items()))
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def _metrics(
    totals: Mapping[str, int], tables: Mapping[str, Mapping[str, Any]], labels: Mapping[str, int]
) -> dict[str, float]:
    by_table = {f"{t}.{name}": told[name] for t, told in tables.items() for name in totals} if len(tables) > 1 else {}
    outcomes = {f"outcomes.{label}": rows for label, rows in labels.items()}
    return {name: float(count) for name, count in {**totals, **by_table, **outcomes}.items()}
