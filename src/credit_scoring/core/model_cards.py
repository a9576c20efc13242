"""The card of a model: from its bundle, and from what was noted when it was registered."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from credit_scoring.api.decisions import Role
from credit_scoring.api.models import (
    CardBand,
    CardCalibration,
    CardFeature,
    CardFigures,
    CardPolicy,
    CardReason,
    CardTraining,
    CardUse,
    LoadedModelAnswer,
    ModelCard,
    ScaleAnswer,
)
from credit_scoring.core.decisions import recommendation
from credit_scoring.core.portfolio import Policy, Portfolio, Scale
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scorecard import Scorecard
from credit_scoring.core.scoring import ModelBundle

GOLDEN_POINTS = "golden_points"
"""Tag of a registered version: what the made-up application scored where it was registered."""

HOLDOUT_FIGURES = ("auc_roc", "gini", "ks", "brier", "calibration_slope")
"""Tags of a registered version: its figures on the holdout part."""

NOTED = (*HOLDOUT_FIGURES, "dataset_version", "git_commit", "evaluation_report")
"""Tags of a registered version that its card tells; a package carries them."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A bundle in this process, since when, and the tags of its registered version, as far as they are known."""

    ref: BundleRef
    bundle: ModelBundle
    loaded_at: datetime
    tags: Mapping[str, str]


def loaded_model(model: LoadedModel, role: Role | None) -> LoadedModelAnswer:
    """Return a loaded model as it is listed."""
    portfolio = model.bundle.portfolio
    return LoadedModelAnswer(
        name=model.ref.model,
        version=model.ref.version,
        algorithm=model.ref.algorithm,
        digest=model.ref.digest,
        role=role,
        feature_set=model.bundle.plan.version,
        policy_version=portfolio.policy.version,
        scale=_scale(portfolio.scale),
        loaded_at=model.loaded_at,
    )


def model_card(model: LoadedModel, role: Role | None) -> ModelCard:
    """Return the card of a loaded model."""
    bundle, portfolio = model.bundle, model.bundle.portfolio
    return ModelCard(
        name=model.ref.model,
        version=model.ref.version,
        digest=model.ref.digest,
        algorithm=model.ref.algorithm,
        role=role,
        intended_use=_use(portfolio),
        training=_training(model),
        feature_set=bundle.plan.version,
        features=tuple(_features(bundle)),
        protected_attributes=tuple(_protected(portfolio)),
        holdout=CardFigures(**{name: _number(model.tags.get(name)) for name in HOLDOUT_FIGURES}),
        calibration=CardCalibration(intercept=bundle.calibration.intercept, slope=bundle.calibration.slope),
        scale=_scale(portfolio.scale),
        policy=_policy(portfolio.policy),
        reasons={
            code: CardReason(text=reason.text, missing_text=reason.missing_text)
            for code, reason in portfolio.reasons.items()
        },
        known_limits=tuple(_limits(bundle)),
    )


def _use(portfolio: Portfolio) -> CardUse:
    return CardUse(
        portfolio=portfolio.name,
        title=portfolio.title,
        description=portfolio.description,
        citation=portfolio.citation,
        outcome=portfolio.outcome.column,
        outcome_window_days=portfolio.outcome.window_days,
    )


def _training(model: LoadedModel) -> CardTraining:
    return CardTraining(
        candidate=model.bundle.candidate,
        dataset_version=model.tags.get("dataset_version"),
        git_commit=model.tags.get("git_commit"),
        evaluation_report=model.tags.get("evaluation_report"),
    )


def _features(bundle: ModelBundle) -> Iterator[CardFeature]:
    used = _used(bundle)
    for name in bundle.plan.names:
        declared = bundle.plan.features[name]
        yield CardFeature(
            name=name,
            description=declared.description,
            unit=declared.unit,
            higher_is=declared.higher_is,
            reason_code=declared.reason or name.upper(),
            used=name in used,
        )


def _used(bundle: ModelBundle) -> set[str]:
    """Return the features that can move a score: those with a coefficient, or that some tree asks for."""
    classifier = bundle.classifier
    if isinstance(classifier, Scorecard):
        weights = zip(classifier.data.bins, classifier.data.coefficients, strict=True)
        return {bins.feature for bins, coefficient in weights if coefficient}
    moved = np.abs(classifier.contributions(bundle.reference)).max(axis=0, initial=0.0) > 0
    return {name for name, moves in zip(classifier.inputs, moved, strict=True) if moves}


def _protected(portfolio: Portfolio) -> Iterator[str]:
    yield from portfolio.protected_columns
    for table, declared in portfolio.events.items():
        yield from (f"{table}.{name}" for name, column in declared.columns.items() if column.protected)


def _scale(scale: Scale) -> ScaleAnswer:
    return ScaleAnswer.model_validate(scale.model_dump())


def _policy(policy: Policy) -> CardPolicy:
    return CardPolicy(
        version=policy.version,
        approve_from=policy.approve_from,
        refer_from=policy.refer_from,
        max_reasons=policy.max_reasons,
        bands=tuple(
            CardBand(
                name=band.name, from_points=band.from_points, recommendation=recommendation(band.from_points, policy)
            )
            for band in policy.bands
        ),
    )


def _number(text: str | None) -> float | None:
    """Return a tag's number; None when there is none, for tags may be edited by hand."""
    try:
        number = float("nan" if text is None else text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _limits(bundle: ModelBundle) -> Iterator[str]:
    portfolio = bundle.portfolio
    yield f"Fitted on the portfolio '{portfolio.title}' alone; it says nothing about applicants of another kind."
    yield (
        "Fitted on applicants whose outcome is known, that is, on those who were granted credit; among the declined "
        "it extrapolates."
    )
    yield (
        f"The probability is that of '{portfolio.outcome.column}' within {portfolio.outcome.window_days} days; it is "
        f"no loss, and holds as long as the economy resembles that of the development part."
    )
    if portfolio.as_of.constant is not None:
        yield f"All facts are those before {portfolio.as_of.constant}; the data show no other time."
    yield f"Points are cut at {portfolio.scale.min} and {portfolio.scale.max}; the exact points are not."
    protected = list(_protected(portfolio))
    if protected:
        yield (
            f"{', '.join(protected)} are no inputs, yet inputs may go along with them: watch the fairness figures of "
            f"the evaluation report."
        )
    if any(feature.higher_is is None for feature in map(bundle.plan.features.__getitem__, bundle.plan.names)):
        yield "No direction binds features whose 'higher_is' is null; their effect is what the data showed."
