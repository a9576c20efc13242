"""One access line, the metrics and the span of each request, whatever becomes of it."""

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credit_scoring.serving.headers import header_of

if TYPE_CHECKING:
    from credit_scoring.serving.telemetry import Telemetry
    from credit_scoring.serving.tracing import RequestSpan

UNMATCHED = "unmatched"
"""Route of all requests that have none: made-up paths must not become labels."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD = "OTHER"
CLOSED_BY_CLIENT = 499
"""What is told as status where no answer was begun and none failed: the caller, or the server, gave the request up."""

FAILED = 500

_AUTH_REFUSALS: dict[int, str] = {HTTPStatus.UNAUTHORIZED: "unauthenticated", HTTPStatus.FORBIDDEN: "forbidden"}
_SERVERS_OWN = frozenset({"/livez", "/readyz", "/healthz", "/schema.json"})


class Observed:
    """ASGI middleware; ``telemetry`` gives where to tell, or None while nothing is told yet.

    The key's id and the route's template are read after the request from its state (``key_id``, ``route``), where
    whoever admits it puts them; a route that is not there is the one that the router found.
    """

    def __init__(
        self,
        app: ASGIApp,
        telemetry: "Callable[[], Telemetry | None]",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and tell of it when it is over."""
        telemetry = self._telemetry()
        if scope["type"] != "http" or telemetry is None:
            await self._app(scope, receive, send)
            return
        if telemetry.tracing is None:
            await self._observe(_Request(scope, telemetry, self._clock), receive, send)
            return
        with telemetry.tracing.request(Headers(scope=scope)) as span:
            await self._observe(_Request(scope, telemetry, self._clock, span), receive, send)

    async def _observe(self, request: "_Request", receive: Receive, send: Send) -> None:
        async def receive_observed() -> Message:
            message = await receive()
            request.received(message)
            return message

        async def send_observed(message: Message) -> None:
            request.sent(message)
            await send(message)

        with request:
            await self._app(request.scope, receive_observed, send_observed)


class _Request:
    """What is seen of one request."""

    __slots__ = ("_clock", "_complete", "_given_up", "_since", "_span", "_status", "_telemetry", "_told", "scope")

    def __init__(
        self, scope: Scope, telemetry: "Telemetry", clock: Callable[[], float], span: "RequestSpan | None" = None
    ) -> None:
        self.scope = scope
        self._telemetry = telemetry
        self._clock = clock
        self._span = span
        self._status: int | None = None
        self._complete = False
        self._given_up = False

    def received(self, message: Message) -> None:
        self._given_up |= message["type"] == "http.disconnect" and not self._complete

    def sent(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body":
            self._complete = not message.get("more_body", False)

    def __enter__(self) -> Self:
        self._since = self._clock()
        trace_id = self._span.trace_id if self._span else None
        self._told = self._telemetry.of_request(
            self._state.get("request_id"), trace_id, header_of(self.scope, b"traceparent")
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell(error)
        self._telemetry.request_over(self._told)

    @property
    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.scope.get("state") or {}
        return state

    def _tell(self, error: BaseException | None) -> None:
        seconds = self._clock() - self._since
        status, outcome = self._ended(error)
        route, method = _route(self.scope), _method(self.scope)
        self._count(route, method, status, seconds)
        line = {"route": route, "method": method, "status": status, "duration_ms": round(seconds * 1000, 2)}
        line["key_id"] = self._state.get("key_id")
        if outcome != "answered":
            line["outcome"] = outcome
        if error is not None:
            line["error"] = type(error).__name__
        say = self._telemetry.log.error if status >= FAILED else self._telemetry.log.info
        say("request", **line)
        if self._span:
            self._span.tell(route=route, method=method, status=status, request_id=self._state.get("request_id"))

    def _count(self, route: str, method: str, status: int, seconds: float) -> None:
        metrics = self._telemetry.metrics
        metrics.answered(route, method, f"{status // 100}xx", seconds)
        if status in _AUTH_REFUSALS:
            metrics.auth_refused(_AUTH_REFUSALS[status])
        elif status == HTTPStatus.TOO_MANY_REQUESTS:
            metrics.rate_limited(route)

    def _ended(self, error: BaseException | None) -> tuple[int, str]:
        """Return the status, and how the request ended."""
        if self._given_up:
            return self._status or CLOSED_BY_CLIENT, "disconnected"
        if self._complete:
            return self._status or FAILED, "answered"
        if isinstance(error, asyncio.CancelledError):
            return self._status or CLOSED_BY_CLIENT, "cancelled"
        return self._status or FAILED, "failed"


def _route(scope: Scope) -> str:
    told = (scope.get("state") or {}).get("route")
    if told:
        return str(told)
    if scope["path"] in _SERVERS_OWN:
        return str(scope["path"])
    found = getattr(scope.get("route"), "path", None)
    # A mount has no path of its own, and a route that takes every path is where unknown ones end.
    return found if isinstance(found, str) and found and ":path}" not in found else UNMATCHED


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else OTHER_METHOD
