"""Who decides: roles as they are answered."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from credit_scoring.api.decisions import Algorithm, Answer, Digest, ModelName, Version
from credit_scoring.api.fields import told

Strategy = Literal["champion_only", "shadow", "sticky_split", "scheduled_ramp"]


class RegisteredModel(Answer):
    """A registered version of a model; ``digest`` proves that it is the one."""

    name: ModelName
    version: Version
    algorithm: Algorithm
    digest: Digest


class RampStepAnswer(Answer):
    """The challenger's share from a day on."""

    starts_on: Annotated[date, told("the day, from 0:00 UTC on", "2005-11-01")]
    challenger_share: Annotated[
        float, told("share of applicants whom the challenger decides, 0 to 1", 0.25, low=0, high=1)
    ]


class RoutingAnswer(Answer):
    """How applicants are parted between the models."""

    strategy: Annotated[Strategy, told("how the share comes about", "sticky_split")]
    challenger_share: Annotated[
        float,
        Field(ge=0, le=1, description="share of applicants whom the challenger decides at that moment", examples=[0.1]),
    ]
    steps: Annotated[
        tuple[RampStepAnswer, ...] | None, Field(description="of a scheduled ramp; null under any other strategy")
    ]


class ExperimentAnswer(Answer):
    """The experiment; the salt that draws applicants is told to nobody."""

    id: Annotated[str, told("names the experiment", "2005-10")]
    routing: Annotated[RoutingAnswer, Field(description="how applicants are parted at that moment")]


class RolesInForce(Answer):
    """The row of the roles' history that holds, or held at the moment that was asked for."""

    sequence: Annotated[int, Field(ge=1, description="number of the row; records of decisions name it", examples=[1])]
    since: Annotated[datetime, told("when the row was added", "2005-10-01T00:00:00Z")]
    cause: Annotated[str, told("why the row was added", "seed")]
    champion: Annotated[RegisteredModel, Field(description="the model that decides outside the challenger's arm")]
    challenger: Annotated[RegisteredModel, Field(description="the model that is tried")]
    experiment: Annotated[ExperimentAnswer, Field(description="how applicants are parted between them")]
    following: Annotated[
        int,
        told("row by which the process that answers decides now; it follows a new one within 5 seconds", 1, low=1),
    ]
