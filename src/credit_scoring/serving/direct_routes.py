"""Routes that FastAPI describes and does not carry out: its machinery costs more than a decision does.

What FastAPI would find out anew for every request (which parameters there are, where they stand, whether the endpoint
is a coroutine) is known when the route is made. The endpoint is the same function with the same parameters; what it
raises is answered by the same handlers. The measured ratio is in ``docs/adr/0017-direct-routes.md``.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from credit_scoring.core.callers import AccessScope
from credit_scoring.serving.admission import Guard
from credit_scoring.serving.endpoints import IdempotencyKey, admit
from credit_scoring.serving.headers import header_of

_KEY: TypeAdapter[str | None] = TypeAdapter(IdempotencyKey)
_KEY_HEADER = "Idempotency-Key"


class DirectRoute(APIRoute):
    """A route with one method and no parameters in its address, answered by ``endpoint(request, caller, key)``."""

    guard: Guard
    access: AccessScope

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request to this route."""
        scope["route"] = self
        request = Request(scope, receive, send)
        caller = await admit(request, self.guard, self.access)
        response = await self.endpoint(request, caller, _idempotency_key(scope))
        await response(scope, receive, send)


class DirectRoutes:
    """ASGI app that answers requests to direct routes, and passes all others on to the app that has these routes."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._routes = {
            (method, route.path): ExceptionMiddleware(route.answer, app.exception_handlers)
            for route in app.routes
            if isinstance(route, DirectRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        at_root = scope["type"] == "http" and not scope.get("root_path")
        route = self._routes.get((scope["method"], scope["path"])) if at_root else None
        await (route or self._app)(scope, receive, send)


def direct_route(guard: Guard, access: AccessScope) -> type[DirectRoute]:
    """Return the kind of route that lets those pass who may ``access``."""
    return type("DirectRoute", (DirectRoute,), {"guard": guard, "access": access})


def _idempotency_key(scope: Scope) -> str | None:
    """Return the header as FastAPI would.

    Raises:
        RequestValidationError: If it is not what the description says.
    """
    sent = header_of(scope, b"idempotency-key")
    if sent is None:
        return None
    try:
        return _KEY.validate_python(sent)
    except ValidationError as exc:
        faults: list[Any] = [fault | {"loc": ("header", _KEY_HEADER)} for fault in exc.errors(include_url=False)]
        raise RequestValidationError(faults) from None
