"""Nodes of the monitoring pipeline."""

import logging
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.drift import POINTS, MonitoringOptions, Stability, stability
from credit_scoring.core.lineage import require_made_under
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.samples import matrix_for, rows_of_part
from credit_scoring.core.scoring import ModelBundle, score

logger = logging.getLogger(__name__)


def measure_stability(
    portfolio: Portfolio,
    features: pl.DataFrame,
    features_description: dict[str, Any],
    parts: pl.DataFrame,
    champion: ModelBundle,
    options: MonitoringOptions,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return how far the period's features and points are from the champion's development deciles.

    Args:
        portfolio: The declaration, for its name.
        features: ``applicant_id`` and a float32 column per scored feature, null where missing.
        features_description: What the features pipeline wrote beside them.
        parts: ``applicant_id`` and ``part``.
        champion: The bundle whose frozen deciles and scores count.
        options: Which part is the period, and the thresholds.

    Returns:
        The stability of each column, most moved first, as JSON; and the headline numbers as metrics.

    Raises:
        EvaluationError: If the period or the reference has no applicants.
        StaleFeaturesError: If the features were made under another declaration than the champion's.
    """
    require_made_under(champion.portfolio, features_description, "the champion")
    period = watched_columns(champion, rows_of_part(features, parts, options.period_part))
    reference_size = rows_of_part(features, parts, options.reference_part).height
    found = stability(period, champion.deciles, reference_size, options)
    _tell(found, portfolio, options)
    period_size = len(period[POINTS])
    return {
        "portfolio": portfolio.name,
        "candidate": champion.candidate,
        "feature_set": champion.plan.version,
        "reference": {"part": options.reference_part, "applicants": reference_size},
        "period": {"part": options.period_part, "applicants": period_size},
        "thresholds": options.model_dump(include={"watch_from", "drift_from", "false_alarm_rate"}),
        "columns": [asdict(row) for row in found],
    }, _metrics(found, period_size)


def watched_columns(bundle: ModelBundle, rows: pl.DataFrame) -> dict[str, npt.NDArray[np.floating]]:
    """Return ``(n,)`` values by name: every feature of the bundle's plan, NaN where missing, and its points."""
    matrix = matrix_for(bundle, rows)
    columns: dict[str, npt.NDArray[np.floating]] = dict(zip(bundle.plan.names, matrix.T, strict=True))
    return columns | {POINTS: score(matrix, bundle).points_exact}


def _metrics(found: tuple[Stability, ...], period_size: int) -> dict[str, float]:
    features = [row for row in found if row.column != POINTS]
    return {
        "applicants": float(period_size),
        "psi_points": next(row.psi for row in found if row.column == POINTS),
        "psi_max": max(row.psi for row in features),
        "drifted_count": float(sum(row.level == "drift" for row in features)),
        "watched_count": float(sum(row.level == "watch" for row in features)),
    }


def _tell(found: tuple[Stability, ...], portfolio: Portfolio, options: MonitoringOptions) -> None:
    moved = [row for row in found if row.level != "stable"]
    held = f"'{options.period_part}' against '{options.reference_part}' of {portfolio.name}"
    if not moved:
        logger.info(
            "Nothing drifted: %s; the largest PSI of %d columns is %.3f (%s).",
            held,
            len(found),
            found[0].psi,
            found[0].column,
        )
    for row in moved:
        logger.info(
            "%s: %s, PSI %.3f (chance: up to %.3f), missing %.1f %% after %.1f %%; %s.",
            row.level.capitalize(),
            row.column,
            row.psi,
            row.chance_limit,
            100 * row.missing_share,
            100 * row.missing_share_reference,
            held,
        )
