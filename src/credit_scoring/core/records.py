"""A decision as it is answered, and as it is recorded with everything it was made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.core.decisions import Recommendation
from credit_scoring.core.reasons import GivenReason
from credit_scoring.core.roles import Role

Json = dict[str, Any]
Source = Literal["request", "store"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DecidingModel(_Frozen):
    """The registered model whose score, recommendation and reasons are answered."""

    name: str
    version: int
    role: Role


class Decision(_Frozen):
    """The answer to one application."""

    decision_id: str
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
    features_from: Annotated[Source, Field(description="whether the facts came with the request or from the store")]
    as_of: Annotated[datetime, Field(description="facts strictly before this moment were used")]
    request_id: Annotated[str, Field(description="X-Request-ID of the request that was decided first")]


class ModelOutput(_Frozen):
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


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision with what was received and computed; never changed after it was added.

    ``received`` is the request's body, ``received_digest`` its SHA-256, ``feature_values`` the value of each
    feature by feature set (None where missing), ``scores`` what each role's model said.
    """

    portfolio: str
    decided_at: datetime
    answer: Decision
    received: Json
    received_digest: str
    feature_values: Mapping[str, Mapping[str, float | None]]
    scores: Mapping[Role, ModelOutput]
