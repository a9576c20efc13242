"""Who decides: roles as they are answered."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from credit_scoring.api.decisions import Answer

Strategy = Literal["champion_only", "shadow", "sticky_split", "scheduled_ramp"]


class RegisteredModel(Answer):
    """A registered version of a model; ``digest`` proves that it is the one."""

    name: str
    version: int
    algorithm: str
    digest: Annotated[str, Field(description="SHA-256 of the bundle's manifest, which holds all its checksums")]


class RampStepAnswer(Answer):
    """The challenger's share from a day on."""

    starts_on: Annotated[date, Field(description="0:00 UTC")]
    challenger_share: float


class RoutingAnswer(Answer):
    """How applicants are parted between the models."""

    strategy: Strategy
    challenger_share: Annotated[
        float, Field(ge=0, le=1, description="share of applicants whom the challenger decides at that moment")
    ]
    steps: Annotated[
        tuple[RampStepAnswer, ...] | None, Field(description="of a scheduled ramp; null under any other strategy")
    ]


class ExperimentAnswer(Answer):
    """The experiment; the salt that draws applicants is told to nobody."""

    id: str
    routing: RoutingAnswer


class RolesInForce(Answer):
    """The row of the roles' history that holds, or held at the moment that was asked for."""

    sequence: Annotated[int, Field(ge=1, description="number of the row; records of decisions name it")]
    since: datetime
    cause: Annotated[str, Field(description="why the row was added, such as 'seed'")]
    champion: RegisteredModel
    challenger: RegisteredModel
    experiment: ExperimentAnswer
    following: Annotated[
        int,
        Field(description="row by which the process that answers decides now; it follows a new one within 5 seconds"),
    ]
