import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from service_package import SALT, Client, body, bundle_ref, embedded, served, stage
from sqlalchemy import Engine

from credit_scoring.adapters.bento_package import BentoPackage, read_package
from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.model_registry import Candidate, MlflowRegistry
from credit_scoring.console.keys import KeyRequest, create_key
from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.golden import golden_points
from credit_scoring.core.roles import BundleRef, Experiment, Roles, ShadowRouting
from credit_scoring.core.scoring import Calibration, ModelBundle

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

PORTFOLIO = "taiwan_cards"
TAGS = {
    "auc_roc": "0.784",
    "gini": "0.568",
    "ks": "0.427",
    "brier": "0.1353",
    "calibration_slope": "1.011",
    "dataset_version": "sha256:71c6",
    "git_commit": "d721a91",
    "stage": "Production",
}


@pytest.fixture(scope="module")
def package(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> BentoPackage:
    target = tmp_path_factory.mktemp("stage") / "bento"
    tags = {digest(to_files(scorecard_bundle)): TAGS}
    stage(target, scorecard_bundle, boosted_trees_bundle, tags)
    return read_package(target)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(f"sqlite:///{tmp_path}/credit.db") as engine:
        yield engine


@pytest.fixture
def client(package: BentoPackage, engine: Engine, tmp_path: Path) -> Iterator[Client]:
    with served(package, engine, embedded(tmp_path / "credit.db")) as client:
        yield client


def swapped(package: BentoPackage) -> Roles:
    held = package.roles
    return held.model_copy(update={"champion": held.challenger, "challenger": held.champion})


def append(tmp_path: Path, roles: Roles, after: int = 1) -> None:
    """As another process does."""
    with opened(f"sqlite:///{tmp_path}/credit.db") as own:
        RoleRepository(own).append(PORTFOLIO, after, roles, "promotion")


def within(seconds: float, met: Any) -> float:
    """How long it took until ``met()``."""
    begun = time.monotonic()
    while not met():
        assert time.monotonic() - begun < seconds
        time.sleep(0.02)
    return time.monotonic() - begun


def assert_problem(response: Any, status: int, code: str) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["code"] == code
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_the_roles_that_hold_are_told_without_the_salt(client, package):
    response = client.get("/v1/roles")
    told = response.json()
    assert response.status_code == 200
    assert (told["sequence"], told["following"], told["cause"]) == (1, 1, "seed")
    champion = package.roles.champion
    assert told["champion"] == {
        "name": champion.model,
        "version": champion.version,
        "algorithm": champion.algorithm,
        "digest": champion.digest,
    }
    routing = {"strategy": "sticky_split", "challenger_share": 0.1, "steps": None}
    assert told["experiment"] == {"id": "experiment-1", "routing": routing}
    assert SALT not in response.text


def test_every_row_is_told_at_its_own_time(client, package, tmp_path):
    append(tmp_path, swapped(package))
    within(5, lambda: client.get("/v1/roles").json()["following"] == 2)
    now = client.get("/v1/roles").json()
    earlier = datetime.fromisoformat(now["since"]) - timedelta(microseconds=1)
    before = client.get("/v1/roles", params={"at": earlier.isoformat()}).json()
    at_once = client.get("/v1/roles", params={"at": now["since"]}).json()
    assert at_once == now
    assert (now["sequence"], now["cause"], before["sequence"], before["following"]) == (2, "promotion", 1, 2)
    assert (now["champion"], now["challenger"]) == (before["challenger"], before["champion"])


def test_before_the_first_row_nobody_held_a_role(client):
    assert_problem(client.get("/v1/roles", params={"at": "2020-01-01T00:00:00Z"}), 404, "no_roles")


@pytest.mark.parametrize("at", ["2999-01-01T00:00:00Z", "2020-01-01T00:00:00", "yesterday", "0"])
def test_a_moment_that_cannot_be_asked_for_is_refused(client, at):
    assert_problem(client.get("/v1/roles", params={"at": at}), 422, "invalid_parameter")


def test_a_ramp_tells_its_steps_and_the_share_of_that_moment(package, engine, tmp_path):
    steps = [{"from": "2020-01-01", "challenger_share": 0.2}, {"from": "2999-01-01", "challenger_share": 0.9}]
    ramp = {"id": "e", "salt": "s", "routing": {"strategy": "scheduled_ramp", "steps": steps}}
    roles = package.roles.model_copy(update={"experiment": Experiment.model_validate(ramp)})
    RoleRepository(engine).seed(PORTFOLIO, roles)
    with served(package, engine, embedded(tmp_path / "credit.db")) as client:
        told = client.get("/v1/roles").json()["experiment"]["routing"]
        assert (told["strategy"], told["challenger_share"]) == ("scheduled_ramp", 0.2)
        assert told["steps"][1] == {"starts_on": "2999-01-01", "challenger_share": 0.9}
        answer = client.decide(body("ramped")).json()
        assert answer["arm_probability"] in (0.2, 0.8)


def test_roles_and_models_are_told_to_those_who_may_read(client, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DATABASE_URL", f"sqlite:///{tmp_path}/credit.db")
    key, _ = create_key(KeyRequest("origination", "decide", "default"))
    for path in ("/v1/roles", "/v1/models", "/v1/models/1/card"):
        assert_problem(client.get(path, headers={"Authorization": f"Bearer {key}"}), 403, "forbidden")
        with closing(Client(client.parts.app)) as stranger:
            assert_problem(stranger.get(path), 401, "unauthenticated")


def test_a_new_row_is_followed_within_five_seconds_and_decides(client, package, tmp_path):
    first = client.decide(body("before")).json()
    append(tmp_path, swapped(package))
    assert within(5, lambda: client.get("/v1/roles").json()["following"] == 2) < 5
    second = client.decide(body("after")).json()
    assert (first["model"]["role"], second["model"]["role"]) == ("champion", "champion")
    assert first["model"]["version"] != second["model"]["version"]
    assert client.decide(body("before")).json() == first, "a repeated application keeps its first answer"
    exposed = client.get("/metrics").text
    assert 'credit_role_swaps_total{outcome="done"} 1.0' in exposed
    assert 'credit_role_version{role="champion"} 2.0' in exposed
    assert 'credit_bundle_loads_total{source="package"} 2.0' in exposed


def test_loaded_models_are_listed_with_their_roles(client, package):
    told = client.get("/v1/models").json()["models"]
    assert [(model["version"], model["role"]) for model in told] == [(1, "champion"), (2, "challenger")]
    assert told[0]["digest"] == package.roles.champion.digest
    assert {"feature_set", "policy_version", "scale", "loaded_at", "algorithm", "name"} <= set(told[0])


def test_a_card_tells_what_the_bundle_and_its_registration_know(client, taiwan, scorecard_bundle):
    card = client.get("/v1/models/1/card").json()
    assert (card["version"], card["role"], card["algorithm"]) == (1, "champion", "scorecard")
    assert (card["intended_use"]["title"], card["intended_use"]["citation"]) == (taiwan.title, taiwan.citation)
    assert card["holdout"] == {name: float(TAGS[name]) for name in card["holdout"]}
    assert card["training"]["dataset_version"] == TAGS["dataset_version"]
    assert [feature["name"] for feature in card["features"]] == list(scorecard_bundle.plan.names)
    by_name = {feature["name"]: feature for feature in card["features"]}
    for name, declared in taiwan.features.items():
        if declared.scored:
            assert (by_name[name]["reason_code"], by_name[name]["higher_is"]) == (declared.reason, declared.higher_is)
    used = {bins.feature for bins in scorecard_bundle.classifier.data.bins}
    assert {name for name, feature in by_name.items() if feature["used"]} == used
    assert set(card["protected_attributes"]) == {"sex", "marriage", "age_years"}
    assert card["calibration"]["intercept"] == scorecard_bundle.calibration.intercept
    assert set(card["reasons"]) == set(taiwan.reasons)
    assert {band["recommendation"] for band in card["policy"]["bands"]} == {"approve", "refer", "decline"}
    assert any("sex" in limit for limit in card["known_limits"])


def test_a_card_without_noted_figures_says_null(client):
    card = client.get("/v1/models/2/card").json()
    assert set(card["holdout"].values()) == {None}
    assert card["training"]["dataset_version"] is None
    assert sum(feature["used"] for feature in card["features"]) > 3


@pytest.mark.parametrize("version", ["3", "999999"])
def test_an_unknown_version_has_no_card(client, version):
    assert_problem(client.get(f"/v1/models/{version}/card"), 404, "unknown_model")


@pytest.mark.parametrize("version", ["0", "-1", "latest", "1e3", str(2**60)])
def test_what_is_no_version_is_refused(client, version):
    assert_problem(client.get(f"/v1/models/{version}/card"), 422, "invalid_parameter")


def test_probes_and_metrics_are_open_and_unknown_paths_and_methods_are_problems(client):
    with closing(Client(client.parts.app)) as stranger:
        assert {stranger.get(path).status_code for path in ("/livez", "/readyz", "/metrics")} == {200}
        assert stranger.get("/metrics").headers["content-type"].startswith("text/plain")
        for method, path in (("GET", "/nowhere"), ("POST", "/v1"), ("DELETE", "/v1/models/1"), ("GET", "/v1/role")):
            assert_problem(stranger.request(method, path), 404, "not_found")
        for path, allowed in (("/v1/decisions", "GET, POST"), ("/v1/roles", "GET"), ("/metrics", "GET")):
            refused = stranger.request("DELETE", path)
            assert_problem(refused, 405, "method_not_allowed")
            assert refused.headers["allow"] == allowed


def test_a_process_that_would_see_no_new_roles_is_not_ready(client):
    client.parts._follower.close()
    within(5, lambda: client.get("/readyz").status_code == 503)
    assert client.get("/livez").status_code == 200


def test_the_description_names_the_problems_of_these_routes(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert "no_roles" in json.dumps(paths["/v1/roles"]["get"]["responses"]["404"])
    assert "unknown_model" in json.dumps(paths["/v1/models/{version}/card"]["get"]["responses"]["404"])
    assert not {"/metrics", "/livez", "/readyz"} & set(paths)


@pytest.fixture
def registered(
    tmp_path: Path, scorecard_bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModelBundle, BundleRef]:
    """A bundle that the package lacks, in a registry that the environment names."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = MlflowClient(uri)
    experiment = store.create_experiment("e", artifact_location=str(tmp_path / "artifacts"))
    run_id = store.create_run(experiment).info.run_id
    bundle = replace(scorecard_bundle, calibration=Calibration(scorecard_bundle.calibration.intercept + 0.01, 1.0))
    tags = {"algorithm": "scorecard", "golden_points": repr(golden_points(bundle)), **TAGS}
    registry = MlflowRegistry(f"credit_scoring_{PORTFOLIO}", store)
    with registry.registered(run_id, {"scorecard": Candidate(to_files(bundle), tags, "for a test")}) as refs:
        pass
    return bundle, refs["scorecard"]


def test_a_role_whose_bundle_the_package_lacks_is_fetched_from_the_registry(client, package, tmp_path, registered):
    bundle, ref = registered
    assert (ref.version, ref.digest) == (1, bundle_ref(bundle, 1).digest)
    append(tmp_path, package.roles.model_copy(update={"champion": ref}))
    within(90, lambda: client.get("/v1/roles").json()["following"] == 2)
    decided = client.get(f"/v1/decisions/{client.decide(body('fetched')).json()['decision_id']}").json()
    assert decided["scores"]["champion"]["digest"] == ref.digest
    fetched = next(model for model in client.get("/v1/models").json()["models"] if model["digest"] == ref.digest)
    assert fetched["role"] == "champion"
    assert 'credit_bundle_loads_total{source="registry"} 1.0' in client.get("/metrics").text


def test_a_registry_that_is_away_changes_nothing_for_those_who_ask(client, package, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/absent.db")
    stranger = package.roles.champion.model_copy(update={"digest": "0" * 64, "version": 9})
    append(tmp_path, package.roles.model_copy(update={"champion": stranger}))
    within(60, lambda: "roles_not_swapped sequence=2 code=registry" in caplog.text)
    assert "absent.db', which does not exist" in caplog.text
    assert not (tmp_path / "absent.db").exists()
    told = client.get("/v1/roles").json()
    assert (told["sequence"], told["following"]) == (2, 1)
    assert client.decide(body("kept")).json()["model"]["version"] in (1, 2)
    assert client.get("/readyz").status_code == 200
    assert 'credit_role_swaps_total{outcome="failed"} 1.0' in client.get("/metrics").text


def test_shadow_and_champion_alone_are_followed_too(client, package, tmp_path):
    shadow = package.roles.experiment.model_copy(update={"routing": ShadowRouting(strategy="shadow")})
    append(tmp_path, package.roles.model_copy(update={"experiment": shadow}))
    within(5, lambda: client.get("/v1/roles").json()["following"] == 2)
    answers = [client.decide(body(f"s{n}", applicant_id=f"applicant-{n}")).json() for n in range(30)]
    assert {(answer["decider"], answer["arm_probability"]) for answer in answers} == {("champion", 1.0)}
