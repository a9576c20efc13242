import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from credit_scoring.adapters.model_registry import Candidate, MlflowRegistry
from credit_scoring.adapters.registry_fetch import fetched_from_registry
from credit_scoring.core.bundles import to_files
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scoring import ModelBundle

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

MODEL = "credit_scoring_taiwan_cards"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db"


@pytest.fixture(scope="module")
def ref(store: str, scorecard_bundle: ModelBundle) -> BundleRef:
    client = MlflowClient(store)
    place = str(Path(store.removeprefix("sqlite:///")).with_name("artifacts"))
    run_id = client.create_run(client.create_experiment("e", artifact_location=place)).info.run_id
    candidate = Candidate(to_files(scorecard_bundle), {"algorithm": "scorecard", "golden_points": "1.5"}, "")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", store)
        with MlflowRegistry(MODEL, client).registered(run_id, {"scorecard": candidate}) as refs:
            return refs["scorecard"]


@pytest.fixture(autouse=True)
def environment(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)


FETCH_ALONE = """
import sys
from credit_scoring.adapters.registry_fetch import fetched_from_registry
from credit_scoring.core.roles import BundleRef
found = fetched_from_registry(BundleRef.model_validate_json(sys.argv[1]))
print(len(found.files), found.tags["golden_points"], "mlflow" in sys.modules)
"""


def test_a_bundle_comes_whole_with_its_tags(ref, scorecard_bundle):
    found = fetched_from_registry(ref)
    assert found.files == to_files(scorecard_bundle)
    assert (found.tags["golden_points"], found.tags["digest"]) == ("1.5", ref.digest)


def test_the_process_that_fetches_does_not_import_mlflow(ref, scorecard_bundle):
    told = subprocess.run(
        [sys.executable, "-c", FETCH_ALONE, ref.model_dump_json()], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [str(len(to_files(scorecard_bundle))), "1.5", "False"]


@pytest.mark.parametrize(
    ("change", "told"),
    [({"version": 9}, "no bundle for version 9"), ({"digest": "0" * 64}, "is not the one that was registered")],
)
def test_what_the_registry_does_not_have_is_refused(ref, change, told):
    with pytest.raises(RegistryError, match=told) as found:
        fetched_from_registry(ref.model_copy(update=change))
    assert "\n" not in str(found.value)


def test_artifacts_that_this_installation_cannot_read_are_told_with_the_remedy(ref, store):
    script = (
        "import sys; sys.modules['boto3'] = None; from credit_scoring.adapters import registry_download as d;"
        "sys.argv = ['', sys.argv[1]]; sys.exit(d.main())"
    )
    version = MlflowClient(store).create_model_version(MODEL, source="s3://bucket/bundle").version
    elsewhere = ref.model_copy(update={"version": int(version)})
    told = subprocess.run(
        [sys.executable, "-c", script, elsewhere.model_dump_json()], capture_output=True, text=True, check=False
    )
    assert told.returncode == 3
    assert "boto3" in told.stderr
    assert "Have the MLflow server hand them out" in told.stderr.splitlines()[-1]


@pytest.mark.parametrize("named", [True, False])
def test_a_registry_that_is_not_there_is_not_made(ref, tmp_path, monkeypatch, named):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(RegistryError, match=r"There is no model registry here: .* Set MLFLOW_TRACKING_URI"):
        fetched_from_registry(ref)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def test_a_registry_that_says_nothing_is_given_up(ref, silent_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent_server)
    begun = time.monotonic()
    with pytest.raises(RegistryError, match=r"did not give version 1 of .* within 2 s"):
        fetched_from_registry(ref, within_s=2)
    assert time.monotonic() - begun < 10
