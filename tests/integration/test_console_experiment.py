import json
import shutil
from pathlib import Path

import pytest
from kedro.validation.exceptions import ParameterValidationError
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.console import app
from credit_scoring.core.roles import BundleRef, Experiment, FirstRoles, Roles, RolesRow
from credit_scoring.core.routing import strategy_of
from credit_scoring.pipelines.configuration import PortfolioConfigLoader
from credit_scoring.pipelines.faults import told as told_fault
from credit_scoring.pipelines.summary import summary

ROOT = Path(__file__).parents[2]
PORTFOLIO = "taiwan_cards"
TEN_PERCENT = {"strategy": "sticky_split", "challenger_share": 0.1}
RAMP = {"strategy": "scheduled_ramp", "steps": [{"from": "2020-01-01", "challenger_share": 0.1}]}


def roles(routing: dict[str, object] = TEN_PERCENT) -> Roles:
    champion, challenger = (
        BundleRef(model="m", version=version, algorithm="scorecard", digest=f"{version}" * 64) for version in (1, 2)
    )
    experiment = Experiment.model_validate({"id": "e-1", "salt": "do-not-tell", "routing": routing})
    return Roles(champion=champion, challenger=challenger, experiment=experiment)


@pytest.fixture
def database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the environment names, seen from a project with the conf of this one."""
    monkeypatch.setenv("CREDIT_DATABASE_URL", database_url)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return database_url


@pytest.fixture
def seeded(database: str) -> str:
    with opened(database) as engine:
        RoleRepository(engine).seed(PORTFOLIO, roles())
    return database


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["experiment", *arguments])


def declare(routing: object) -> None:
    """Have the portfolio's own parameters say so; JSON is YAML."""
    Path("conf/taiwan_cards/parameters.yml").write_text(f"registration: {json.dumps({'routing': routing})}\n")


def held(url: str) -> RolesRow:
    with opened(url) as engine:
        return RoleRepository(engine).current(PORTFOLIO)


def test_who_decides_is_shown(seeded):
    told = run("show")
    assert told.exit_code == 0
    assert "taiwan_cards: row 1 (seed), since " in told.stdout
    assert "champion   version 1    scorecard      111111111111" in told.stdout
    assert "sticky_split (challenger 0.1); the challenger decides 0.1 today" in told.stdout
    as_json = json.loads(run("show", "--json").stdout)
    assert (as_json["sequence"], as_json["challenger"]["version"]) == (1, 2)
    assert as_json["experiment"] == {"id": "e-1", "routing": TEN_PERCENT}
    assert "do-not-tell" not in told.stdout + json.dumps(as_json)


def test_before_the_first_run_the_remedy_is_told(database):
    for command in (["show"], ["apply"]):
        told = run(*command)
        assert told.exit_code == 1
        assert "Run 'kedro run --env=taiwan_cards' first" in told.stderr


def test_what_conf_declares_wins_when_it_is_applied_and_moves_nobody_back(seeded):
    before = held(seeded)
    declare({"strategy": "sticky_split", "challenger_share": 0.3})
    told = run("apply")
    assert told.exit_code == 0
    assert "Row 2: sticky_split (challenger 0.3) is in force instead of sticky_split (challenger 0.1)" in told.stdout
    after = held(seeded)
    assert (after.sequence, after.cause) == (2, "routing")
    assert (after.roles.champion, after.roles.challenger) == (before.roles.champion, before.roles.challenger)
    assert (after.roles.experiment.id, after.roles.experiment.salt) == ("e-1", "do-not-tell")
    arms = [
        [strategy_of(row.roles.experiment).route(str(n), row.recorded_at).arm for n in range(2000)]
        for row in (before, after)
    ]
    assert not [1 for one, other in zip(*arms, strict=True) if (one, other) == ("challenger", "champion")]
    assert sum(arm == "challenger" for arm in arms[1]) > sum(arm == "challenger" for arm in arms[0])


def test_applying_twice_adds_one_row(seeded):
    declare({"strategy": "sticky_split", "challenger_share": 0.3})
    run("apply")
    assert run("apply").stdout.startswith("Nothing to do: sticky_split (challenger 0.3) is in force since ")
    assert held(seeded).sequence == 2


def test_conf_as_it_is_shipped_is_what_the_first_row_says(seeded):
    assert run("apply").stdout.startswith("Nothing to do")


LOWER = {
    "a lower share": {"strategy": "sticky_split", "challenger_share": 0.05},
    "the shadow": {"strategy": "shadow"},
    "the champion alone": {"strategy": "champion_only"},
    "a ramp that begins later": {
        "strategy": "scheduled_ramp",
        "steps": [{"from": "2999-01-01", "challenger_share": 1.0}],
    },
}


