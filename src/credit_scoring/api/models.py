"""Models that are loaded, and their cards."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from credit_scoring.api.decisions import (
    Algorithm,
    Answer,
    Digest,
    FeatureSet,
    ModelName,
    PolicyVersion,
    Recommended,
    Role,
    Version,
)
from credit_scoring.api.fields import told

RoleNow = Annotated[Role | None, told("role by which it decides now; null without one", "champion")]


class ScaleAnswer(Answer):
    """Points: ``points`` at ``odds`` good to one bad; every ``points_to_double_odds`` doubles the odds."""

    points: Annotated[float, told("points at the odds", 600.0, unit="points")]
    odds: Annotated[float, told("good applicants to one bad, at the points", 30.0, low=0)]
    points_to_double_odds: Annotated[float, told("points that double the odds", 20.0, unit="points")]
    min: Annotated[int, told("least points that are answered", 300, unit="points")]
    max: Annotated[int, told("most points that are answered", 850, unit="points")]


class LoadedModelAnswer(Answer):
    """A model that the answering process has loaded."""

    name: ModelName
    version: Version
    algorithm: Algorithm
    digest: Digest
    role: RoleNow
    feature_set: FeatureSet
    policy_version: PolicyVersion
    scale: Annotated[ScaleAnswer, Field(description="what its points mean")]
    loaded_at: Annotated[datetime, told("when the process loaded it", "2005-10-01T00:00:00Z")]


class LoadedModels(Answer):
    """Models in order of their versions."""

    models: Annotated[tuple[LoadedModelAnswer, ...], Field(description="in order of their versions")]


class CardUse(Answer):
    """What the model is for, and the data that it comes from."""

    portfolio: Annotated[str, told("name of the portfolio", "taiwan_cards")]
    title: Annotated[str, told("the portfolio in words", "Credit card holders, Taiwan 2005")]
    description: Annotated[str, told("what the portfolio says of itself; may be empty", "Holders of one credit card")]
    citation: Annotated[str, told("where the data come from; may be empty", "Yeh and Lien (2009), CC BY 4.0")]
    outcome: Annotated[str, told("column that tells what became of a loan", "default_next_month")]
    outcome_window_days: Annotated[int, told("days after which an outcome is final", 30, low=0, unit="days")]


class CardTraining(Answer):
    """What the model was fitted on; null where it was not noted at registration."""

    candidate: Annotated[str, told("name of the candidate that was fitted", "scorecard")]
    dataset_version: Annotated[
        str | None,
        told("SHA-256 of the received data", "30c6be3abd8dcfd3e6096c828bad8c2f011238620f5369220bd60cfc82700933"),
    ]
    git_commit: Annotated[str | None, told("commit of the code", "8b167bb3c1f0d2e4a5968778695a4b3c2d1e0f9a")]
    evaluation_report: Annotated[
        str | None,
        told(
            "SHA-256 of the evaluation report of the same run",
            "b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78",
        ),
    ]


class CardFeature(Answer):
    """A feature that the model reads."""

    name: Annotated[str, told("name of the feature", "months_since_2m_arrears")]
    description: Annotated[str, told("what it is", "months since two months late")]
    unit: Annotated[str | None, told("what it is measured in; null when nothing is declared", "months")]
    higher_is: Annotated[
        Literal["riskier", "safer"] | None, told("direction that binds the model; null when none does", "safer")
    ]
    reason_code: Annotated[str, told("code of the reason that it goes into", "R03")]
    used: Annotated[bool, told("false when the fitted model gives it no weight", True)]


class CardReason(Answer):
    """A reason code's wording, when the value is known and when it is missing."""

    text: Annotated[str, told("the reason in words", "Recent delay of repayment")]
    missing_text: Annotated[str | None, told("the words when the value is missing; null when they are the same", None)]


class CardFigures(Answer):
    """Figures on the holdout part, which the model was not fitted on; null where they were not noted."""

    auc_roc: Annotated[float | None, told("area under the ROC curve, 0 to 1", 0.775, low=0, high=1)]
    gini: Annotated[float | None, told("2 * AUC - 1, minus 1 to 1", 0.55, low=-1, high=1)]
    ks: Annotated[float | None, told("Kolmogorov-Smirnov distance of goods and bads, 0 to 1", 0.42, low=0, high=1)]
    brier: Annotated[float | None, told("mean squared error of the probability, 0 to 1", 0.136, low=0, high=1)]
    calibration_slope: Annotated[float | None, told("slope of the calibration; 1 is perfect", 1.01)]


class CardCalibration(Answer):
    """Log-odds of default = ``intercept`` + ``slope`` * margin of the classifier."""

    method: Annotated[Literal["platt"], told("how margins become probabilities", "platt")] = "platt"
    intercept: Annotated[float, told("log-odds at the margin 0", 0.02)]
    slope: Annotated[float, told("log-odds by unit of margin", 0.98)]


class CardBand(Answer):
    """A named range of points, up to the next band, and what the policy recommends at its lower end."""

    name: Annotated[str, told("name of the band", "D")]
    from_points: Annotated[int, told("least points of the band", 515, unit="points")]
    recommendation: Recommended


class CardPolicy(Answer):
    """From points to a recommendation."""

    version: PolicyVersion
    approve_from: Annotated[int, told("least points that are approved", 540, unit="points")]
    refer_from: Annotated[int, told("least points that are referred; below, declined", 515, unit="points")]
    max_reasons: Annotated[int, told("most reasons of a decision", 4, low=0)]
    bands: Annotated[tuple[CardBand, ...], Field(description="ranges of points")]


class ModelCard(Answer):
    """What a model is, what it was made of, how good it is, and what it is not good for."""

    name: ModelName
    version: Version
    digest: Digest
    algorithm: Algorithm
    role: RoleNow
    intended_use: Annotated[CardUse, Field(description="what the model is for")]
    training: Annotated[CardTraining, Field(description="what the model was fitted on")]
    feature_set: FeatureSet
    features: Annotated[tuple[CardFeature, ...], Field(description="what the model reads")]
    protected_attributes: Annotated[
        tuple[str, ...], told("kept for the measurement of fairness; no model reads them", ["sex", "age_years"])
    ]
    holdout: Annotated[CardFigures, Field(description="how good it is on data that it was not fitted on")]
    calibration: Annotated[CardCalibration, Field(description="how its margin becomes a probability")]
    scale: Annotated[ScaleAnswer, Field(description="how its probability becomes points")]
    policy: Annotated[CardPolicy, Field(description="how its points become a recommendation")]
    reasons: Annotated[
        dict[str, CardReason],
        told("wording of the reasons, by code", {"R03": {"text": "Recent delay of repayment", "missing_text": None}}),
    ]
    known_limits: Annotated[
        tuple[str, ...],
        told("what the model is not good for", ["Points are cut at 300 and 850; the exact points are not."]),
    ]
