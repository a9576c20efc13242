import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from replayed import OWNER, History, deciding, sent
from service_package import stage
from sqlalchemy import Engine, delete, text, update
from typer.testing import CliRunner, Result

from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.engine import open_database, opened, writing
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.database.schema import decisions
from credit_scoring.adapters.model_registry import Candidate, MlflowRegistry
from credit_scoring.adapters.registry_fetch import FetchedBundle
from credit_scoring.console import app, replaying
from credit_scoring.console.audit import Progress
from credit_scoring.core.bundles import to_files
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.usecases.applications import body_digest

# MLflow 3.17 uses a loader strategy that SQLAlchemy 2.1 is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")

RECORDS = 8
_c = decisions.c


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments])


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory without an ``.env``, a package or a registry."""
    for name in ("CREDIT_TENANT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def models(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> dict[Any, ModelBundle]:
    return {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}


def filled(url: str, models: dict[Any, ModelBundle], monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the environment name a database with ``RECORDS`` decisions of one writer."""
    monkeypatch.setenv("CREDIT_DATABASE_URL", url)
    with opened(url) as engine:
        held = History(RoleRepository(engine)).assign(models)
        one = deciding(held, decisions=DecisionRepository(engine))
        one.decide_many([sent(held, f"a-{number}", applicant_id=f"p-{number}") for number in range(RECORDS)])
    return url


@pytest.fixture
def database(directory: Path, models: dict[Any, ModelBundle], monkeypatch: pytest.MonkeyPatch) -> str:
    """An embedded database with decisions; what is said of its rows is tested on both in tests/contract."""
    return filled(f"sqlite:///{directory}/credit.db", models, monkeypatch)


@pytest.fixture
def staged(database: str, directory: Path, models: dict[Any, ModelBundle]) -> str:
    """The same, with both bundles staged for the Bento."""
    stage(directory / "build" / "bento", models["champion"], models["challenger"])
    return database


def change(url: str, statement: Any) -> None:
    """Change records, as somebody with the rights of the database's owner can."""
    with opened(url) as engine, writing(engine).begin() as connection:
        if connection.dialect.name == "sqlite":
            for action in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER decisions_no_{action}"))
        else:
            connection.execute(text("ALTER TABLE decisions DISABLE TRIGGER USER"))
        connection.execute(statement)


def another(engine: Engine, decision_id: str, **answer: Any) -> DecisionRecord:
    """A record of the same applicant under other ids, of a writer of its own."""
    book = DecisionRepository(engine)
    first = book.get(OWNER, "decision-1")
    assert first is not None
    received = first.received | {"application_id": f"of-{decision_id}"}
    named = {"decision_id": decision_id, "application_id": received["application_id"]}
    copy = replace(
        first,
        received=received,
        received_digest=body_digest(received),
        answer=first.answer.model_copy(update={**named, **answer}),
    )
    book.add([copy])
    return copy


def test_records_that_nobody_touched_are_counted_with_their_period(database_url, directory, models, monkeypatch):
    filled(database_url, models, monkeypatch)
    told = run("verify")
    assert told.exit_code == 0
    period = "decided 2026-01-02 03:04Z to 2026-01-02 03:04Z"
    assert told.stdout == f"{RECORDS} records of 1 writers, {period}: all as they were written.\n"


def test_the_first_bad_record_is_named_with_what_is_wrong(database):
    change(database, update(decisions).where(_c.sequence.in_([3, 5])).values(applicant_id="else"))
    told = run("verify")
    first, second, summary = told.stdout.splitlines()
    assert told.exit_code == 1
    assert first.startswith("First bad record: writer ")
    assert first.endswith(", record 3 (decision decision-3): not as in its content: column(s) applicant_id.")
    assert second.startswith("Bad record: writer ")
    assert summary.endswith("2 bad.")
    assert "else" not in told.output


def test_a_name_that_a_terminal_would_obey_is_shown_as_text(database):
    change(database, update(decisions).where(_c.sequence == 3).values(decision_id="\x1b[2J"))
    assert "\x1b" not in run("verify").output


def test_links_that_were_kept_show_that_the_newest_record_is_gone(database, directory):
    heads = str(directory / "kept" / "heads.json")
    wrote = run("verify", "--write-heads", heads)
    assert wrote.exit_code == 0
    assert run("verify", "--heads", heads).exit_code == 0
    change(database, delete(decisions).where(_c.sequence == RECORDS))
    assert run("verify").exit_code == 0
    told = run("verify", "--heads", heads)
    assert told.exit_code == 1
    assert f"record {RECORDS}: 1 newest record(s) that were kept are removed" in told.stdout


