"""Addresses that no route has and that BentoML's router would answer itself, in words of its own."""

import re
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

_PLAIN = re.compile(r"/[^\x00-\x1f\x7f-\x9f]*")


class PlainPaths:
    """ASGI middleware that answers a path with control characters, and one like ``*``, by the problem of any other.

    A router's pattern for any path ends at a line break, and its pattern for one path overlooks one at the end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if its path is plain."""
        if scope["type"] != "http" or _PLAIN.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        from starlette.exceptions import HTTPException  # noqa: PLC0415 - not in the server's process
        from starlette.requests import Request  # noqa: PLC0415

        from credit_scoring.serving.http_errors import http_problem  # noqa: PLC0415

        response = http_problem(Request(scope), HTTPException(HTTPStatus.NOT_FOUND))
        await response(scope, receive, send)
