"""The HTTP API, version 1: routes that read a request, call the use case and render its answer."""

from functools import partial
from http import HTTPStatus
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.requests import Request

from credit_scoring.core.records import Decision
from credit_scoring.serving.bodies import read_body
from credit_scoring.serving.http_errors import Problem, RefusedBodyError, add_error_handlers, responses
from credit_scoring.serving.request_ids import RequestIds, request_id_of
from credit_scoring.serving.schemas import RecordedDecision, application_body, to_application
from credit_scoring.usecases.decide_application import Decider

API_VERSION = "1.0.0"
DEADLINE_S = 8.0
"""Longest that a decision may take; BentoML cuts a request off after 10 seconds, without a problem to read."""


def create_app(decider: Decider) -> FastAPI:
    """Return the API of one portfolio, deciding by ``decider``."""
    portfolio = decider.models["champion"].bundle.portfolio
    app: FastAPI = FastAPIOffline(
        title=f"Credit decisions: {portfolio.title}", version=API_VERSION, description=portfolio.description
    )
    app.add_middleware(RequestIds)
    add_error_handlers(app)
    body = application_body(portfolio, decider.models["challenger"].bundle.portfolio)
    _add_routes(app, decider, body)
    _describe(app, {body.__name__: body, Problem.__name__: Problem})
    return app


def _add_routes(app: FastAPI, decider: Decider, body: type[BaseModel]) -> None:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")

    @app.post(
        "/v1/decisions",
        summary="Decide one application",
        response_model=Decision,
        responses=responses(404, 413, 415, 422, 500, 503, 504),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def decide(request: Request) -> Response:
        checked = await read_body(request, body)
        application = to_application(checked.body, checked.received, request_id_of(request))
        decision: Decision = await _in_time(partial(decider.decide, application))
        return _json(decision)

    @app.get(
        "/v1/decisions/{decision_id}",
        summary="Read a decision and what it was made of",
        response_model=RecordedDecision,
        responses=responses(404, 500, 503, 504),
    )
    async def read_decision(decision_id: str) -> Response:
        record = await _in_time(partial(decider.recorded, decision_id))
        return _json(
            RecordedDecision(
                **dict(record.answer),
                decided_at=record.decided_at,
                received=record.received,
                feature_values={name: dict(values) for name, values in record.feature_values.items()},
                scores=dict(record.scores),
            )
        )


async def _in_time(work: partial[Any]) -> Any:
    """Run ``work`` on a worker thread; past the deadline its answer is given up, and a retry finds its record."""
    try:
        with anyio.fail_after(DEADLINE_S):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except TimeoutError as exc:
        raise RefusedBodyError(
            HTTPStatus.GATEWAY_TIMEOUT, "timeout", "The decision took too long. Send the same request again."
        ) from exc


def _json(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), media_type="application/json")


def _describe(app: FastAPI, models: dict[str, type[BaseModel]]) -> None:
    """Add models that no signature names to the API's description."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = described().setdefault("components", {}).setdefault("schemas", {})
            for name, model in models.items():
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[name] = schema
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
