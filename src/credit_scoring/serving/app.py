"""The HTTP API, version 1: its routes, its errors and its description."""

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.requests import Request

from credit_scoring.serving.description import describe
from credit_scoring.serving.http_errors import add_error_handlers
from credit_scoring.serving.request_bodies import RequestBodies
from credit_scoring.serving.request_ids import RequestIds
from credit_scoring.serving.resources import Resources
from credit_scoring.serving.routes.applicants import add_applicant_routes
from credit_scoring.serving.routes.decisions import add_decision_routes
from credit_scoring.serving.routes.models import add_model_routes
from credit_scoring.serving.routes.operations import add_operation_routes
from credit_scoring.serving.routes.replays import add_replay_routes
from credit_scoring.serving.routes.roles import add_role_routes


def create_app(resources: Resources, bodies: RequestBodies) -> FastAPI:
    """Return the API of one portfolio; ``bodies`` are those that the models in role declare."""
    portfolio = resources.assignment().portfolio
    app: FastAPI = FastAPIOffline(
        title=f"Credit decisions: {portfolio.title}",
        description=portfolio.description,
        separate_input_output_schemas=False,
        redoc_url=None,
        redirect_slashes=False,  # an address that is nearly right is told to be wrong, not answered with another
    )
    app.add_middleware(RequestIds)
    add_error_handlers(app)

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")

    @app.get("/redoc", include_in_schema=False)
    async def redoc(request: Request) -> HTMLResponse:
        return _redoc(app.title, request.scope.get("root_path", ""))

    add_decision_routes(app, resources, bodies)
    add_replay_routes(app, resources)
    add_applicant_routes(app, resources, bodies)
    add_role_routes(app, resources)
    add_model_routes(app, resources)
    add_operation_routes(app, resources)
    describe(app, bodies)
    return app


def _redoc(title: str, root: str) -> HTMLResponse:
    """Return ReDoc without the patterns of ids, which the descriptions tell in words."""
    static = f"{root}/static-offline-docs"
    page = get_redoc_html(
        openapi_url=f"{root}/openapi.json",
        title=f"{title} - ReDoc",
        redoc_js_url=f"{static}/redoc.standalone.js",
        redoc_favicon_url=f"{static}/favicon.png",
        with_google_fonts=False,
    )
    return HTMLResponse(bytes(page.body).decode().replace("<redoc ", "<redoc hide-schema-pattern ", 1))
