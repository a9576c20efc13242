"""One process of the service: how many there are, what it imports, and that it ends with the server it belongs to."""

import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send
from uvicorn.config import LOOP_FACTORIES

from credit_scoring.adapters.bento_stage import staged_portfolio
from credit_scoring.core.errors import BundleError
from credit_scoring.core.roles import model_name

if TYPE_CHECKING:
    from credit_scoring.serving.bootstrap import DecisionService
    from credit_scoring.serving.telemetry import Telemetry

WORKERS = "CREDIT_WORKERS"
SERVER_PID = "CREDIT_SERVER_PID"
"""Set by the server for its workers, never by people: the process without which a worker has no reason to be."""

LOOK_EVERY_S = 0.5
GRACE_S = 100.0
"""How long requests in hand may take after the server is gone; longer than any deadline. The port is free at once."""


class Worker:
    """The service in one worker process, as an ASGI app; what is heavy is imported when it opens."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._server_pid = _left_by_server()
        self._service: DecisionService | None = None
        self.telemetry: Telemetry | None = None

    @property
    def is_ready(self) -> bool:
        """Whether decisions can be made now."""
        return self._service is not None and self._service.is_ready

    def open(self) -> None:
        """Load everything; afterwards it is ready, or the log says why it is not."""
        if self._server_pid is not None:
            end_with(self._server_pid)
        from credit_scoring.serving.telemetry import open_telemetry  # noqa: PLC0415 - not in the server's process

        self.telemetry = open_telemetry(self._server_pid or os.getpid())
        if (slot := self.telemetry.slot) is not None and worker_count() > 1:
            from credit_scoring.serving.connections import share  # noqa: PLC0415 - not in the server's process

            share(slot, worker_count())
        from credit_scoring.serving.bootstrap import DecisionService  # noqa: PLC0415 - not in the server's process

        self._service = DecisionService(self._stage, self.telemetry)
        self._service.open()
        gc.collect()
        gc.freeze()  # what is loaded by now stays, and need not be searched for garbage while requests wait

    def close(self) -> None:
        """Let requests in hand end, and send what telemetry still holds."""
        if self._service is not None:
            self._service.close()
        if self.telemetry is not None:
            self.telemetry.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._service is None:
            raise RuntimeError("The worker answers requests after it was opened.")
        await self._service(scope, receive, send)


def bento_name(stage: Path) -> str:
    """Return the Bento's name after the portfolio that is staged.

    BentoML asks when it imports ``service.py``; without a package the process ends with one line, not a traceback.
    """
    try:
        return model_name(staged_portfolio(stage))
    except BundleError as exc:
        raise SystemExit(str(exc)) from exc


def worker_count() -> int:
    """Return how many processes shall answer requests, by ``CREDIT_WORKERS``; one when it is not set."""
    given = os.environ.get(WORKERS) or "1"
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 256):
        raise SystemExit(f"{WORKERS} is '{given[:20]}', which is no number of processes. Set it to 1 to 256.")
    return int(given)


def listen_together() -> None:
    """Let servers that this process starts from now on share their connections with their siblings', if there are any.

    That is ``connections``, which a worker that opens tells about its siblings; one worker alone listens as ever.
    """
    if worker_count() > 1:
        LOOP_FACTORIES["auto"] = "credit_scoring.serving.connections:loop_factory"


def end_with(server_pid: int, *, look_every_s: float = LOOK_EVERY_S, grace_s: float = GRACE_S) -> None:
    """End this process, after the requests in hand, as soon as its server is gone.

    BentoML's workers are sessions of their own: without this they outlive a server that was killed, and keep its port.
    """

    def watch() -> None:
        while os.getppid() == server_pid:
            time.sleep(look_every_s)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-server", daemon=True).start()


def _left_by_server() -> int | None:
    """Return the process id that the server left in the environment, and leave this process's own to its children."""
    left = os.environ.get(SERVER_PID)
    os.environ[SERVER_PID] = str(os.getpid())
    return int(left) if left else None
