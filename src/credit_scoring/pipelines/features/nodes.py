"""Nodes of the features pipeline."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict

from credit_scoring.core.errors import DeclarationError
from credit_scoring.core.features.engines import Frame, in_polars, with_as_of
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.lineage import lineage
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.splitting import assign_parts

_PARTED_BY = ("applicant_id", "person", "as_of")
"""What decides the part to which a row belongs."""


class FeatureOptions(BaseModel):
    """The moment of the run, for portfolios without a constant ``as_of``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decided_at: AwareDatetime | None = None


def compute_features(
    portfolio: Portfolio,
    validated_applicants: Frame,
    validated_events: Mapping[str, Frame],
    ingestion_summary: dict[str, Any],
    options: FeatureOptions,
) -> tuple[pl.DataFrame, dict[str, Any], dict[str, float]]:
    """Return features, their description, and the share of missing values of each as metrics.

    The catalog chooses the engine: tables are Polars frames, eager or lazy, or pandas', or PySpark's.

    Raises:
        DeclarationError: If the portfolio takes ``as_of`` from the clock and the run was not told the time.
        FeatureTablesError: If the tables are of several engines.
    """
    if portfolio.as_of.constant is None and portfolio.as_of.column is None and options.decided_at is None:
        raise DeclarationError(
            f"Portfolio '{portfolio.name}' declares no 'as_of', so the run must say as of when: "
            f"add --params=features.decided_at=2026-01-31T00:00:00Z, or declare 'as_of: {{constant: ...}}'."
        )
    moment = portfolio.as_of.moment(options.decided_at, datetime.min.replace(tzinfo=UTC))
    plan = FeatureSet.of(portfolio)
    events = {table: validated_events[table] for table in portfolio.events}
    features = plan.compute(with_as_of(validated_applicants, moment), events)
    described = {
        **lineage(portfolio, ingestion_summary["dataset_version"]),
        "as_of": moment.isoformat() if portfolio.as_of.column is None else portfolio.as_of.column,
        "features": {
            name: portfolio.features[name].model_dump(mode="json", exclude_none=True, exclude_defaults=True)
            for name in plan.names
        },
    }
    missing = {f"missing.{name}": features[name].null_count() / max(features.height, 1) for name in plan.names}
    return features, described, {"applicants": float(features.height), **missing}


def assign_applicants(validated_applicants: Frame, portfolio: Portfolio) -> pl.DataFrame:
    """Return ``applicant_id`` and ``part`` (development, holdout or stream) of each applicant in scope."""
    return assign_parts(in_polars(validated_applicants, _PARTED_BY), portfolio.split, portfolio.outcome.decided_from)
