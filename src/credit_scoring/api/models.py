"""Models that are loaded, and their cards."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from credit_scoring.api.decisions import Answer, Recommendation, Role


class ScaleAnswer(Answer):
    """Points: ``points`` at ``odds`` good to one bad; every ``points_to_double_odds`` doubles the odds."""

    points: float
    odds: float
    points_to_double_odds: float
    min: int
    max: int


class LoadedModelAnswer(Answer):
    """A model that the answering process has loaded."""

    name: str
    version: int
    algorithm: str
    digest: Annotated[str, Field(description="SHA-256 of the bundle's manifest, which holds all its checksums")]
    role: Annotated[Role | None, Field(description="role by which it decides now; null without one")]
    feature_set: str
    policy_version: str
    scale: ScaleAnswer
    loaded_at: datetime


class LoadedModels(Answer):
    """Models in order of their versions."""

    models: tuple[LoadedModelAnswer, ...]


class CardUse(Answer):
    """What the model is for, and the data that it comes from."""

    portfolio: str
    title: str
    description: str
    citation: str
    outcome: Annotated[str, Field(description="column that tells what became of a loan")]
    outcome_window_days: Annotated[int, Field(description="days after which an outcome is final")]


class CardTraining(Answer):
    """What the model was fitted on; null where it was not noted at registration."""

    candidate: str
    dataset_version: Annotated[str | None, Field(description="SHA-256 of the received data")]
    git_commit: str | None
    evaluation_report: Annotated[str | None, Field(description="SHA-256 of the evaluation report of the same run")]


class CardFeature(Answer):
    """A feature that the model reads."""

    name: str
    description: str
    unit: str | None
    higher_is: Annotated[
        Literal["riskier", "safer"] | None, Field(description="direction that binds the model; null when none does")
    ]
    reason_code: str
    used: Annotated[bool, Field(description="false when the fitted model gives it no weight")]


class CardReason(Answer):
    """A reason code's wording, when the value is known and when it is missing."""

    text: str
    missing_text: str | None


class CardFigures(Answer):
    """Figures on the holdout part, which the model was not fitted on; null where they were not noted."""

    auc_roc: float | None
    gini: float | None
    ks: float | None
    brier: float | None
    calibration_slope: float | None


class CardCalibration(Answer):
    """Log-odds of default = ``intercept`` + ``slope`` * margin of the classifier."""

    method: Literal["platt"] = "platt"
    intercept: float
    slope: float


class CardBand(Answer):
    """A named range of points, up to the next band, and what the policy recommends at its lower end."""

    name: str
    from_points: int
    recommendation: Recommendation


class CardPolicy(Answer):
    """From points to a recommendation."""

    version: str
    approve_from: int
    refer_from: int
    max_reasons: int
    bands: tuple[CardBand, ...]


class ModelCard(Answer):
    """What a model is, what it was made of, how good it is, and what it is not good for."""

    name: str
    version: int
    digest: str
    algorithm: str
    role: Role | None
    intended_use: CardUse
    training: CardTraining
    feature_set: str
    features: tuple[CardFeature, ...]
    protected_attributes: Annotated[
        tuple[str, ...], Field(description="kept for the measurement of fairness; no model reads them")
    ]
    holdout: CardFigures
    calibration: CardCalibration
    scale: ScaleAnswer
    policy: CardPolicy
    reasons: dict[str, CardReason]
    known_limits: tuple[str, ...]
