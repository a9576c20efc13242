"""The service's sources with a staged package, served by processes of their own: a Bento's, or uvicorn alone."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
from server_process import await_ready, free_port
from service_package import stage

from credit_scoring.core.scoring import ModelBundle

PROJECT = Path(__file__).parents[1]
UNLIMITED = "none; POST /v1/decisions/batch=none"
_IN_VAIN = (httpx.TransportError, psutil.NoSuchProcess)

BARE = """
import sys
sys.path.insert(0, "src")
from pathlib import Path
import signal, uvicorn
from credit_scoring.adapters.bento_stage import STAGE
from credit_scoring.serving.request_ids import RequestIds
from credit_scoring.serving.worker import Worker
worker = Worker(Path(STAGE).absolute())
worker.open()
assert worker.is_ready
signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when it has ended
uvicorn.run(RequestIds(worker), fd=int(sys.argv[1]), log_level="warning", access_log=False)
worker.close()
"""
"""The worker as a Bento has it, without the server above it: it starts in half the time."""


class Sources:
    """A directory with the service's sources and a package, as they lie in a Bento."""

    def __init__(self, root: Path, champion: ModelBundle, challenger: ModelBundle) -> None:
        self.root = root
        shutil.copytree(PROJECT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(PROJECT / "service.py", root)
        self.package = stage(root / "build/bento", champion, challenger)

    def environment(self, database_url: str, more: Mapping[str, str]) -> dict[str, str]:
        own = {
            "BENTOML_HOME": str(self.root / "home"),
            "BENTOML_DO_NOT_TRACK": "true",
            "CREDIT_DATABASE_URL": database_url,
            "CREDIT_RATE_LIMITS": UNLIMITED,
            "TMPDIR": str(self.root),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDIT_")}
        return inherited | own | more


class Service:
    """A running service and all its processes."""

    def __init__(self, processes: "list[subprocess.Popen[bytes]]", port: int, log: Path) -> None:
        self.processes = processes
        self.port = port
        self.log = log

    def get(self, path: str, timeout_s: float = 10) -> httpx.Response:
        """The answer on a connection of its own, so that any worker may take it."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=timeout_s)

    def workers(self) -> list[psutil.Process]:
        """Processes that answer requests."""
        return [child for process in self.processes for child in psutil.Process(process.pid).children(recursive=True)]

    def kill(self) -> None:
        """End all processes at once, as a machine that loses its power does."""
        tree = [psutil.Process(process.pid) for process in self.processes]
        tree += [child for process in tree for child in process.children(recursive=True)]
        for sign in (signal.SIGSTOP, signal.SIGKILL):  # first, so that nobody tidies up after one who died earlier
            for process in tree:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(sign)
        for started in self.processes:
            started.wait(30)
        psutil.wait_procs(tree, timeout=30)

    def terminate(self, within_s: float = 60) -> None:
        """Ask it to end, and wait until it has, without an error."""
        for process in self.processes:
            process.terminate()
        assert [process.wait(within_s) for process in self.processes] == [0] * len(self.processes)


@contextmanager
def bento(sources: Sources, database_url: str, *, workers: int, port: int = 0, **more: str) -> Iterator[Service]:
    """The service under BentoML, ready in every worker."""
    port, log = port or free_port(), sources.root / "serve.log"
    command = [sys.executable, "-m", "bentoml", "serve", "service:CreditScoring", "--working-dir", "."]
    environment = sources.environment(database_url, {"CREDIT_WORKERS": str(workers)} | more)
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=sources.root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    service = Service([process], port, log)
    with _ended(service):
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            await_ready(client, process, log)
        assert eventually(lambda: log.read_text().count("Service %s initialized") >= workers), log.read_text()
        yield service


@contextmanager
def bare(sources: Sources, database_url: str, *, workers: int, port: int = 0, **more: str) -> Iterator[Service]:
    """As many workers without BentoML on one socket; what is asked before one is ready waits for it."""
    log, environment = sources.root / "bare.log", sources.environment(database_url, more)
    with socket.create_server(("127.0.0.1", port)) as listening, log.open("w") as output:
        listening.set_inheritable(True)
        descriptor = listening.fileno()
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", BARE, str(descriptor)],
                cwd=sources.root,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[descriptor],
            )
            for _ in range(workers)
        ]
        service = Service(processes, listening.getsockname()[1], log)
    with _ended(service):
        yield service


@contextmanager
def _ended(service: Service) -> Iterator[None]:
    try:
        yield
    finally:
        if any(process.poll() is None for process in service.processes):
            service.kill()


def port_to_come_back_to() -> int:
    """A free port that clients may ask while nobody listens: no connection of theirs gets it as its own end."""
    for port in range(10_000 + os.getpid() % 10_000, 30_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")


def eventually(holds: Callable[[], bool], within_s: float = 60, every_s: float = 0.1) -> bool:
    """Whether something holds before long."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except _IN_VAIN:
            pass
        time.sleep(every_s)
    return False
