"""Read which models are loaded, and what they are."""

from typing import Annotated

from fastapi import FastAPI, Path
from fastapi.responses import Response
from starlette.requests import Request

from credit_scoring.api.decisions import Role
from credit_scoring.api.models import LoadedModels, ModelCard
from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import UnknownModelError
from credit_scoring.core.model_cards import LoadedModel, loaded_model, model_card
from credit_scoring.serving.endpoints import admitted, described, in_thread
from credit_scoring.serving.http_errors import answer
from credit_scoring.serving.resources import Resources
from credit_scoring.usecases.assignment import Assignment

Version = Annotated[int, Path(ge=1, le=2**53, description="version of the model in the registry", examples=[1])]


def add_model_routes(app: FastAPI, resources: Resources) -> None:
    """Add the routes under ``/v1/models``."""
    read = admitted(resources.guard, "read")

    @app.get(
        "/v1/models",
        response_model=LoadedModels,
        **described(
            "read",
            "Read which models the answering process has loaded",
            told="Lists models by version, with the roles by which they decide now.",
        ),
    )
    async def models(request: Request, _caller: Annotated[Caller, read]) -> Response:
        assignment = resources.assignment()
        told = tuple(loaded_model(model, _role_of(model, assignment)) for model in resources.loaded_models())
        return answer(request, LoadedModels(models=told))

    @app.get(
        "/v1/models/{version}/card",
        response_model=ModelCard,
        **described(
            "read",
            "Read the card of a loaded model",
            "unknown_model",
            told="Tells what the model is for, what it was fitted on, how good it is, and what it is not good for.",
        ),
    )
    async def card(request: Request, _caller: Annotated[Caller, read], version: Version) -> Response:
        found = next((model for model in resources.loaded_models() if model.ref.version == version), None)
        if found is None:
            raise UnknownModelError
        return answer(request, await in_thread(model_card, found, _role_of(found, resources.assignment())))


def _role_of(model: LoadedModel, assignment: Assignment) -> Role | None:
    return next((role for role, held in assignment.models.items() if held.ref == model.ref), None)
