"""Read who decides, now or at a moment."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import Response
from starlette.requests import Request

from credit_scoring.api.roles import ExperimentAnswer, RampStepAnswer, RegisteredModel, RolesInForce, RoutingAnswer
from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import NoRolesError
from credit_scoring.core.roles import BundleRef, RolesRow, Routing, ScheduledRampRouting
from credit_scoring.core.routing import challenger_share
from credit_scoring.serving.declared_types import Moment
from credit_scoring.serving.endpoints import admitted, described, in_thread
from credit_scoring.serving.http_errors import answer
from credit_scoring.serving.problems import RefusedBodyError
from credit_scoring.serving.resources import Resources


def add_role_routes(app: FastAPI, resources: Resources) -> None:
    """Add ``GET /v1/roles``."""
    read = admitted(resources.guard, "read")

    @app.get(
        "/v1/roles",
        response_model=RolesInForce,
        **described(
            "read",
            "Read which models decide, or decided at a moment",
            "no_roles",
            told="Gives champion, challenger and the experiment between them, as the roles' history has them.",
        ),
    )
    async def roles(
        request: Request,
        _caller: Annotated[Caller, read],
        at: Annotated[
            Moment | None,
            Query(description="a moment that has passed; by default now", examples=["2005-10-01T00:00:00Z"]),
        ] = None,
    ) -> Response:
        now = resources.clock()
        if at is not None and at > now:
            raise RefusedBodyError("invalid_parameter", "'at' lies in the future. Ask for a moment that has passed.")
        row = await in_thread(resources.roles.at, resources.portfolio, at or now)
        if row is None:
            raise NoRolesError
        return answer(request, _in_force(row, resources.assignment().sequence, at or now))


def _in_force(row: RolesRow, following: int, at: datetime) -> RolesInForce:
    experiment = row.roles.experiment
    return RolesInForce(
        sequence=row.sequence,
        since=row.recorded_at,
        cause=row.cause,
        champion=_registered(row.roles.champion),
        challenger=_registered(row.roles.challenger),
        experiment=ExperimentAnswer(id=experiment.id, routing=_routing(experiment.routing, at)),
        following=following,
    )


def _registered(ref: BundleRef) -> RegisteredModel:
    return RegisteredModel(name=ref.model, version=ref.version, algorithm=ref.algorithm, digest=ref.digest)


def _routing(routing: Routing, at: datetime) -> RoutingAnswer:
    steps = None
    if isinstance(routing, ScheduledRampRouting):
        steps = tuple(
            RampStepAnswer(starts_on=step.starts_on, challenger_share=step.challenger_share) for step in routing.steps
        )
    share = challenger_share(routing, at.astimezone(UTC).date())
    return RoutingAnswer(strategy=routing.strategy, challenger_share=share, steps=steps)
