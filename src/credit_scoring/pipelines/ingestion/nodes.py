"""Nodes of the ingestion pipeline."""

import hashlib
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.core.contracts import check_rows
from credit_scoring.core.errors import ContractError, TooManyQuarantinedError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.tables import application_table, event_tables, outcome_table, protected_table


class IngestionOptions(BaseModel):
    """How many rows may be set aside before a run would be meaningless."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_quarantined_share: float = Field(default=0.05, ge=0, le=1)


def check_applicants(
    raw_applicants: pl.DataFrame, portfolio: Portfolio
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any], dict[str, float]]:
    """Return valid rows, quarantined rows, a summary of both and its numbers as metrics."""
    checked = check_rows(raw_applicants, portfolio)
    counts = {
        "rows_in": raw_applicants.height,
        "rows_valid": checked.valid.height,
        "rows_quarantined": checked.quarantined.height,
    }
    by_rule = checked.quarantined.group_by("column", "rule").len("rows").sort("rows", "column", "rule", descending=True)
    summary = {**counts, "dataset_version": content_hash(raw_applicants), "quarantined_by_rule": by_rule.to_dicts()}
    return checked.valid, checked.quarantined, summary, {name: float(count) for name, count in counts.items()}


def split_tables(
    checked_applicants: pl.DataFrame,
    ingestion_summary: dict[str, Any],
    portfolio: Portfolio,
    options: IngestionOptions,
) -> tuple[pl.DataFrame, dict[str, pl.DataFrame], pl.DataFrame, pl.DataFrame]:
    """Return applications, event tables, outcomes and protected attributes, each a table of its own.

    Raises:
        ContractError: If no row was received.
        TooManyQuarantinedError: If more rows were set aside than ``options`` allow.
    """
    rows, quarantined = ingestion_summary["rows_in"], ingestion_summary["rows_quarantined"]
    if not rows:
        raise ContractError("The applicants file has a header and no rows. Put the received rows under it.")
    if quarantined / rows > options.max_quarantined_share:
        worst = "; ".join(f"{r['column']} ({r['rule']})" for r in ingestion_summary["quarantined_by_rule"][:3])
        raise TooManyQuarantinedError(quarantined, rows, options.max_quarantined_share, worst)
    return (
        application_table(checked_applicants, portfolio),
        event_tables(checked_applicants, portfolio),
        outcome_table(checked_applicants, portfolio),
        protected_table(checked_applicants, portfolio),
    )


def content_hash(received: pl.DataFrame) -> str:
    """Return a hash of the received content, whatever its file format or compression."""
    return "sha256:" + hashlib.sha256(received.write_csv().encode()).hexdigest()
