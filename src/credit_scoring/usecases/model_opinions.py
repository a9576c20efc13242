"""What champion and challenger say of one application, each by the plan that its bundle carries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from credit_scoring.core.errors import CreditScoringError, ScoringError
from credit_scoring.core.facts import Facts
from credit_scoring.core.reasons import GivenReason, reasons
from credit_scoring.core.records import ModelOutput
from credit_scoring.core.roles import BundleRef, Role
from credit_scoring.core.scoring import Matrix, ModelBundle, explain, score

CHALLENGER_FAILURES = (
    CreditScoringError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
)
"""How a challenger may fail without harm: its data are new, its code is not. XGBoost's errors are ValueErrors."""


@dataclass(frozen=True, slots=True)
class RoleModel:
    """A registered bundle in a role."""

    ref: BundleRef
    bundle: ModelBundle


@dataclass(frozen=True, slots=True)
class Opinion:
    """One model's score, and what cost points, in the words of its own declaration.

    ``base_points`` is the reference's expected score: with what each feature adds it gives ``points_exact``.
    """

    model: RoleModel
    points: int
    points_exact: float
    prob_default: float
    base_points: float
    reasons: tuple[GivenReason, ...]


@dataclass(frozen=True, slots=True)
class Opinions:
    """Both models' outputs by role, the opinions of those that did not fail, and each feature set's values."""

    outputs: Mapping[Role, ModelOutput]
    usable: Mapping[Role, Opinion]
    feature_values: Mapping[str, Mapping[str, float | None]]


class OneApplication:
    """Features of one application, computed once per distinct feature set."""

    def __init__(self, facts: Facts, as_of: datetime) -> None:
        self._facts = facts
        self._as_of = as_of
        self._computed: dict[str, Matrix] = {}
        self.feature_values: dict[str, Mapping[str, float | None]] = {}

    def features(self, bundle: ModelBundle) -> Matrix:
        """Return ``(1, p)`` float32 features of the bundle's plan, NaN where missing."""
        version = bundle.plan.version
        if version not in self._computed:
            self._computed[version] = bundle.plan.compute_one(self._facts, self._as_of)
            self.feature_values[version] = _recorded(self._computed[version][0], bundle.plan.names)
        return self._computed[version]


def opinions_of(models: Mapping[Role, RoleModel], application: OneApplication) -> Opinions:
    """Score ``application`` by both models; whatever the challenger does, the champion's opinion stands.

    Raises:
        ScoringError: If the champion gives no finite score.
    """
    usable: dict[Role, Opinion] = {"champion": _opinion(models["champion"], application)}
    failed: dict[Role, ModelOutput] = {}
    try:
        usable["challenger"] = _opinion(models["challenger"], application)
    except CHALLENGER_FAILURES as exc:
        failed["challenger"] = _failed(models["challenger"], type(exc).__name__)
    outputs = {role: _output(opinion) for role, opinion in usable.items()} | failed
    return Opinions(outputs, usable, application.feature_values)


def _opinion(model: RoleModel, application: OneApplication) -> Opinion:
    features = application.features(model.bundle)
    # A score that is not finite is a failure, never a number: the cast to points would make one of it.
    with np.errstate(invalid="raise"):
        scores = score(features, model.bundle)
    explanation = explain(features, model.bundle)
    plan, declared = model.bundle.plan, model.bundle.portfolio
    opinion = Opinion(
        model=model,
        points=int(scores.points[0]),
        points_exact=float(scores.points_exact[0]),
        prob_default=float(scores.prob_default[0]),
        base_points=explanation.base,
        reasons=tuple(reasons(features[0], explanation.points[0], plan.names, declared)),
    )
    numbers = (opinion.points_exact, opinion.prob_default, opinion.base_points, *explanation.points[0])
    if not np.isfinite(numbers).all():
        raise ScoringError(
            f"Version {model.ref.version} of '{model.ref.model}' gave a score that is not a finite number. "
            f"Take it out of its role, and train it again."
        )
    return opinion


def _output(opinion: Opinion) -> ModelOutput:
    return ModelOutput(
        **_names(opinion.model),
        points=opinion.points,
        points_exact=opinion.points_exact,
        prob_default=opinion.prob_default,
        base_points=opinion.base_points,
    )


def _failed(model: RoleModel, failure: str) -> ModelOutput:
    return ModelOutput(**_names(model), failure=failure)


def _names(model: RoleModel) -> dict[str, Any]:
    return model.ref.model_dump() | {"feature_set": model.bundle.plan.version}


def _recorded(features: Matrix, names: tuple[str, ...]) -> dict[str, float | None]:
    """Feature values as they go on record: every float32 is a JSON number, and missing is null."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(names, features, strict=True)}
