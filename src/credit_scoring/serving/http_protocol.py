"""Uvicorn's HTTP protocol with an end to what may come before a body, and a short way for what comes most often.

Uvicorn itself bounds neither the size nor the time of a head: its parser joins a header that comes in pieces by copying
all it has, so one endless header takes the worker's whole time, and its memory.

Above a mounted app BentoML has layers of its own, of which ours needs none: they are switched off, or overruled by
limits of ours, and cost as much as a decision all the same. One keeps a timer of ``traffic.timeout`` seconds for every
request there was. Requests to one address, ``Direct``, go from the protocol to our app at once.
"""

import logging
from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast
from uuid import uuid4

from starlette.types import ASGIApp
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from credit_scoring.api.problems import Problem
from credit_scoring.serving.problems import PROBLEM_JSON

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

LARGEST_HEAD_BYTES = 64 * 2**10
MOST_HEADERS = 100
LINGER_S = 1.0
"""How long a refused client may go on sending: closed at once, its own bytes would reset the answer away."""

logger = logging.getLogger(__name__)


class Direct(NamedTuple):
    """The address of what comes most often, and what answers it, whatever the method."""

    path: str
    app: ASGIApp


class HeadersTooLargeError(ValueError):
    """Stops the parser."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 to a request line and headers without bearable end, and closes what sends none for too long."""

    slowest_head_s: ClassVar[float] = 10.0
    """How long a connection may take to tell a whole head, while it waits for no answer."""

    direct: ClassVar[Direct | None] = None
    """None has the server's app answer all requests."""

    _deadline: TimerHandle | None = None
    _in_head = False
    _went_on = False
    _in_vain = 0  # bytes of chunks that began no request, ended no head and brought no body: trailers count, too
    _refused = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False  # the service has a line of its own for each request, and uvicorn's names raw paths

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn does
        """Give the first head its time from the first moment."""
        super().connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._drop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a chunk, then look what it brought: a body in the same chunk as a head's end is not counted."""
        if self._refused:
            return
        self._went_on = False
        super().data_received(data)
        self._in_vain = 0 if self._went_on else self._in_vain + len(data)
        if self._refused or self.transport.is_closing():
            return
        if self._in_vain > LARGEST_HEAD_BYTES:
            self._refuse()
        elif self._deadline is None and (self._in_head or self._is_idle) and self.transport.get_protocol() is self:
            self._set_deadline()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = self._went_on = True

    def on_headers_complete(self) -> None:
        """Pass the request on, unless its head came as a whole and is too large."""
        self._in_head, self._went_on = False, True
        self._drop_deadline()
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if size > LARGEST_HEAD_BYTES or len(self.headers) > MOST_HEADERS:
            self._refuse()
            raise HeadersTooLargeError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on; how much of it comes, and how fast, is the application's to bound."""
        self._went_on = True
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Tell what cannot be parsed, unless it is what was refused."""
        if not self._refused:
            super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        if self.direct is not None and app is self.app and cycle.scope["path"] == self.direct.path:
            app = cast("ASGI3Application", self.direct.app)
        super()._start_asgi_task(cycle, app)

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _refuse(self) -> None:
        self._refused = True
        self._drop_deadline()
        if not self._is_idle:  # an answer is due to an earlier request, and this one's would be taken for it
            self.transport.close()
            return
        request_id = uuid4().hex
        logger.warning("headers_too_large request_id=%s", request_id)
        self.transport.write(_answer(request_id))
        self._deadline = self.loop.call_later(LINGER_S, self.transport.close)

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.slowest_head_s, self._too_slow)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if self._is_idle:
            self.transport.close()
        else:  # the answer to an earlier request is still due
            self._set_deadline()


def serve_with(direct: Direct) -> None:
    """Let every server that this process starts from now on, and that names no protocol, use the one above."""
    BoundedHttpProtocol.direct = direct
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedHttpProtocol.__name__}"


def _answer(request_id: str) -> bytes:
    detail = f"The headers may have {LARGEST_HEAD_BYTES} bytes in {MOST_HEADERS} lines. Send fewer or shorter ones."
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    problem = Problem(
        title=status.phrase, status=status, code="headers_too_large", detail=detail, request_id=request_id
    )
    content = problem.model_dump_json(exclude_none=True).encode()
    headers = (
        f"content-type: {PROBLEM_JSON}\r\ncontent-length: {len(content)}\r\n"
        f"x-request-id: {request_id}\r\nconnection: close\r\n\r\n"
    )
    return STATUS_LINE[status] + headers.encode() + content
