"""The floor: the service's stack with a mounted Starlette app that reads JSON and answers what never varies."""

import os

import bentoml
from answer import decide
from starlette.applications import Starlette
from starlette.routing import Route

app = Starlette(routes=[Route("/v1/decisions", decide, methods=["POST"])])


@bentoml.service(
    workers=int(os.environ.get("WORKERS", "1")),
    traffic={"timeout": 100},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(app, path="/")
class Trivial:
    """Answers every POST."""
