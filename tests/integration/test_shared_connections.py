"""Real workers on one socket: uvicorn as the service sets it up, below an app that tells which process answers."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from credit_scoring.serving.connections import SharingLoop
from credit_scoring.serving.open_connections import OpenConnections

MOST = 4
PATIENT = 600.0
"""Seconds of silence that no living worker reaches, however busy the machine is, and that clients do not wait for."""
FAIRLY_PATIENT = 3.0
"""Where a test waits until a worker counts as silent."""

WORKER = """
import asyncio, os, resource, socket, sys
from pathlib import Path
import uvicorn
from credit_scoring.serving import open_connections
from credit_scoring.serving.metrics_files import take_slot

descriptor, home, silent_s, files = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
open_connections.SILENT_S = silent_s or open_connections.SILENT_S

from credit_scoring.serving.connections import share
from credit_scoring.serving.http_protocol import BoundedHttpProtocol
from credit_scoring.serving.worker import listen_together

async def app(scope, receive, send):
    while scope["path"] == "/held" and not (home / "let_go").exists():
        await asyncio.sleep(0.01)
    content = b"%d" % os.getpid()
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        if files:
            used = len(os.listdir("/dev/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        print("ready", flush=True)

listen_together()
slot = take_slot(os.getppid(), home / "slots")
share(slot, int(os.environ["CREDIT_WORKERS"]))
config = uvicorn.Config(app, lifespan="off", log_config=None, http=BoundedHttpProtocol, timeout_keep_alive=600)
Server(config).run(sockets=[socket.socket(fileno=descriptor)])
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many connections wait")


class Client:
    """A connection that stays open."""

    def __init__(self, port: int, *, asks: str | None = None) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        with suppress(BlockingIOError):
            self.socket.connect(("127.0.0.1", port))
        if asks is not None:
            self.ask(asks)

    def ask(self, path: str = "/") -> None:
        self.socket.settimeout(60)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def answer(self) -> int:
        """The process that answers."""
        with self.socket.makefile("rb") as stream:
            assert stream.readline().split()[1] == b"200"
            headers = dict(line.lower().split(b": ") for line in iter(lambda: stream.readline().strip(), b""))
            return int(stream.read(int(headers[b"content-length"])))

    def worker(self) -> int:
        """The process that this connection is with."""
        self.ask()
        return self.answer()

    def is_closed(self) -> bool:
        self.socket.settimeout(60)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


class Workers:
    """Processes that share one socket, and the connections to them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self.listening.getsockname()[1]
        self.processes: list[subprocess.Popen[str]] = []
        self.clients: list[Client] = []

    def start(self, *, silent_s: float = 0, files: int = 0) -> "subprocess.Popen[str]":
        """One more worker, which listens when this returns; by default as patient with siblings as in the service."""
        given = self.listening.fileno(), self.home, silent_s, files
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, given)],
            env=os.environ | {"CREDIT_WORKERS": str(MOST)},
            pass_fds=[self.listening.fileno()],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def connect(self, count: int, *, at_once: bool = True) -> list[Client]:
        """Connections that workers hold when this returns."""
        opened = []
        for _ in range(count):
            opened.append(Client(self.port))
            if not at_once:
                opened[-1].worker()
        self.clients += opened
        for client in opened:
            client.worker()
        return opened

    def spread(self) -> list[int]:
        """How many of all connections each process holds that holds any."""
        return sorted(Counter(client.worker() for client in self.clients).values())

    def of(self, process: "subprocess.Popen[str]", clients: list[Client]) -> list[Client]:
        """Those that are with a worker."""
        return [client for client in clients if client.worker() == process.pid]

    def forget(self, clients: list[Client]) -> None:
        """Hang up."""
        for client in clients:
            client.socket.close()
            self.clients.remove(client)

    def close(self, clients: list[Client]) -> None:
        """Hang up, and wait until the workers know."""
        self.forget(clients)
        assert eventually(lambda: sum(self.counted()) == len(self.clients))

    def counted(self) -> list[int]:
        """What living workers say they hold."""
        [directory] = (self.home / "slots").iterdir()
        return OpenConnections(directory, 2 * MOST - 1, 2 * MOST).of_siblings()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        for client in self.clients:
            client.socket.close()
        self.listening.close()


def eventually(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    every = Workers(tmp_path)
    yield every
    every.end()


@pytest.mark.parametrize("at_once", [True, False], ids=["at_once", "one_after_the_other"])
@pytest.mark.parametrize("count", [2, 4])
def test_every_worker_holds_an_even_share(count, at_once, workers):
    for _ in range(count):
        workers.start(silent_s=PATIENT)
    for connections in (8, 57):
        opened = workers.connect(connections, at_once=at_once)
        assert len(workers.spread()) == count
        assert max(workers.spread()) - min(workers.spread()) <= 1
        workers.close(opened)


def test_who_holds_fewest_gets_the_next(workers):
    first, _ = (workers.start(silent_s=PATIENT) for _ in range(2))
    workers.close(workers.of(first, workers.connect(8)))
    assert len(workers.of(first, workers.connect(3))) == 3
    assert workers.spread() == [3, 4]


def test_a_killed_worker_loses_its_own_connections_and_one_in_its_place_gets_its_share(workers):
    killed, kept = (workers.start(silent_s=FAIRLY_PATIENT) for _ in range(2))
    with_killed = workers.of(killed, workers.connect(8))
    killed.kill()
    killed.wait()
    assert all(client.is_closed() for client in with_killed)
    workers.forget(with_killed)
    workers.connect(4)
    assert {client.worker() for client in workers.clients} == {kept.pid}
    again = workers.start(silent_s=FAIRLY_PATIENT)
    assert len(workers.of(again, workers.connect(8))) == 8
    assert workers.spread() == [8, 8]


def test_a_stopped_worker_gets_none_until_it_goes_on(workers):
    stopped, kept = (workers.start(silent_s=FAIRLY_PATIENT) for _ in range(2))
    stopped.send_signal(signal.SIGSTOP)
    assert {client.worker() for client in workers.connect(6)} == {kept.pid}
    stopped.send_signal(signal.SIGCONT)
    assert eventually(lambda: len(workers.counted()) == 2)
    assert len(workers.of(stopped, workers.connect(6))) == 6


def test_a_worker_that_ends_takes_no_more_and_answers_what_it_has_in_hand(workers):
    ending, kept = (workers.start(silent_s=PATIENT) for _ in range(2))
    [idle, busy] = workers.of(ending, workers.connect(4))
    busy.ask("/held")
    ending.terminate()
    assert idle.is_closed()
    assert {client.worker() for client in workers.connect(4)} == {kept.pid}
    (workers.home / "let_go").touch()
    assert busy.answer() == ending.pid


def test_a_worker_without_free_descriptors_leaves_connections_to_its_sibling(workers):
    few, many = workers.start(files=4), workers.start()
    answered = Counter(client.worker() for client in workers.connect(32))
    assert answered[few.pid] + answered[many.pid] == 32
    assert 0 < answered[few.pid] < 16


@contextmanager
def server(tls: ssl.SSLContext | None = None) -> Iterator[tuple[SharingLoop, int, Any]]:
    """A server on a socket that it is given: its loop, its port and itself."""
    loop = SharingLoop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        started = loop.run_until_complete(loop.create_server(asyncio.Protocol, sock=listening, ssl=tls))
        yield loop, listening.getsockname()[1], started
        started.close()
        loop.run_until_complete(started.wait_closed())
    loop.close()


def listens_itself(tls: ssl.SSLContext | None = None) -> bool:
    """Whether uvloop's own server is used."""
    with server(tls) as (_, _, started):
        return isinstance(started, uvloop.loop.Server)


def test_without_siblings_and_with_tls_uvloop_listens_itself(tmp_path, monkeypatch):
    assert listens_itself()
    monkeypatch.setattr(SharingLoop, "held", OpenConnections(tmp_path, 0, 2))
    assert listens_itself(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    assert not listens_itself()


def test_a_closed_server_leaves_what_waits_to_others_that_have_the_socket(tmp_path, monkeypatch):
    held = OpenConnections(tmp_path, 0, 2)
    monkeypatch.setattr(SharingLoop, "held", held)

    async def until_taken() -> None:
        while not held.own:
            await asyncio.sleep(0.01)

    with server() as (loop, port, started):
        with socket.create_connection(("127.0.0.1", port)):
            loop.run_until_complete(asyncio.wait_for(until_taken(), 60))
        started.close()
        loop.run_until_complete(asyncio.sleep(0.1))  # the client of before has hung up
        with socket.create_connection(("127.0.0.1", port)):
            loop.run_until_complete(asyncio.sleep(0.1))
            assert held.own == 0
