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
from credit_scoring.core.pushed_tables import content_hash, unfiled, with_pushed
from credit_scoring.core.received import schema_drift
from credit_scoring.core.repeats import COPY
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


def take_pushed_events(pushed_events: Mapping[str, pl.LazyFrame]) -> dict[str, pl.LazyFrame]:
    """Return what was pushed until now; saved, because more may come while the run goes on."""
    return dict(pushed_events)


def summarize_ingestion(
    checked_tables: CheckedTables,
    taken_pushed_events: Mapping[str, pl.LazyFrame],
    previous_ingestion_summary: Mapping[str, Any],
    portfolio: Portfolio,
) -> tuple[pl.DataFrame, dict[str, Any], dict[str, float]]:
    """Return quarantined rows, a summary of what was received, and its numbers as metrics.

    The summary tells of 'pushed' events where there are any.
    """
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
    pushed = _pushed_summary(checked_tables, taken_pushed_events, portfolio)
    summary = {**totals, "dataset_version": _dataset_version(tables, pushed), "tables": tables, "outcomes": labels}
    summary |= {"pushed": pushed} if pushed else {}
    return quarantined, summary | _by_rule(quarantined), _metrics(totals, tables, labels, pushed)


def split_tables(
    checked_tables: CheckedTables,
    taken_pushed_events: Mapping[str, pl.LazyFrame],
    ingestion_summary: dict[str, Any],
    portfolio: Portfolio,
    options: IngestionOptions,
) -> tuple[pl.LazyFrame, dict[str, pl.LazyFrame], pl.LazyFrame, pl.LazyFrame]:
    """Return applications, event tables, outcomes and protected attributes, each a table of its own.

    Event tables hold what files brought, then what was pushed and no file has: their column ``pushed`` says which.

    Raises:
        ContractError: If no row of the applicants was received.
        TooManyQuarantinedError: If more rows of a table were set aside than ``options`` allow.
    """
    for table, told in ingestion_summary["tables"].items():
        by_rule = [found for found in ingestion_summary["quarantined_by_rule"] if found["table"] == table]
        broken = [found for found in by_rule if found["rule"] != COPY]  # a copy breaks nothing
        rows, quarantined = told["rows_in"], sum(found["rows"] for found in broken)
        if not rows and table == APPLICANTS:
            raise ContractError("The applicants file has a header and no rows. Put the received rows under it.")
        if quarantined > options.max_quarantined_share * rows:
            worst = "; ".join(f"{found['column'] or 'the whole row'} ({found['rule']})" for found in broken[:3])
            raise TooManyQuarantinedError(table, quarantined, rows, options.max_quarantined_share, worst)
    valid = checked_tables.valid
    files = event_tables(valid, portfolio)
    return (
        application_table(valid, portfolio),
        with_pushed(files, unfiled(taken_pushed_events, files, portfolio)),
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


def _pushed_summary(
    checked: CheckedTables, pushed: Mapping[str, pl.LazyFrame], portfolio: Portfolio
) -> dict[str, dict[str, Any]]:
    """Return, by table, how many pushed events came in, how many more the files have too, and of how many applicants.

    ``rows_unmatched`` belong to no valid applicant, who may yet come; ``content`` is a hash of those that came in.
    """
    applicants = checked.valid[APPLICANTS].select("applicant_id")
    found = {}
    for table, new in unfiled(pushed, event_tables(checked.valid, portfolio), portfolio).items():
        unmatched = new.select("applicant_id").join(applicants, on="applicant_id", how="anti")
        frames = [pushed[table].select(pl.len()), new.select(pl.len()), unmatched.select(pl.len())]
        every, rows, strangers = (count.item() for count in pl.collect_all(frames, engine="streaming"))
        found[table] = {
            "rows_pushed": rows,
            "rows_in_files": every - rows,
            "rows_unmatched": strangers,
            "content": content_hash(new),
        }
        told = "Table '%s': %s pushed events came in (%s of them of no valid applicant); %s more are in the files too."
        logger.info(told, table, f"{rows:,}", f"{strangers:,}", f"{every - rows:,}")
    return found


def _dataset_version(tables: Mapping[str, Mapping[str, Any]], pushed: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a hash of the received content, whatever its file formats or compression, and of pushed events if any."""
    content = "".join(f"{table}={told['content']};" for table, told in sorted(tables.items()))
    content += "".join(f"pushed {t}={told['content']};" for t, told in sorted(pushed.items()) if told["rows_pushed"])
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def _metrics(
    totals: Mapping[str, int],
    tables: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, int],
    pushed: Mapping[str, Mapping[str, Any]],
) -> dict[str, float]:
    by_table = {f"{t}.{name}": told[name] for t, told in tables.items() for name in totals} if len(tables) > 1 else {}
    outcomes = {f"outcomes.{label}": rows for label, rows in labels.items()}
    came = {f"{table}.rows_pushed": told["rows_pushed"] for table, told in pushed.items()}
    return {name: float(count) for name, count in {**totals, **by_table, **outcomes, **came}.items()}
