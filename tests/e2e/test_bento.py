import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from server_process import await_ready, free_port
from service_package import body, stage

from credit_scoring.core.scoring import ModelBundle

PROJECT = Path(__file__).parents[2]
BENTO = "credit_scoring_taiwan_cards"
MARK = "9.9.9"
"""Version that only the Bento's own copy of the sources tells."""


def bentoml(*arguments: str, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bentoml", *arguments]
    own = environment(home)
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=300, check=False)


def environment(home: Path, **more: str) -> dict[str, str]:
    return os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"} | more


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bentoml")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's sources as in a fresh checkout, marked so that they can be told from the installed ones."""
    directory = tmp_path_factory.mktemp("checkout")
    shutil.copytree(PROJECT / "src", directory / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("service.py", "bentofile.yaml", "requirements-service.lock"):
        shutil.copy(PROJECT / name, directory)
    description = directory / "src/credit_scoring/serving/description.py"
    own = description.read_text()
    assert 'API_VERSION = "' in own
    description.write_text(own.replace('API_VERSION = "', f'API_VERSION = "{MARK}+'))
    return directory


@pytest.fixture(scope="module")
def tag(checkout: Path, home: Path, scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> str:
    stage(checkout / "build/bento", scorecard_bundle, boosted_trees_bundle)
    built = bentoml("build", "--output", "tag", cwd=checkout, home=home)
    assert built.returncode == 0, built.stderr
    return built.stdout.strip().removeprefix("__tag__:")


@pytest.fixture(scope="module")
def service(tag: str, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The Bento, served by a process that works elsewhere."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    log = elsewhere / "serve.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=elsewhere,
            env=environment(home, CREDIT_DATABASE_URL=f"sqlite:///{elsewhere}/data/credit.db"),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            await_ready(client, process, log)
            key = (elsewhere / "data/development.key").read_text().strip()
            client.headers["Authorization"] = f"Bearer {key}"
            yield client
    finally:
        process.terminate()
        assert process.wait(30) == 0


def connected(service: httpx.Client) -> socket.socket:
    return socket.create_connection((service.base_url.host, service.base_url.port), timeout=20)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the connection is closed."""
    return b"".join(iter(lambda: connection.recv(2**16), b""))


def test_the_bento_has_the_portfolios_name_and_carries_no_data(tag, home):
    assert tag.startswith(f"{BENTO}:")
    source = home / "bentos" / tag.replace(":", "/") / "src"
    assert {path.name for path in source.iterdir()} == {
        "bentofile.yaml",
        "build",
        "requirements-service.lock",
        "service.py",
        "src",
    }
    assert not list(source.rglob("__pycache__"))


def test_a_decision_is_made_and_read_back(service):
    response = service.post("/v1/decisions", json=body("e2e"), headers={"X-Request-ID": "e2e-1"})
    assert response.status_code == 200
    answer = response.json()
    assert answer["request_id"] == response.headers["x-request-id"] == "e2e-1"
    read = service.get(f"/v1/decisions/{answer['decision_id']}")
    assert answer.items() <= read.json().items()


def test_nobody_is_served_without_a_key(service):
    refused = service.post("/v1/decisions", json=body("e2e"), headers={"Authorization": ""})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


def test_the_metrics_are_ours(service):
    assert "credit_http_requests_total" in service.get("/metrics").text


def test_the_bento_runs_its_own_sources(service):
    assert service.get("/openapi.json").json()["info"]["version"].startswith(MARK)


def test_probes_answer_and_carry_the_request_id(service):
    for probe in ("/livez", "/readyz"):
        response = service.get(probe, headers={"X-Request-ID": "probe"})
        assert (response.status_code, response.headers["x-request-id"]) == (200, "probe")


def test_unknown_routes_and_methods_are_problems_in_the_bento_too(service):
    for method, path, status in (("GET", "/nowhere", 404), ("PUT", "/v1/decisions", 405), ("PUT", "/metrics", 405)):
        response = service.request(method, path)
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
        assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/decisions/%0a/replay"), ("GET", "/v1/decisions%0a"), ("GET", "/%0d%0a"), ("OPTIONS", "*")],
)
def test_an_address_with_control_characters_and_one_of_no_route_is_a_problem(service, method, path):
    key = service.headers["Authorization"]
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nConnection: close\r\n\r\n"
    with connected(service) as connection:
        connection.sendall(request.encode())
        told = all_of(connection)
    assert told.startswith(b"HTTP/1.1 404 ")
    assert b"application/problem+json" in told
    assert b'"code":"not_found"' in told


def test_a_header_without_end_is_cut_and_others_do_not_notice(service):
    with connected(service) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ")
        until, slowest = time.monotonic() + 10, 0.0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - until it is cut
            while time.monotonic() < until:
                connection.sendall(b"a" * 2**20)
                since = time.monotonic()
                assert service.get("/livez").status_code == 200
                slowest = max(slowest, time.monotonic() - since)
    assert slowest < 1


def test_too_large_headers_are_a_problem(service):
    for headers in ({"X-A": "a" * 200_000}, {f"X-{number}": "a" for number in range(1000)}):
        refused = httpx.get(service.base_url.join("/livez"), headers=headers)
        assert (refused.status_code, refused.headers["content-type"]) == (431, "application/problem+json")
        assert refused.json()["request_id"] == refused.headers["x-request-id"]


def test_a_header_that_does_not_come_is_not_waited_for(service):
    since = time.monotonic()
    with connected(service) as silent, connected(service) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nX-A: a")
        assert (all_of(silent), all_of(slow)) == (b"", b"")
    assert 5 < time.monotonic() - since < 15


def test_the_documentation_is_served(service):
    assert {service.get(page).status_code for page in ("/docs", "/redoc", "/openapi.json")} == {200}
    assert service.get("/").headers["location"] == "/docs"


def test_building_without_a_staged_package_says_what_to_run_first(checkout, home, tmp_path):
    shutil.copytree(checkout, tmp_path / "fresh", ignore=shutil.ignore_patterns("build"))
    built = bentoml("build", cwd=tmp_path / "fresh", home=home)
    assert built.returncode == 1
    told = [line for line in (built.stdout + built.stderr).splitlines() if line.strip()]
    assert len(told) == 1
    assert "Run 'kedro run' first" in told[0]
