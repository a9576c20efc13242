"""Probes and metrics."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response

from credit_scoring.serving.endpoints import in_thread
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
