"""A request's id: the caller's if it is sane, else a new one; on every response and in every record."""

import re
from secrets import token_hex

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credit_scoring.serving.headers import header_of

HEADER = "X-Request-ID"
_HEADER = b"x-request-id"

_SANE = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_STATE = "request_id"


class RequestIds:
    """ASGI middleware that gives each request its id; wrapped twice, the outer one decides."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its id in its state, and put the id on the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if _STATE in state:
            await self._app(scope, receive, send)
            return
        request_id = state[_STATE] = _given(scope) or token_hex(16)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                others = [header for header in message.get("headers", ()) if header[0] != _HEADER]
                message["headers"] = [*others, (_HEADER, request_id.encode("ascii"))]
            await send(message)

        await self._app(scope, receive, send_with_id)


def request_id_of(request: Request) -> str:
    """Return the id that the middleware gave this request."""
    return str(request.scope["state"][_STATE])


def _given(scope: Scope) -> str | None:
    given = header_of(scope, _HEADER)
    return given if given is not None and _SANE.fullmatch(given) else None
