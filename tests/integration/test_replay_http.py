from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from replayed import History, deciding, sent, with_other_features
from service_package import Client, body, embedded, served, stage
from sqlalchemy import Engine

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.registry_fetch import FetchedBundle
from credit_scoring.core.bundles import to_files
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.core.training.development import Development
from credit_scoring.serving import bootstrap


class Registry:
    """Gives the one bundle it has, when it answers."""

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle = bundle
        self.answers = False

    def __call__(self, ref: BundleRef) -> FetchedBundle:
        if not self.answers:
            raise RegistryError("The registry does not answer.")
        assert ref.algorithm == self.bundle.classifier.algorithm
        return FetchedBundle(to_files(self.bundle), {"golden_points": repr(golden_points(self.bundle))})


@pytest.fixture(scope="module")
def older(development: Development) -> ModelBundle:
    """A bundle of another feature set, which the Bento does not have."""
    return with_other_features(development)


@pytest.fixture(scope="module")
def package(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> BentoPackage:
    return stage(tmp_path_factory.mktemp("stage") / "bento", scorecard_bundle, boosted_trees_bundle)


@pytest.fixture
def registry(older: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = Registry(older)
    monkeypatch.setattr(bootstrap, "fetched_from_registry", found)
    return found


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(f"sqlite:///{tmp_path}/credit.db") as found:
        yield found


@pytest.fixture
def client(package: BentoPackage, engine: Engine, tmp_path: Path, registry: Registry) -> Iterator[Client]:
    with served(package, engine, embedded(tmp_path / "credit.db")) as found:
        yield found


def replayed(client: Client, decision_id: str) -> Any:
    return client.post(f"/v1/decisions/{decision_id}/replay")


def test_a_decision_is_replayed_from_its_record_also_after_the_roles_were_swapped(client, package):
    ids = [client.decide(body(f"a-{n}", applicant_id=f"p-{n}")).json()["decision_id"] for n in range(5)]
    roles = package.roles
    swapped = roles.model_copy(update={"champion": roles.challenger, "challenger": roles.champion})
    client.parts.resources.roles.append("taiwan_cards", 1, swapped, "test")
    for decision_id in ids:
        response = replayed(client, decision_id)
        assert response.status_code == 200
        told = response.json()
        assert (told["decision_id"], told["matches"], told["exact"]) == (decision_id, True, True)
        assert (told["link_valid"], told["differences"], told["not_checked"]) == (True, [], [])
        assert {"points", "points_exact", "prob_default", "reasons", "arm", "roles"} <= set(told["checked"])


def test_a_decision_that_nobody_made_is_not_found(client):
    response = replayed(client, "nowhere")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_decision")


def test_nobody_replays_without_a_key(client):
    assert client.post("/v1/decisions/nowhere/replay", headers={"Authorization": ""}).status_code == 401


def test_an_old_bundle_is_fetched_and_until_then_the_service_says_that_it_cannot(
    client, engine, registry, older, scorecard_bundle, monkeypatch
):
    held = History().assign({"champion": older, "challenger": scorecard_bundle})
    one = deciding(held, decisions=DecisionRepository(engine), new_id=lambda: "old")
    one.decide(sent(held, "old"))
    response = replayed(client, "old")
    assert (response.status_code, response.json()["code"]) == (503, "bundle_unavailable")
    assert "Retry-After" in response.headers
    assert client.decide(body("meanwhile")).status_code == 200


def test_an_old_bundle_that_the_registry_gives_replays_its_decisions(client, engine, registry, older, scorecard_bundle):
    registry.answers = True
    held = History().assign({"champion": older, "challenger": scorecard_bundle})
    one = deciding(held, decisions=DecisionRepository(engine), new_id=lambda: "old")
    one.decide(sent(held, "old"))
    told = replayed(client, "old").json()
    # The row of the roles' history is that of the running service, in which the old bundle has no role.
    assert {difference["name"].partition(".")[0] for difference in told["differences"]} <= {
        "roles",
        "arm",
        "arm_probability",
    }
    assert {"points_exact", "prob_default", "scores.champion.base_points"} <= set(told["checked"])