def test_links_that_were_kept_are_only_replaced_after_they_were_compared(database, directory):
    heads, before = directory / "heads.json", "--write-heads"
    run("verify", before, str(heads))
    kept = heads.read_text()
    refused = run("verify", before, str(heads))
    assert (refused.exit_code, heads.read_text()) == (1, kept)
    assert "--heads" in refused.stderr
    with opened(database) as engine:
        another(engine, "later")
    assert run("verify", "--heads", str(heads), before, str(heads)).exit_code == 0
    assert len(json.loads(heads.read_text())["links"]) == 2


def test_links_are_not_written_when_a_record_is_bad(database, directory):
    change(database, update(decisions).where(_c.sequence == 3).values(hash="0" * 64))
    assert run("verify", "--write-heads", str(directory / "heads.json")).exit_code == 1
    assert not (directory / "heads.json").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "Cannot read"), ("{}", "is not what"), ("[1]", "is not what"), ("of-p", "the portfolio 'p'")],
)
def test_a_file_that_does_not_hold_the_links_asked_for_is_refused(database, directory, content, words):
    heads = directory / "heads.json"
    if content == "of-p":
        content = json.dumps({"format": 1, "portfolio": "p", "links": []})
    if content is not None:
        heads.write_text(content)
    told = run("verify", "--heads", str(heads))
    assert (told.exit_code, words in told.stderr, told.stderr.count("\n")) == (1, True, 1)


@pytest.mark.parametrize("command", [("verify",), ("replay", "--all")])
def test_an_audit_makes_no_database(directory, monkeypatch, command):
    monkeypatch.setenv("CREDIT_DATABASE_URL", f"sqlite:///{directory}/records/credit.db")
    told = run(*command)
    assert (told.exit_code, "no database to audit" in told.stderr) == (1, True)
    assert list(directory.iterdir()) == []


def test_all_decisions_come_out_bit_for_bit_from_the_staged_bundles(database_url, directory, models, monkeypatch):
    filled(database_url, models, monkeypatch)
    stage(directory / "build" / "bento", models["champion"], models["challenger"])
    told = run("replay", "--all")
    assert (told.exit_code, told.stdout) == (0, f"{RECORDS} of {RECORDS} decisions came out bit for bit.\n")


def test_decisions_are_chosen_by_id_owner_and_time(staged):
    with opened(staged) as engine:
        another(engine, "later")
    assert run("replay", "--decision", "later").stdout.startswith("1 of 1 ")
    assert run("replay", "--all", "--tenant", "nobody").stdout.startswith("0 of 0 ")
    assert run("replay", "--all", "--portfolio", "taiwan_cards").stdout.startswith(f"{RECORDS + 1} of")
    assert run("replay", "--since", "2026-01-02T03:04:05").stdout.startswith(f"{RECORDS + 1} of")
    assert run("replay", "--since", "2026-01-03").stdout.startswith("0 of 0 ")


def test_what_differs_is_listed_by_name_and_by_value_only_when_asked(staged):
    with opened(staged) as engine:
        another(engine, "forged", prob_default=0.123456, band="none")
    told = run("replay", "--all")
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "Decision forged: differs in prob_default, band.",
        f"{RECORDS} of {RECORDS + 1} decisions came out bit for bit; 1 did not.",
    ]
    assert "0.123456" in run("replay", "--all", "--values").stdout
    lines = [json.loads(line) for line in run("replay", "--all", "--json").stdout.splitlines()]
    assert len(lines) == RECORDS + 1
    [bad] = [line for line in lines if not line["matches"]]
    assert {one["name"]: one["recorded"] for one in bad["differences"]} == {
        "prob_default": 0.123456,
        "band": "none",
    }


def test_a_record_that_does_not_fit_its_chain_is_told_although_it_comes_out(staged):
    change(staged, update(decisions).where(_c.sequence == 3).values(hash="0" * 64))
    told = run("replay", "--all")
    assert told.exit_code == 1
    assert "Decision decision-3: does not fit its chain, see 'credit-scoring audit verify'." in told.stdout
    assert run("replay", "--decision", "decision-8").exit_code == 0


def test_a_decision_of_another_scorer_version_is_counted_apart(staged):
    with opened(staged) as engine:
        first = another(engine, "older", scorer_version="0")
        assert first.answer.scorer_version == "0"
    told = run("replay", "--decision", "older")
    assert "1 of scorer versions other than 1 and 2 within 1e-6 and 1 point" in told.stdout