@pytest.mark.parametrize("routing", LOWER.values(), ids=LOWER)
def test_a_lower_share_needs_force(seeded, routing):
    declare(routing)
    refused = run("apply")
    assert refused.exit_code == 1
    assert "would go back to the champion" in refused.stderr
    assert "--force" in refused.stderr
    assert held(seeded).sequence == 1
    assert run("apply", "--force").exit_code == 0
    assert (held(seeded).sequence, held(seeded).cause) == (2, "routing, forced")


def test_a_ramp_that_goes_on_where_the_split_is_needs_no_force(seeded):
    declare(RAMP)
    assert run("apply").exit_code == 0
    assert held(seeded).roles.experiment.routing.strategy == "scheduled_ramp"


def test_routing_that_makes_no_sense_is_told_by_its_parameter(seeded):
    declare({"strategy": "sticky_split", "challenger_share": 3})
    refused = run("apply")
    assert refused.exit_code == 1
    assert "'registration.routing.sticky_split.challenger_share'" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_portfolio_that_is_not_declared_is_refused(database):
    refused = run("apply", "--portfolio", "taiwan_card")
    assert refused.exit_code == 1
    assert "Did you mean 'taiwan_cards'" in refused.stderr


def ended(root: Path, declared: dict[str, object]) -> str:
    """What a whole run tells at its end when conf declares this and ten percent are in force."""
    models = root / "data/4_models" / PORTFOLIO
    models.mkdir(parents=True)
    figures = dict.fromkeys(("auc_roc", "gini", "ks", "brier", "calibration_slope"), "0.5")
    registered = {
        "registered": {"scorecard": {"version": 1}, "boosted_trees": {"version": 2}},
        "roles": roles().model_dump(mode="json", by_alias=True),
        "declared_routing": declared,
        "figures": {"champion": figures, "challenger": figures},
    }
    (models / "registration_summary.json").write_text(json.dumps(registered))
    return summary(root, PORTFOLIO)


def test_a_run_says_when_conf_declares_another_routing_than_that_in_force(tmp_path):
    told = ended(tmp_path, RAMP)
    assert (
        "Routing in force is sticky_split (challenger 0.1); conf declares scheduled_ramp (challenger 0.1 from "
        "2020-01-01). To put that in force: credit-scoring experiment apply --portfolio taiwan_cards"
    ) in told


def test_a_run_says_nothing_of_routing_when_conf_is_in_force(tmp_path):
    assert "outing" not in ended(tmp_path, TEN_PERCENT)


def test_wrong_routing_in_conf_is_told_by_parameter_file_and_remedy():
    """As Kedro words what Pydantic finds."""
    for routing, told in (
        ({"strategy": "coin"}, "'registration.routing': there is no strategy 'coin'; there are: 'champion_only', "),
        ({}, "'registration.routing': needs 'strategy' (given: {})"),
        ({"strategy": "sticky_split", "challenger_share": 3}, "'registration.routing.challenger_share': Input should"),
    ):
        with pytest.raises(ValidationError) as found:
            FirstRoles.model_validate({"champion": "a", "challenger": "b", "routing": routing})
        text = f"validation\n- Parameter 'registration': Failed to instantiate FirstRoles: {found.value}"
        message = told_fault(ParameterValidationError(text))
        assert message.startswith("A parameter is not as declared; correct it in conf/base/parameters_registration.yml")
        assert told in message


@pytest.mark.parametrize(
    ("own", "runtime", "merged"),
    [
        (None, {}, TEN_PERCENT),
        ({"challenger_share": 0.2}, {}, TEN_PERCENT | {"challenger_share": 0.2}),
        ({"strategy": "shadow"}, {}, {"strategy": "shadow"}),
        (None, {"strategy": "champion_only"}, {"strategy": "champion_only"}),
        (RAMP, {}, RAMP),
        ({"strategy": "shadow", "challenger_share": 0.2}, {}, {"strategy": "shadow", "challenger_share": 0.2}),
        ({"strategy": "shadow"}, TEN_PERCENT, TEN_PERCENT),
    ],
)
def test_a_portfolios_routing_has_no_options_of_another_strategy_from_base(tmp_path, own, runtime, merged):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    if own is not None:
        (tmp_path / "conf/taiwan_cards/parameters.yml").write_text(json.dumps({"registration": {"routing": own}}))
    loader = PortfolioConfigLoader(
        tmp_path / "conf",
        env=PORTFOLIO,
        base_env="base",
        merge_strategy={"parameters": "soft"},
        runtime_params={"registration": {"routing": runtime}} if runtime else None,
    )
    assert json.loads(json.dumps(loader["parameters"]["registration"]["routing"], default=str)) == merged
