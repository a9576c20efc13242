"""Probes, metrics, and the answer to a method that a route does not take."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Match

from credit_scoring.serving.endpoints import in_thread
from credit_scoring.serving.http_errors import http_problem
from credit_scoring.serving.resources import Resources


def add_operation_routes(app: FastAPI, resources: Resources) -> None:
    """Add ``/metrics`` and, for servers that have no probes of their own as BentoML's has, ``/livez`` and ``/readyz``.

    They are open: what they tell names no applicant and no caller.
    """

    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        return PlainTextResponse("")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        ready = await in_thread(resources.is_ready)
        return PlainTextResponse("", HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        content, content_type = await in_thread(resources.metrics)
        return Response(content, media_type=content_type)

    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _method_not_allowed)  # type: ignore[arg-type]


def _method_not_allowed(request: Request, exc: HTTPException) -> Response:
    """Name the methods of all routes that have this path; Starlette names those of the first."""
    allowed = sorted({method for route in request.app.routes for method in _methods(route, request)})
    return http_problem(request, HTTPException(exc.status_code, headers={"Allow": ", ".join(allowed)}))


def _methods(route: BaseRoute, request: Request) -> set[str]:
    matched, _ = route.matches(request.scope)
    return set() if matched is Match.NONE else set(getattr(route, "methods", None) or ())
