"""Decisions as they are answered and as they are read back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]
Role = Literal["champion", "challenger"]
Recommendation = Literal["approve", "refer", "decline"]
Source = Literal["request", "cache", "store"]


class Answer(BaseModel):
    """Base of what is answered: frozen, and nothing that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class GivenReason:
    """One reason: code, text, the feature that cost most under it, and the points lost under the code."""

    code: str
    text: str
    feature: str
    points_lost: float


class DecidingModel(Answer):
    """The registered model whose score, recommendation and reasons are answered."""

    name: str
    version: int
    role: Role


class Decision(Answer):
    """The answer to one application."""

    decision_id: Annotated[str, Field(description="names the decision in all other routes")]
    application_id: str
    applicant_id: str
    points: Annotated[int, Field(description="score on the declared scale; more points mean less risk")]
    points_exact: Annotated[float, Field(description="points before rounding and clipping; additive in the reasons")]
    prob_default: Annotated[float, Field(description="probability of default, 0 to 1")]
    band: Annotated[str, Field(description="declared range that the points fall into")]
    recommendation: Recommendation
    reasons: Annotated[
        tuple[GivenReason, ...], Field(description="what cost points against an applicant just approved, most first")
    ]
    model: DecidingModel
    arm: Annotated[Role, Field(description="arm of the experiment that the applicant is in, always the same one")]
    arm_probability: Annotated[float, Field(description="probability with which an applicant falls into the arm")]
    decider: Annotated[Role, Field(description="role of the model that decided")]
    fallback: Annotated[bool, Field(description="true when the challenger failed in its own arm")]
    policy_version: str
    feature_set: str
    scorer_version: str
    features_from: Annotated[
        Source, Field(description="facts of the request, cached features, or features of the stored facts")
    ]
    as_of: Annotated[datetime, Field(description="facts strictly before this moment were used")]
    request_id: Annotated[str, Field(description="X-Request-ID of the request that was decided first")]


class ModelOutput(Answer):
    """What one model said of an application; numbers are None when it failed, and ``failure`` names the error.

    ``base_points`` is the reference's expected score: with the points of each feature it gives ``points_exact``.
    """

    model: str
    version: int
    algorithm: str
    digest: str
    feature_set: str
    points: int | None = None
    points_exact: float | None = None
    prob_default: float | None = None
    base_points: float | None = None
    failure: str | None = None


class FeaturesUsed(Answer):
    """Values of a feature set that models read, null where missing, and when their facts were read."""

    source: Source
    observed_at: Annotated[
        datetime | None, Field(description="when the facts were read; null when that was not recorded")
    ]
    values: dict[str, float | None]


class RecordedDecision(Decision):
    """A decision with what was received, and what it was made of."""

    decided_at: datetime
    received: Annotated[Json, Field(description="the body as it was received")]
    features: Annotated[dict[str, FeaturesUsed], Field(description="by feature set")]
    scores: Annotated[dict[Role, ModelOutput], Field(description="what each model said, with the base of its points")]
    roles_sequence: Annotated[
        int | None, Field(description="row of the roles' history that held; null when that was not recorded")
    ]


class Decisions(Answer):
    """A page of decisions, the newest first."""

    decisions: tuple[Decision, ...]
    next: Annotated[str | None, Field(description="send it as 'cursor' for the next page; null on the last one")]