def test_which_decisions_has_to_be_said_and_one_that_nobody_made_is_unknown(staged):
    assert run("replay").exit_code == 2
    told = run("replay", "--decision", "nowhere")
    assert (told.exit_code, "No decision is recorded" in told.stderr) == (1, True)


class FakeRegistry:
    """Gives bundles by digest, and counts how often it is asked."""

    def __init__(self, bundles: Mapping[str, ModelBundle]) -> None:
        self._bundles = bundles
        self.asked: list[str] = []

    def __call__(self, ref: BundleRef) -> FetchedBundle:
        self.asked.append(ref.digest)
        if ref.digest not in self._bundles:
            raise RegistryError("The registry has no such bundle.")
        bundle = self._bundles[ref.digest]
        return FetchedBundle(to_files(bundle), {"golden_points": repr(golden_points(bundle))})


@pytest.fixture
def digests(models: dict[Any, ModelBundle]) -> dict[str, ModelBundle]:
    history = History()
    history.assign(models)
    return history.bundles


@pytest.mark.parametrize("is_staged", [False, True])
def test_bundles_that_are_staged_no_more_are_fetched_from_the_registry_once(
    database, directory, models, digests, monkeypatch, is_staged
):
    if is_staged:
        stage(directory / "build" / "bento", models["champion"], models["champion"])
    registry = FakeRegistry(digests)
    monkeypatch.setattr(replaying, "fetched_from_registry", registry)
    assert run("replay", "--all").exit_code == 0
    assert len(registry.asked) == (1 if is_staged else 2)


@pytest.mark.parametrize("is_staged", [False, True])
def test_decisions_whose_bundles_nobody_has_are_listed_as_not_replayed(
    database, directory, models, monkeypatch, is_staged
):
    if is_staged:
        stage(directory / "build" / "bento", models["champion"], models["champion"])
    registry = FakeRegistry({})
    monkeypatch.setattr(replaying, "fetched_from_registry", registry)
    told = run("replay", "--all")
    assert told.exit_code == 1
    assert told.stdout.count("not replayed: The registry has no such bundle.") == RECORDS
    assert f"0 of {RECORDS} decisions came out bit for bit; {RECORDS} did not." in told.stdout
    assert len(registry.asked) == 1


def test_bundles_come_from_the_real_registry(database, directory, models, monkeypatch):
    uri = f"sqlite:///{directory}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("audit", artifact_location=str(directory / "artifacts"))
    run_id = str(client.create_run(experiment).info.run_id)
    candidates = {
        bundle.candidate: Candidate(
            to_files(bundle),
            {"algorithm": bundle.classifier.algorithm, "golden_points": repr(golden_points(bundle))},
            "for a test",
        )
        for bundle in models.values()
    }
    with MlflowRegistry("credit_scoring_taiwan_cards", client).registered(run_id, candidates) as refs:
        assert [ref.version for ref in refs.values()] == [1, 2]
    told = run("replay", "--all")
    assert (told.exit_code, told.stdout) == (0, f"{RECORDS} of {RECORDS} decisions came out bit for bit.\n")


def test_a_long_walk_tells_every_few_seconds_how_far_it_is():
    told: list[str] = []
    seconds = iter([0.0, 3.0, 6.0, 7.0, 12.0])
    progress = Progress("Verified", told.append, clock=lambda: next(seconds), total=9_000)
    for done in range(1_000, 6_000, 1_000):
        progress.at(done)
    assert told == ["Verified 3,000 of 9,000 ...", "Verified 5,000 of 9,000 ..."]


def test_the_period_is_that_of_the_oldest_and_the_newest_record(database):
    with opened(database) as engine:
        later = another(engine, "later")
        DecisionRepository(engine).add(
            [
                replace(
                    later,
                    decided_at=later.decided_at + timedelta(days=3),
                    answer=later.answer.model_copy(update={"decision_id": "latest", "application_id": "latest"}),
                )
            ]
        )
    assert "decided 2026-01-02 03:04Z to 2026-01-05 03:04Z" in run("verify").stdout


def test_a_database_without_decisions_has_nothing_bad(directory, monkeypatch):
    url = f"sqlite:///{directory}/credit.db"
    open_database(url).dispose()
    monkeypatch.setenv("CREDIT_DATABASE_URL", url)
    assert run("verify").stdout == "0 records of 0 writers: all as they were written.\n"
