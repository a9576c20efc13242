"""A listening socket that several workers have in common, of which each takes its even share.

Left to uvloop, the worker that wakes up first accepts all that wait, so that most connections, or all, end at one of
them (ADR 0018). Here every worker looks how many wait and how many each of its siblings holds, and takes what brings
all to one level. What is a sibling's stays in the kernel's queue: nothing is handed over, nothing is lost between.
"""

import asyncio
import errno
import logging
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import uvloop

from credit_scoring.serving.metrics_files import Slot
from credit_scoring.serving.open_connections import SILENT_S, OpenConnections, own_share

LOOK_AGAIN_S = 0.001
"""How long a worker looks away from connections that are its siblings'; they would wake it without end."""
BEAT_S = SILENT_S / 5
OUT_OF_FILES_S = 1.0

_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_WAITING = struct.Struct("=24xII")
"""Of the kernel's ``tcp_info``: tcpi_unacked and tcpi_sacked, a listening socket's length and limit of its queue."""

logger = logging.getLogger(__name__)
ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class SharingLoop(uvloop.Loop):
    """uvloop whose servers on a given socket take this worker's share; without ``held``, or with TLS, it is uvloop."""

    held: ClassVar[OpenConnections | None] = None

    async def create_server(
        self, protocol_factory: ProtocolFactory, *where: Any, sock: socket.socket | None = None, **how: Any
    ) -> Any:
        """See asyncio's loops."""
        backlog = how.get("backlog", 100)
        if sock is None or how.get("ssl") is not None or self.held is None or not _listens(sock, backlog):
            return await super().create_server(protocol_factory, *where, sock=sock, **how)
        return SharingServer(self, protocol_factory, sock, self.held)


class SharingServer:
    """Takes this worker's share of what waits at ``listening``, which the caller closes after it.

    It has what uvicorn uses of asyncio's servers.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, factory: ProtocolFactory, listening: socket.socket, held: OpenConnections
    ) -> None:
        self.sockets = (listening,)
        self._loop = loop
        self._factory = factory
        self._listening = listening
        self._descriptor = listening.fileno()
        self._held = held
        self._accepting: set[asyncio.Task[Any]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = False
        self._take_part()

    def close(self) -> None:
        """Take no more; connections that are open stay so."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        for timer in self._timers.values():
            timer.cancel()
        self._held.away()

    async def wait_closed(self) -> None:
        """Return at once: whose connections they are waits for them."""

    def _look(self) -> None:
        siblings = self._held.of_siblings()  # before what waits: one that is accepted meanwhile is not counted twice
        waiting = _waiting(self._listening)
        share = own_share(self._held.own, siblings, waiting)
        if waiting and not share:
            self._look_away()
        for _ in range(share):
            if not self._accept():
                break

    def _accept(self) -> bool:
        """Take one connection, and tell whether to go on."""
        try:
            accepted, _ = self._listening.accept()
        except BlockingIOError:
            return False
        except OSError as exc:
            if exc.errno in _OUT_OF_FILES:
                logger.warning("connections_wait errno=%s", errno.errorcode[exc.errno])
                self._stand_back()
                return False
            return True  # a client that is gone already
        connection = _Counted(accepted, self._held)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        return True

    def _take_part(self) -> None:
        self._beat()
        self._look_again()

    def _stand_back(self) -> None:
        """Leave everything to the siblings, until some connections may have ended."""
        self._timers.pop("beat").cancel()
        self._held.away()
        self._loop.remove_reader(self._descriptor)
        self._timers["look"] = self._loop.call_later(OUT_OF_FILES_S, self._take_part)

    def _look_away(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._timers["look"] = self._loop.call_later(LOOK_AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        self._loop.add_reader(self._descriptor, self._look)

    def _beat(self) -> None:
        self._held.here()
        self._timers["beat"] = self._loop.call_later(BEAT_S, self._beat)


class _Counted(socket.socket):
    """A connection that counts as held until its transport gives it up: asyncio's by close, uvloop's by detach."""

    __slots__ = ("_held",)

    def __init__(self, accepted: socket.socket, held: OpenConnections) -> None:
        family, kind, number = accepted.family, accepted.type, accepted.proto
        super().__init__(family, kind, number, fileno=accepted.detach())
        self.setblocking(False)
        self._held: OpenConnections | None = held
        held.opened()

    def detach(self) -> int:
        self._give_up()
        return super().detach()

    def close(self) -> None:
        self._give_up()
        super().close()

    def _give_up(self) -> None:
        if self._held is not None:
            self._held.closed()
            self._held = None


def share(slot: Slot, workers: int) -> None:
    """Share what servers of this process listen for from now on with the other ``workers`` of its server."""
    rows = 2 * workers  # a worker that takes the place of another may start before the other's last request ends
    if slot.number < rows:
        SharingLoop.held = OpenConnections(slot.directory, slot.number, rows)


def loop_factory(use_subprocess: bool = False) -> Callable[[], asyncio.AbstractEventLoop]:  # noqa: ARG001 - uvicorn's
    """Return what uvicorn makes its loop with."""
    return SharingLoop


def _listens(listening: socket.socket, backlog: int) -> bool:
    """Make it listen, and tell whether the kernel says how many wait there."""
    listening.listen(backlog)
    listening.setblocking(False)
    return _queue(listening)[1] > 0


def _waiting(listening: socket.socket) -> int:
    return _queue(listening)[0]


def _queue(listening: socket.socket) -> tuple[int, int]:
    """Return how many connections wait at a socket and how many may; zeros where the kernel does not say."""
    if sys.platform != "linux":
        return 0, 0
    try:
        waiting, limit = _WAITING.unpack(listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size))
    except (OSError, struct.error):  # not TCP, or a kernel that knows less
        return 0, 0
    return waiting, limit
