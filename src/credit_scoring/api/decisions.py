"""Decisions as they are answered and as they are read back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.api.fields import told

Json = dict[str, Any]
Role = Literal["champion", "challenger"]
Recommendation = Literal["approve", "refer", "decline"]
Source = Literal["request", "cache", "store"]

ModelName = Annotated[str, told("name of the registered model", "credit_scoring_taiwan_cards")]
Version = Annotated[int, told("version of the model in the registry", 1, low=1)]
Algorithm = Annotated[str, told("kind of the model", "scorecard")]
Digest = Annotated[
    str,
    told(
        "SHA-256 of the bundle's manifest, which holds all its checksums",
        "0f3c1d7a9be24c5f8a6d7e1b2c3d4e5f60718293a4b5c6d7e8f9a0b1c2d3e4f5",
    ),
]
FeatureSet = Annotated[str, told("version of the features: a digest of what declares them", "fs-a9e021a8221d")]
PolicyVersion = Annotated[str, told("version of the policy, from points to a recommendation", "2005-10")]
Recommended = Annotated[Recommendation, told("what the policy recommends: refer means that a person decides", "refer")]
DecisionId = Annotated[str, told("names the decision in all other routes", "9b2f6c1e-7d43-4f0a-8a55-3c1d2e4f5a6b")]
ApplicationId = Annotated[str, told("the application, as the request named it", "application-1")]
ApplicantId = Annotated[str, told("the applicant, as the request named it", "applicant-1")]
Points = Annotated[
    int, told("score from the least to the most points of the model's scale; more mean less risk", 532, unit="points")
]
ProbDefault = Annotated[float, told("probability of default, 0 to 1", 0.2625226698036803, low=0, high=1)]
Band = Annotated[str, told("name of the declared range that the points fall into", "D")]
AsOf = Annotated[datetime, told("facts strictly before this moment were used", "2005-10-01T00:00:00Z")]
DecidedAt = Annotated[datetime, told("when it was decided", "2005-10-01T00:00:01Z")]
Next = Annotated[
    str | None, told("send it as 'cursor' for the next page; null on the last one", "WyIyMDA1LTEwLTAxIiwgIjliMmY2Il0")
]


class Answer(BaseModel):
    """Base of what is answered: frozen, and nothing that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class GivenReason:
    """One reason: code, text, the feature that cost most under it, and the points lost under the code."""

    code: Annotated[str, told("stable code of the reason", "R03")]
    text: Annotated[str, told("the reason in words", "Recent delay of repayment")]
    feature: Annotated[str, told("the feature that cost most under the code", "months_since_2m_arrears")]
    points_lost: Annotated[
        float, told("points lost under the code, against the reference", 7.739142979214376, low=0, unit="points")
    ]


class DecidingModel(Answer):
    """The registered model whose score, recommendation and reasons are answered."""

    name: ModelName
    version: Version
    role: Annotated[Role, told("role by which it decided", "champion")]


class Decision(Answer):
    """The answer to one application."""

    decision_id: DecisionId
    application_id: ApplicationId
    applicant_id: ApplicantId
    points: Points
    points_exact: Annotated[
        float, told("points before rounding and clipping; additive in the reasons", 531.6653219253105, unit="points")
    ]
    prob_default: ProbDefault
    band: Band
    recommendation: Recommended
    reasons: Annotated[
        tuple[GivenReason, ...], Field(description="what cost points against an applicant just approved, most first")
    ]
    model: Annotated[DecidingModel, Field(description="the model that decided")]
    arm: Annotated[Role, told("arm of the experiment that the applicant is in, always the same one", "champion")]
    arm_probability: Annotated[
        float, told("probability with which an applicant falls into the arm, 0 to 1", 0.9, low=0, high=1)
    ]
    decider: Annotated[Role, told("role of the model that decided", "champion")]
    fallback: Annotated[bool, told("true when the challenger failed in its own arm", False)]
    policy_version: PolicyVersion
    feature_set: FeatureSet
    scorer_version: Annotated[str, told("version of the scoring code", "2")]
    features_from: Annotated[
        Source, told("facts of the request, cached features, or features of the stored facts", "request")
    ]
    as_of: AsOf
    request_id: Annotated[
        str, told("X-Request-ID of the request that was decided first", "5c0d9e8f7a6b4c3d2e1f0a9b8c7d6e5f")
    ]


class ModelOutput(Answer):
    """What one model said of an application; numbers are None when it failed, and ``failure`` names the error.

    ``base_points`` is the reference's expected score: with the points of each feature it gives ``points_exact``.
    """

    model: ModelName
    version: Version
    algorithm: Algorithm
    digest: Digest
    feature_set: FeatureSet
    points: Annotated[int | None, told("score on the declared scale; null when it failed", 532, unit="points")] = None
    points_exact: Annotated[
        float | None, told("points before rounding and clipping; null when it failed", 531.6653219253105, unit="points")
    ] = None
    prob_default: Annotated[
        float | None,
        told("probability of default, 0 to 1; null when it failed", 0.2625226698036803, low=0, high=1),
    ] = None
    base_points: Annotated[
        float | None,
        told("the reference's expected score, from which points are lost; null when it failed", 549.2, unit="points"),
    ] = None
    failure: Annotated[str | None, told("name of the error; null when it answered", "TimeoutError", None)] = None


class FeaturesUsed(Answer):
    """Values of a feature set that models read, null where missing, and when their facts were read."""

    source: Annotated[Source, told("where the features come from", "request")]
    observed_at: Annotated[
        datetime | None,
        told("when the facts were read; null when that was not recorded", "2005-10-01T00:00:01Z"),
    ]
    values: Annotated[
        dict[str, float | None],
        told("by feature; null where it is missing", {"limit_twd": 90000.0, "months_since_2m_arrears": 3.0}),
    ]


_FEATURES = {
    "source": "request",
    "observed_at": "2005-10-01T00:00:01Z",
    "values": {"limit_twd": 90000.0, "months_since_2m_arrears": 3.0},
}
_OUTPUT = {
    "model": "credit_scoring_taiwan_cards",
    "version": 1,
    "algorithm": "scorecard",
    "digest": "0f3c1d7a9be24c5f8a6d7e1b2c3d4e5f60718293a4b5c6d7e8f9a0b1c2d3e4f5",
    "feature_set": "fs-a9e021a8221d",
    "points": 532,
    "points_exact": 531.6653219253105,
    "prob_default": 0.2625226698036803,
    "base_points": 549.2,
    "failure": None,
}


class RecordedDecision(Decision):
    """A decision with what was received, and what it was made of."""

    decided_at: DecidedAt
    received: Annotated[
        Json,
        told("the body as it was received", {"application_id": "application-1", "applicant_id": "applicant-1"}),
    ]
    features: Annotated[dict[str, FeaturesUsed], told("by feature set", {"fs-a9e021a8221d": _FEATURES})]
    scores: Annotated[
        dict[Role, ModelOutput], told("what each model said, with the base of its points", {"champion": _OUTPUT})
    ]
    roles_sequence: Annotated[
        int | None,
        told("row of the roles' history that held; null when that was not recorded", 1, low=1),
    ]


class Decisions(Answer):
    """A page of decisions, the newest first."""

    decisions: Annotated[tuple[Decision, ...], Field(description="the page, the newest first")]
    next: Next
