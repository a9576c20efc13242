"""What a data scientist may tune; unknown keys are refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScorecardOptions(_Options):
    """How the scorecard is binned, selected and fitted."""

    algorithm: Literal["scorecard"]
    max_bins: int = Field(default=6, ge=2, le=20)
    min_bin_share: float = Field(default=0.05, gt=0, lt=0.5)
    min_information_value: float = Field(default=0.02, ge=0)
    max_correlation: float = Field(default=0.95, gt=0, le=1)
    max_features: int = Field(default=60, ge=1)
    inverse_l2: float = Field(default=1.0, gt=0)


class BoostedTreesOptions(_Options):
    """XGBoost's parameters under its own names; see its documentation for their meaning."""

    algorithm: Literal["boosted_trees"]
    rounds: int = Field(default=300, ge=1, le=5000)
    max_depth: int = Field(default=5, ge=1, le=12)
    learning_rate: float = Field(default=0.03, gt=0, le=1)
    min_child_weight: float = Field(default=20, ge=0)
    subsample: float = Field(default=0.8, gt=0, le=1)
    colsample_bytree: float = Field(default=0.5, gt=0, le=1)
    colsample_bynode: float = Field(default=1.0, gt=0, le=1)
    reg_lambda: float = Field(default=5, ge=0)
    gamma: float = Field(default=0, ge=0)
    seed: int = Field(default=0, ge=0)


class DevelopmentOptions(_Options):
    """How rare an outcome may be: with fewer goods or bads in the development part, a fit would be an accident."""

    fewest_of_each_outcome: int = Field(default=30, ge=1)


class TuningOptions(_Options):
    """Search for better options by cross-validation on the development part; off with ``trials: 0``."""

    trials: int = Field(default=0, ge=0)
    folds: int = Field(default=5, ge=2)
    seed: int = Field(default=0, ge=0)


class CalibrationOptions(_Options):
    """How out-of-fold scores are made, on which calibration is fitted."""

    folds: int = Field(default=5, ge=2)
    seed: int = Field(default=0, ge=0)


FitOptions = Annotated[ScorecardOptions | BoostedTreesOptions, Field(discriminator="algorithm")]


class CandidateOptions(_Options):
    """Everything about one candidate: its algorithm's options, calibration and tuning."""

    fit: FitOptions
    calibration: CalibrationOptions = CalibrationOptions()
    tuning: TuningOptions = TuningOptions()
