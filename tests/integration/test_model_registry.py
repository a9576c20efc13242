from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from service_package import roles_of

from credit_scoring.adapters.model_registry import Candidate, MlflowRegistry
from credit_scoring.core.bundles import to_files
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.scoring import ModelBundle

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

MODEL = "credit_scoring_taiwan_cards"


class RacedClient(MlflowClient):
    """Meets another process that sets each alias just before, to ``other`` if given, else to the same version."""

    other: str | None = None

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        super().set_registered_model_alias(name, alias, self.other or version)
        raise MlflowException("UNIQUE constraint failed")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    root: Path = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{root}/mlflow.db"
    MlflowClient(uri).create_experiment("registry", artifact_location=str(root / "artifacts"))
    return uri


@pytest.fixture
def run_id(store: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    client = MlflowClient(store)
    return str(client.create_run(client.get_experiment_by_name("registry").experiment_id).info.run_id)


@pytest.fixture
def candidates(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> dict[str, Candidate]:
    return {
        bundle.candidate: Candidate(to_files(bundle), {"algorithm": bundle.classifier.algorithm}, "for a test")
        for bundle in (scorecard_bundle, boosted_trees_bundle)
    }


def versions(store: str) -> list[Any]:
    return list(MlflowClient(store).search_model_versions(f"name='{MODEL}'"))


def test_what_was_registered_comes_back_and_is_checked(store, run_id, candidates):
    registry = MlflowRegistry(MODEL, MlflowClient(store))
    with registry.registered(run_id, candidates) as refs:
        pass
    for name, ref in refs.items():
        assert registry.files(ref) == candidates[name].files
        with pytest.raises(RegistryError, match="not the one that was registered"):
            registry.files(ref.model_copy(update={"digest": "0" * 64}))


def test_nothing_stays_registered_when_what_follows_fails(store, run_id, candidates):
    before = len(versions(store))
    with pytest.raises(KeyError), MlflowRegistry(MODEL, MlflowClient(store)).registered(run_id, candidates):
        raise KeyError
    assert len(versions(store)) == before


def test_two_runs_that_set_the_same_alias_at_once_both_end_well(
    store, run_id, candidates, scorecard_bundle, boosted_trees_bundle
):
    client = RacedClient(store)
    registry = MlflowRegistry(MODEL, client)
    with registry.registered(run_id, candidates) as refs:
        pass
    roles = roles_of(scorecard_bundle, boosted_trees_bundle).model_copy(
        update={"champion": refs["scorecard"], "challenger": refs["boosted_trees"]}
    )
    registry.mirror(roles)
    assert int(client.get_model_version_by_alias(MODEL, "champion").version) == refs["scorecard"].version
    client.other = str(refs["boosted_trees"].version)
    with pytest.raises(MlflowException, match="UNIQUE"):
        registry.mirror(roles)
