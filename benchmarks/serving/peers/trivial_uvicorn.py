"""The same trivial handler on uvicorn alone, for information."""

from answer import decide
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def ready(request: Request) -> Response:  # noqa: ARG001 - the protocol
    """Answer that it runs."""
    return Response()


app = Starlette(routes=[Route("/v1/decisions", decide, methods=["POST"]), Route("/readyz", ready)])
