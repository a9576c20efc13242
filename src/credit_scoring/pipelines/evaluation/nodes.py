"""Nodes of the evaluation pipeline."""

from typing import Any

import numpy as np
import polars as pl

from credit_scoring.core.evaluation import Evaluation, EvaluationOptions, evaluate
from credit_scoring.core.lineage import require_made_under
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.samples import Holdout, matrix_for, select_holdout
from credit_scoring.core.scoring import Matrix, ModelBundle, explain, score
from credit_scoring.pipelines.evaluation import plots
from credit_scoring.pipelines.evaluation.report import candidate_title, render


def take_holdout(
    features: pl.DataFrame,
    features_description: dict[str, Any],
    parts: pl.DataFrame,
    outcomes: pl.DataFrame,
    **candidates: ModelBundle,
) -> Holdout:
    """Return the applicants that no candidate has seen; see ``select_holdout``.

    Raises:
        StaleFeaturesError: If a candidate was fitted under another declaration than the features, or the
            applicants were parted otherwise then.
        EvaluationError: If the part is empty.
    """
    for name, bundle in candidates.items():
        require_made_under(bundle.portfolio, features_description, f"the bundle of '{name}'")
    return select_holdout(features, parts, outcomes)


def evaluate_candidates(
    scorecard: ModelBundle, boosted_trees: ModelBundle, holdout: Holdout, options: EvaluationOptions
) -> tuple[Evaluation, dict[str, Any], dict[str, float]]:
    """Return the evaluation of both candidates: typed, as JSON, and its headline numbers as metrics.

    Raises:
        EvaluationError: If only one outcome occurs among the holdout.
        MissingInputsError: If the features are not those of a bundle's plan.
    """
    evaluation = evaluate(scorecard, boosted_trees, holdout, options)
    return evaluation, evaluation.to_json(), evaluation.to_metrics()


def draw_plots(
    scorecard: ModelBundle, boosted_trees: ModelBundle, holdout: Holdout, options: EvaluationOptions
) -> dict[str, str]:
    """Return the plots as SVG texts by name: roc, ks, calibration, distribution, and a SHAP summary per candidate."""
    candidates = tuple(_scored(bundle, holdout) for bundle in (scorecard, boosted_trees))
    drawn = {
        "roc": plots.roc_plot(candidates, holdout.is_bad),
        "ks": plots.ks_plot(candidates, holdout.is_bad),
        "calibration": plots.calibration_plot(candidates, holdout.is_bad, options),
        "distribution": plots.distribution_plot(candidates, holdout.is_bad),
    }
    for candidate in candidates:
        explained = _sample(matrix_for(candidate.bundle, holdout.features), options)
        drawn[f"shap_{candidate.bundle.candidate}"] = plots.shap_plot(
            candidate.bundle, explained, explain(explained, candidate.bundle), options.seed
        )
    return drawn


def render_report(
    portfolio: Portfolio,
    scorecard: ModelBundle,
    boosted_trees: ModelBundle,
    evaluation: Evaluation,
    drawn: dict[str, str],
) -> tuple[str, dict[str, str]]:
    """Return the report as one HTML text that loads nothing from outside, and the plots to store beside it."""
    return render(portfolio, (scorecard, boosted_trees), evaluation, drawn), drawn


def _scored(bundle: ModelBundle, holdout: Holdout) -> plots.Scored:
    return plots.Scored(candidate_title(bundle.candidate), bundle, score(matrix_for(bundle, holdout.features), bundle))


def _sample(features: Matrix, options: EvaluationOptions) -> Matrix:
    """Return at most ``options.explained_applicants`` rows, drawn by seed."""
    if len(features) <= options.explained_applicants:
        return features
    chosen = np.random.default_rng(options.seed).choice(len(features), options.explained_applicants, replace=False)
    return features[np.sort(chosen)]
