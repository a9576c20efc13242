"""``kedro run --pipeline=batch_decisions`` against the service on the same database."""

import json
import resource
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl
import pytest
from integration.decided_project import assert_one_message, load_facts, ready, served
from integration.kedro_project import PORTFOLIO, ROWS, Project
from service_package import Client

BATCH = "--pipeline=batch_decisions"
SAME = ("points", "points_exact", "prob_default", "band", "recommendation", "arm", "arm_probability", "decider")
SAME_TOO = ("fallback", "policy_version", "feature_set", "scorer_version", "applicant_id", "as_of", "model_version")


def table(project: Project, portfolio: str = PORTFOLIO) -> pl.DataFrame:
    return pl.read_parquet(project.root / f"data/5_decisions/{portfolio}/batch.parquet")


def named(batch_id: str, **options: int) -> str:
    given = {"batch_id": batch_id} | options
    return "--params=" + ",".join(f"batch_decisions.{name}={value}" for name, value in given.items())


def recorded(project: Project) -> int:
    found: int = project.records("select count(*) from decisions")[0][0]
    return found


@pytest.fixture(scope="module")
def decided(ran: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after the batch 'first' on everybody's stored facts."""
    own = ready(ran, tmp_path_factory.mktemp("batch") / "project")
    finished = own.run(BATCH, named("first"))
    assert finished.code == 0, finished.stderr
    return own


@pytest.fixture(scope="module")
def batch(decided: Project) -> pl.DataFrame:
    """What the first batch left."""
    found = table(decided)
    assert found.height == ROWS
    return found


@pytest.fixture
def service(decided: Project) -> Iterator[Client]:
    """The service on the records, facts and bundles of the project."""
    with served(decided) as client:
        yield client


def asked(service: Client, applicants: list[str]) -> Iterator[Mapping[str, Any]]:
    """Answers of the API, by the batch route and one by one in turn."""
    for start in range(0, len(applicants), 500):
        some = [{"application_id": f"api-{one}", "applicant_id": one} for one in applicants[start : start + 500]]
        if start % 1000:
            yield from (service.decide(one).json() for one in some)
        else:
            told = service.post("/v1/decisions/batch", json={"applications": some}).json()
            yield from (result["decision"] for result in told["results"])


def test_a_batch_answers_as_the_service_does_bit_for_bit(service, batch):
    answers = list(asked(service, batch["applicant_id"].to_list()))
    assert len(answers) == ROWS
    differing = []
    for row, answer in zip(batch.to_dicts(), answers, strict=True):
        told = answer | {"model_version": answer["model"]["version"]}
        told |= {"as_of": pl.Series([answer["as_of"]]).str.to_datetime(time_unit="us")[0]}
        same = all(told[name] == row[name] for name in (*SAME, *SAME_TOO))
        if not same or [reason["code"] for reason in told["reasons"]] != row["reason_codes"]:
            differing.append(row["application_id"])
    assert differing == []
    assert batch["arm"].value_counts().height == 2
    assert (batch["arm"] == batch["decider"]).all()


def test_records_of_a_batch_are_those_of_the_service(service, batch):
    row = batch.filter(decider="challenger").row(0, named=True)
    own = service.get(f"/v1/decisions/{row['decision_id']}").json()
    other = service.decide({"application_id": "api-record", "applicant_id": row["applicant_id"]}).json()
    other = service.get(f"/v1/decisions/{other['decision_id']}").json()
    unlike = {name for name in own if own[name] != other[name]}
    assert unlike == {"decision_id", "application_id", "request_id", "received", "decided_at", "features"}
    assert {name: used["values"] for name, used in own["features"].items()} == {
        name: used["values"] for name, used in other["features"].items()
    }
    assert own["received"] == {"application_id": row["application_id"], "applicant_id": row["applicant_id"]}


def test_a_batch_run_again_repeats_its_answers_and_records_nothing_twice(decided, batch):
    before = recorded(decided)
    assert decided.run(BATCH, named("first")).code == 0
    assert recorded(decided) == before
    assert table(decided).equals(batch)


def test_a_batch_without_a_name_is_that_of_its_day_and_of_no_other(decided, batch):
    before = recorded(decided)
    for _ in range(2):
        assert decided.run(BATCH).code == 0
        assert recorded(decided) == before + ROWS
    assert set(table(decided)["decision_id"]).isdisjoint(batch["decision_id"])


def test_a_batch_leaves_its_counts_on_its_run(decided, batch):
    assert decided.run(BATCH, named("first")).code == 0
    run = decided.last_run()
    assert run["metrics"]["batch_decisions.decided"] == ROWS
    assert run["metrics"]["batch_decisions.problems"] == 0
    assert "batch_decisions/batch_summary.json" in run["artifacts"]
    assert {"portfolio", "batch_decisions.at_once"} <= run["params"].keys()
    summary = decided.json(f"data/5_decisions/{PORTFOLIO}/batch_summary.json")
    assert sum(summary["by_recommendation"].values()) == summary["applications"] == ROWS
    assert summary["by_arm"] == dict(batch["arm"].value_counts().iter_rows())
    assert summary["by_request_id"] == {"batch:first": ROWS}


def test_the_name_of_a_batch_that_yaml_takes_for_another_is_refused(decided):
    finished = decided.run(BATCH, named("2026.10"))
    assert_one_message(finished, "parameters_batch_decisions.yml")
    assert "batch_decisions.batch_id" in finished.stderr


def test_a_listed_table_is_decided_row_by_row_and_a_bad_row_harms_no_other(decided):
    catalog = decided.root / f"conf/{PORTFOLIO}/catalog.yml"
    listed = decided.root / "listed.csv"
    rows = [
        "application_id,applicant_id,as_of,branch",
        "loan-1,17,,x",
        "loan-2,18,2005-09-20T12:00:00+02:00,x",
        "loan-3,nobody,,x",
        "loan-4,,,x",
        "loan-5,19,2005-09-20,x",
        "loan-6,20,2999-01-01T00:00:00Z,x",
        ",21,,x",
        f"loan-7,{'2' * 129},,x",
        "loan-1,17,,x",
        "loan-1,18,,x",
    ]
    listed.write_text("\n".join(rows))
    catalog.write_text(
        f"raw_batch_applications:\n  type: credit_scoring.adapters.sources.DelimitedDataset\n  filepath: {listed}\n"
    )
    try:
        finished = decided.run(BATCH, named("listed", at_once=4))
    finally:
        catalog.unlink()
    assert finished.code == 0, finished.stderr
    told = table(decided)
    assert told["problem"].to_list() == [
        None,
        None,
        "unknown_applicant",
        *["invalid_application"] * 5,
        None,
        "application_reused",
    ]
    assert told["application_id"].to_list() == [row.partition(",")[0] for row in rows[1:]]
    assert told["decision_id"][0] == told["decision_id"][8]
    assert told["as_of"].dt.date().cast(pl.String).to_list()[:2] == ["2005-10-01", "2005-09-20"]
    assert told.filter(pl.col("problem").is_not_null())["points_exact"].is_null().all()
    with served(decided) as service:
        sent = {"application_id": "loan-2", "applicant_id": "18", "as_of": "2005-09-20T10:00:00+00:00"}
        assert service.decide(sent).json()["decision_id"] == told["decision_id"][1]
    assert decided.last_run()["metrics"]["batch_decisions.problem.invalid_application"] == 5


def test_a_killed_batch_run_again_decides_the_rest(decided, batch):
    before = recorded(decided)
    killed = decided.run(BATCH, named("killed", at_once=250), before=die_after_five_parts)
    assert killed.code == -9
    assert recorded(decided) == before + 1250
    first = dict(decided.records("select application_id, decision_id from decisions"))
    finished = decided.run(BATCH, named("killed"))
    assert finished.code == 0, finished.stderr
    assert recorded(decided) == before + ROWS
    told = table(decided)
    kept = [row for row in told.iter_rows(named=True) if row["application_id"] in first]
    assert len(kept) == 1250
    assert all(first[row["application_id"]] == row["decision_id"] for row in kept)
    assert told.select(SAME).equals(batch.select(SAME))


def die_after_five_parts() -> None:
    """Have this process killed right after it has recorded a fifth part."""
    import os  # noqa: PLC0415 - in the process of the run
    import signal  # noqa: PLC0415

    from credit_scoring.adapters.database.decisions import DecisionRepository  # noqa: PLC0415

    add, parts = DecisionRepository.add, []

    def add_and_die(self: Any, records: Any) -> Any:
        held = add(self, records)
        parts.append(len(held))
        if len(parts) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return held

    DecisionRepository.add = add_and_die


def challenger_hangs() -> None:
    """Have the challenger never come back in this process."""
    import time  # noqa: PLC0415 - in the process of the run

    from credit_scoring.usecases.challenger import ChallengerThread  # noqa: PLC0415

    run = ChallengerThread.run
    ChallengerThread.run = lambda self, _work: run(self, lambda: time.sleep(3600))


def test_a_challenger_that_hangs_for_ever_does_not_stop_a_batch(decided, batch):
    finished = decided.run(BATCH, named("hung", challenger_budget_s=1), before=challenger_hangs)
    assert finished.code == 0, finished.stderr
    told = table(decided)
    assert (told["decider"] == "champion").all()
    assert told["fallback"].equals(batch["arm"] == "challenger", check_names=False)
    own = batch["arm"] == "champion"
    assert told.filter(own).select(SAME).equals(batch.filter(own).select(SAME))
    assert decided.last_run()["metrics"]["batch_decisions.fallbacks"] == (~own).sum()


def test_a_full_disk_is_told_and_what_is_recorded_stays(decided, batch):
    before = recorded(decided)
    # Room for MLflow's database, and for a part of the decisions in the log that SQLite writes ahead.
    most = (decided.root / "mlflow.db").stat().st_size + 2_000_000
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
    finished = decided.run(BATCH, named("full", at_once=200), before=full)
    done = recorded(decided) - before
    assert 0 < done < ROWS
    assert_one_message(finished, "disk space", "batch_decisions.batch_id=full", f"{done:,} applications")
    assert decided.run(BATCH, named("full")).code == 0
    assert recorded(decided) == before + ROWS
    assert table(decided).select(SAME).equals(batch.select(SAME))


@pytest.mark.parametrize(
    ("url", "word"),
    [("sqlite:////proc/no/records.db", "/proc/no"), ("postgresql+psycopg://127.0.0.1:9/x", "127.0.0.1")],
)
def test_a_database_that_is_down_is_told(decided, batch, url, word):
    assert_one_message(decided.run(BATCH, CREDIT_DATABASE_URL=url), word, "CREDIT_DATABASE_URL")


def test_without_stored_facts_or_roles_the_message_says_what_to_run(decided, batch, fresh):
    assert_one_message(decided.run(BATCH, CREDIT_TENANT="other"), "'credit-scoring ingest", "CREDIT_TENANT")
    load_facts(fresh)
    assert_one_message(fresh.run(BATCH), "no champion and challenger", "kedro run --env")


def test_bundles_come_from_the_registry_when_another_portfolio_is_staged(decided, batch):
    staged = decided.root / "build/bento/package.json"
    content = staged.read_text()
    staged.write_text(json.dumps(json.loads(content) | {"portfolio": "another"}))
    try:
        finished = decided.run(BATCH, named("first"))
    finally:
        staged.write_text(content)
    assert finished.code == 0, finished.stderr
    assert table(decided).equals(batch)
