"""Nodes of the pipeline of batch decisions."""

from typing import Annotated, Any

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from credit_scoring.core.portfolio import Portfolio
from credit_scoring.pipelines.batch_decisions.deciding import DecidedParts

_COUNTED = ("recommendation", "arm", "decider", "model_version", "request_id", "as_of", "problem")


def _name(given: object) -> object:
    """Take a whole number as text; one with a point is refused, because 2026.10 would be the batch of January."""
    return str(given) if isinstance(given, int) else given


class BatchOptions(BaseModel):
    """What a batch is called, and how it is decided; see ``conf/base/parameters_batch_decisions.yml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$"), BeforeValidator(_name)] | None = None
    at_once: int = Field(default=1_000, gt=0, le=10_000)
    challenger_budget_s: float = Field(default=300, gt=0)


def decide_applications(portfolio: Portfolio, raw_batch_applications: Any, options: BatchOptions) -> DecidedParts:
    """Return the decisions, part by part; the applications are decided and recorded as they are saved.

    Args:
        portfolio: The declaration, for its name.
        raw_batch_applications: Rows of ``applicant_id``, with or without ``application_id`` and ``as_of``; any table.
        options: What the batch is called, and how it is decided.
    """
    return DecidedParts(
        portfolio.name, raw_batch_applications, options.batch_id, options.at_once, options.challenger_budget_s
    )


def summarize_decisions(decisions_batch: pl.LazyFrame) -> tuple[dict[str, Any], dict[str, float]]:
    """Return how many applications were decided, in which way and by whom, and the same as metrics."""
    by = {name: _counts(decisions_batch, name) for name in _COUNTED}
    fallbacks, applications = (
        decisions_batch.select(pl.col("fallback").sum(), applications=pl.len()).collect(engine="streaming").row(0)
    )
    problems = sum(by["problem"].values())
    totals = {
        "applications": applications,
        "decided": applications - problems,
        "problems": problems,
        "fallbacks": fallbacks,
    }
    shown = {f"{name}.{key}": count for name in ("recommendation", "arm", "problem") for key, count in by[name].items()}
    return totals | {f"by_{name}": found for name, found in by.items()}, {
        name: float(count) for name, count in (totals | shown).items()
    }


def _counts(decisions: pl.LazyFrame, name: str) -> dict[str, int]:
    counted = decisions.drop_nulls(name).group_by(pl.col(name).cast(pl.String)).len().sort(name)
    return dict(counted.collect(engine="streaming").iter_rows())
