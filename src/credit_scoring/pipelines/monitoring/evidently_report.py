"""Evidently's drift report of the most moved columns, as HTML and as JSON."""

import json
from typing import Any

import polars as pl

from credit_scoring.core.drift import POINTS, MonitoringOptions
from credit_scoring.core.samples import rows_of_part
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.pipelines.monitoring.nodes import watched_columns


def build_evidently_report(
    features: pl.DataFrame,
    parts: pl.DataFrame,
    champion: ModelBundle,
    stability: dict[str, Any],
    options: MonitoringOptions,
) -> tuple[str, dict[str, Any]]:
    """Return Evidently's view of the points and the most moved features.

    Evidently draws its own groups and leaves missing numbers out, so its PSI differs from ``stability``, which
    counts them and decides; the report is there to look at distributions. At most ``options.evidently_rows``
    applicants of either part are drawn by seed.

    Args:
        features: ``applicant_id`` and a float32 column per scored feature, null where missing.
        parts: ``applicant_id`` and ``part``.
        champion: The bundle that scores.
        stability: What ``measure_stability`` found, most moved column first.
        options: Parts, sizes and thresholds.

    Returns:
        One HTML text that loads nothing from outside, and the same as plain JSON values.

    Raises:
        EvaluationError: If the period or the reference has no applicants.
        MissingInputsError: If the features are not those of the champion's plan.
    """
    # Imported here: Evidently takes seconds to import, and every other pipeline does without it.
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    shown = _shown_columns(stability, options)
    categorical = [name for name in shown if name in champion.plan.categories]
    numerical = [name for name in shown if name not in categorical]
    definition = DataDefinition(numerical_columns=numerical, categorical_columns=categorical)
    reference, period = (
        Dataset.from_pandas(
            _frame(champion, rows_of_part(features, parts, part), shown, options).to_pandas(), definition
        )
        for part in (options.reference_part, options.period_part)
    )
    preset = DataDriftPreset(columns=shown, method="psi", threshold=options.watch_from)
    snapshot = Report([preset]).run(current_data=period, reference_data=reference)
    # Evidently's own JSON turns its NumPy numbers into plain ones.
    return str(snapshot.get_html_str(as_iframe=False)), json.loads(snapshot.json())


def _shown_columns(stability: dict[str, Any], options: MonitoringOptions) -> list[str]:
    by_psi = [row["column"] for row in stability["columns"] if row["column"] != POINTS]
    return [POINTS, *by_psi[: options.evidently_columns]]


def _frame(champion: ModelBundle, rows: pl.DataFrame, shown: list[str], options: MonitoringOptions) -> pl.DataFrame:
    """Drawn rows of the shown columns: numbers null where missing, categories by name, 'missing' among them."""
    drawn = rows.sample(min(options.evidently_rows, rows.height), seed=options.seed)
    values = watched_columns(champion, drawn)
    frame = pl.DataFrame({name: values[name].astype("float64") for name in shown}).fill_nan(None)
    named = {name: dict(enumerate(champion.plan.categories.get(name, ()))) for name in shown}
    return frame.with_columns(
        pl.col(name).replace_strict(names, default=None, return_dtype=pl.String).fill_null("missing")
        for name, names in named.items()
        if names
    )
