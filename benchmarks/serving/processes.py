"""Servers as processes: started on loopback, measured with all their children, and ended by their process ids."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

READY_S = 180
ENDS_WITHIN_S = 20
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1"
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "POLARS_MAX", "NUMBA")
} | {"POLARS_MAX_THREADS": "1"}
"""All variants: a second thread doubles what a single row costs and gains nothing."""


class ServerError(RuntimeError):
    """A server did not start, ended by itself, or answered what it should not."""


@dataclass(frozen=True)
class Command:
    """How a server is started; ``cpus`` are those that it may use.

    ``ready`` is the path that is asked until it answers 200; None waits until the port takes connections.
    """

    arguments: Sequence[str | Path]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: str | None = "/readyz"
    cpus: frozenset[int] | None = None


@dataclass(frozen=True)
class Server:
    """A running server and all its processes."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def tree(self) -> list[psutil.Process]:
        """Return the process and all its descendants."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return user and system time of all processes so far, those that ended included."""
        times = [process.cpu_times() for process in self.tree()]
        return float(sum(t.user + t.system + t.children_user + t.children_system for t in times))

    def memory_mb(self) -> float:
        """Return the proportional set size: pages that processes share are counted once, parted among them."""
        return float(sum(process.memory_full_info().pss for process in self.tree()) / 2**20)

    def require_running(self) -> None:
        """Raise ServerError with the end of its log when the server has ended."""
        if self.process.poll() is not None:
            raise ServerError(f"The server ended with {self.process.returncode}:\n{_end_of(self.log)}")

    def end(self) -> None:
        """End all its processes, gently first."""
        with suppress(psutil.NoSuchProcess):
            tree = self.tree()
            self.process.send_signal(signal.SIGTERM)
            _, left = psutil.wait_procs(tree, timeout=ENDS_WITHIN_S)
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=ENDS_WITHIN_S)
        self.process.wait(ENDS_WITHIN_S)


@contextmanager
def running(command: Command, port: int, log: Path) -> Iterator[Server]:
    """Give a server that is ready; end it whatever happens.

    Raises:
        ServerError: If it ends or is not ready in time.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CREDIT_", "OTEL_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            [str(argument) for argument in command.arguments],
            cwd=command.directory,
            env={**inherited, **ONE_THREAD, "TMPDIR": str(command.directory), **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to handle; nobody else ends it half way
        )
    server = Server(process, port, log)
    try:
        if command.cpus is not None:
            os.sched_setaffinity(process.pid, command.cpus)  # at once: its children inherit it
        await_ready(server, command.ready)
        yield server
    finally:
        server.end()


def await_ready(server: Server, path: str | None) -> None:
    """Wait until the server answers 200 at ``path``, or takes connections when there is none.

    Raises:
        ServerError: If it ends or does not in time.
    """

    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=5):
                pass
            if path is None:
                return True
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    await_that(answers, server)


def await_that(answers: Callable[[], bool], server: Server) -> None:
    """Wait until ``answers`` holds.

    Raises:
        ServerError: If the server ends, or it does not hold in time.
    """
    deadline = time.monotonic() + READY_S
    while not answers():
        server.require_running()
        if time.monotonic() > deadline:
            raise ServerError(f"The server was not ready within {READY_S} s:\n{_end_of(server.log)}")
        time.sleep(0.2)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-3000:]
