import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from server_process import await_ready, free_port
from service_package import stage

from credit_scoring.core.scoring import ModelBundle

PROJECT = Path(__file__).parents[2]
READY_CPU_S = 10.0
"""What the server and one worker may compute until they are ready; on an idle machine that is their time."""

NOT_SERVED_WITH = {
    "kedro",
    "kedro_mlflow",
    "matplotlib",
    "mlflow",
    "optbinning",
    "pandas",
    "pandera",
    "shap",
    "sklearn",
}
OPENED = """
import json, sys
sys.path.insert(0, "src")
import service
in_server = sorted(sys.modules)
service.worker.open()
assert service.worker.is_ready
print("modules:" + json.dumps([in_server, sorted(sys.modules)]))
"""


@dataclass
class Served:
    """A server with its workers."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    def get(self, path: str, **options: Any) -> httpx.Response:
        """The answer on a connection of its own, so that any worker may take it."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10, **options)

    def workers(self) -> list[psutil.Process]:
        """Processes that answer requests."""
        return psutil.Process(self.process.pid).children()

    def counted(self, route: str) -> float:
        """Requests of a route, by the metrics that whichever worker tells."""
        lines = self.get("/metrics").text.splitlines()
        found = [line for line in lines if line.startswith("credit_http_requests_total{") and f'"{route}"' in line]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def opened(self) -> int:
        """How many workers there were until now."""
        return self.log.read_text().count("Service %s initialized")

    def held(self) -> list[int]:
        """How many connections each worker holds."""
        found = [worker.net_connections("tcp") for worker in self.workers()]
        return [sum(one.status == "ESTABLISHED" and one.laddr.port == self.port for one in of) for of in found]

    def lines(self) -> list[dict[str, Any]]:
        """Access lines of all workers."""
        told = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in told if line["event"] == "request"]


def eventually(holds: Callable[[], bool], within_s: float = 30) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except (httpx.TransportError, psutil.NoSuchProcess):
            pass
        time.sleep(0.1)
    return False


def can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def checkout(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The service's sources with a staged package, as they lie in a Bento."""
    directory = tmp_path_factory.mktemp("served")
    shutil.copytree(PROJECT / "src", directory / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "service.py", directory)
    stage(directory / "build/bento", scorecard_bundle, boosted_trees_bundle)
    return directory


def environment(checkout: Path, **more: str) -> dict[str, str]:
    own = {
        "BENTOML_HOME": str(checkout / "home"),
        "BENTOML_DO_NOT_TRACK": "true",
        "CREDIT_DATABASE_URL": f"sqlite:///{checkout}/data/credit.db",
        "TMPDIR": str(checkout),
    }
    return os.environ | own | more


@contextmanager
def serving(checkout: Path, workers: int) -> Iterator[Served]:
    port, log = free_port(), checkout / "serve.log"
    command = [sys.executable, "-m", "bentoml", "serve", "service:CreditScoring", "--working-dir", "."]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=checkout,
            env=environment(checkout, CREDIT_WORKERS=str(workers)),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    served = Served(process, port, log)
    started: list[psutil.Process] = []
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            await_ready(client, process, log)
        assert eventually(lambda: served.opened() >= workers)
        started = served.workers()
        yield served
    finally:
        if process.poll() is None:
            process.terminate()
            assert process.wait(30) == 0
        for worker in started:
            if worker.is_running():
                worker.kill()


@pytest.fixture(scope="module")
def served(checkout: Path) -> Iterator[Served]:
    with serving(checkout, workers=2) as two:
        yield two


def test_as_many_workers_answer_as_the_environment_says(served):
    assert len(served.workers()) == 2


def test_every_request_is_one_line_whichever_worker_answers(served):
    ids = [f"line-{number}" for number in range(40)]
    for request_id in ids:
        served.get(f"/made/up/{request_id}", headers={"X-Request-ID": request_id})
    assert eventually(lambda: {line["request_id"] for line in served.lines()} >= set(ids))
    told = Counter(line["request_id"] for line in served.lines())
    assert {told[request_id] for request_id in ids} == {1}
    assert "/made/up" not in served.log.read_text()


def test_any_worker_tells_the_metrics_of_all_also_of_one_that_was_killed(served):
    for _ in range(30):
        served.get("/livez")
    assert eventually(lambda: served.counted("/livez") == 30)
    killed = served.workers()[0]
    killed.send_signal(signal.SIGKILL)
    assert eventually(lambda: len(served.workers()) == 2 and killed not in served.workers(), within_s=60)
    assert eventually(lambda: served.get("/readyz").status_code == 200)
    assert served.counted("/livez") == 30
    served.get("/livez")
    assert eventually(lambda: served.counted("/livez") == 31)


def test_workers_hold_an_even_share_of_connections_also_one_in_the_place_of_another(served):
    def are_shared() -> bool:
        assert eventually(lambda: served.held() == [0, 0])
        with ExitStack() as opened:
            for _ in range(16):
                opened.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            return eventually(lambda: served.held() == [8, 8], within_s=2)

    # More than once, because a worker may still be opening, or a busy machine may keep one silent for too long.
    assert eventually(are_shared)
    opened = served.opened()
    served.workers()[0].kill()
    assert eventually(lambda: served.opened() > opened, within_s=60)
    assert eventually(are_shared)


def test_made_up_paths_make_no_labels(served):
    for number in range(5):
        served.get(f"/made/up/{number}")
    routes = set(re.findall(r'route="([^"]*)"', served.get("/metrics").text))
    assert not [route for route in routes if "made" in route]


def test_it_is_ready_in_ten_seconds_of_computing_and_ends_with_a_server_that_was_killed(checkout):
    with serving(checkout, workers=1) as served:
        server, [worker] = psutil.Process(served.process.pid), served.workers()
        times = [process.cpu_times() for process in (server, worker)]
        assert sum(spent.user + spent.system for spent in times) < READY_CPU_S
        served.process.kill()
        served.process.wait()
        assert eventually(lambda: not worker.is_running() and can_bind(served.port), within_s=10)


def test_neither_the_server_nor_its_workers_import_what_only_training_needs(checkout):
    command = [sys.executable, "-c", OPENED]
    opened = subprocess.run(
        command, cwd=checkout, env=environment(checkout), capture_output=True, text=True, timeout=120, check=False
    )
    assert opened.returncode == 0, opened.stderr + opened.stdout
    modules = next(line for line in opened.stdout.splitlines() if line.startswith("modules:"))
    in_server, in_worker = ({name.partition(".")[0] for name in part} for part in json.loads(modules[8:]))
    assert not NOT_SERVED_WITH & in_worker
    assert not {"polars", "sqlalchemy", "xgboost", "scipy", "alembic"} & in_server
    assert "opentelemetry.exporter" not in modules
