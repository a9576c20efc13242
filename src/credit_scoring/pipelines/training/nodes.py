"""Nodes of the training pipeline; the same for every candidate."""

from time import perf_counter
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.lineage import require_made_under
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.core.training.candidates import fit_candidate
from credit_scoring.core.training.development import Development, development_part
from credit_scoring.core.training.options import CandidateOptions, DevelopmentOptions, FitOptions
from credit_scoring.core.training.tuning import tune


def take_development_part(
    portfolio: Portfolio,
    features_applicants: pl.DataFrame,
    features_description: dict[str, Any],
    validated_outcomes: pl.DataFrame,
    features_parts: pl.DataFrame,
    options: DevelopmentOptions,
) -> Development:
    """Return the rows that may be learnt from; see ``development_part``.

    Raises:
        StaleFeaturesError: If the features were made under another declaration.
        TrainingError: If either outcome is rarer than ``options`` allow.
    """
    require_made_under(portfolio, features_description, "training")
    return development_part(portfolio, features_applicants, validated_outcomes, features_parts, options)


def choose_fit_options(development: Development, candidate: CandidateOptions) -> dict[str, Any]:
    """Return the options to fit with: those configured, or the best of ``tuning.trials`` others."""
    return tune(development, candidate).model_dump(mode="json")


def fit_model(
    development: Development,
    features_description: dict[str, Any],
    fit_options: dict[str, Any],
    candidate: CandidateOptions,
) -> tuple[ModelBundle, dict[str, Any], dict[str, float]]:
    """Return the fitted bundle, a summary of it, and its numbers as metrics."""
    chosen: FitOptions = TypeAdapter(FitOptions).validate_python(fit_options)
    started = perf_counter()
    fitted = fit_candidate(chosen.algorithm, development, candidate.model_copy(update={"fit": chosen}))
    seconds = perf_counter() - started
    numbers = {
        "development_rows": float(len(development.is_bad)),
        "development_bad_rate": float(development.is_bad.mean()),
        "development_auc": fitted.development_auc,
        "calibration_intercept": fitted.bundle.calibration.intercept,
        "calibration_slope": fitted.bundle.calibration.slope,
        "training_duration_s": seconds,
    }
    told = {"digest": digest(to_files(fitted.bundle)), "dataset_version": features_description["dataset_version"]}
    return fitted.bundle, {**told, **numbers}, numbers
