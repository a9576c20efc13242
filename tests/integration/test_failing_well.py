import gzip
import json
import re
import shutil
import time
from collections.abc import Callable

import polars as pl
import pytest
from integration.kedro_project import (
    APPLICANTS,
    FEATURES,
    MODELS,
    PORTFOLIO,
    Finished,
    Project,
    allow_small_files_only,
    die_after_the_first_version,
    received_rows,
    write_rows,
)

DECLARATION = f"conf/{PORTFOLIO}/portfolio.yml"
TRAINING = "conf/base/parameters_training.yml"
BUNDLE = f"{MODELS}/boosted_trees/bundle"
RECEIVED_VALUES = {value for row in received_rows()[1:] for value in row.split(",")[12:] if len(value) > 4}
"""Bills and payments, as a message could show them."""

Spoil = Callable[[Project], object]


def nothing(project: Project) -> None:
    """The command itself is at fault."""


def replaced(path: str, old: str, new: str) -> Spoil:
    def spoil(project: Project) -> None:
        text = (project.root / path).read_text()
        assert text.count(old) >= 1
        (project.root / path).write_text(text.replace(old, new, 1))

    return spoil


def written(path: str, content: bytes) -> Spoil:
    return lambda project: (project.root / path).write_bytes(content)


def removed(path: str) -> Spoil:
    return lambda project: (project.root / path).unlink()


def cut(path: str) -> Spoil:
    def spoil(project: Project) -> None:
        whole = (project.root / path).read_bytes()
        (project.root / path).write_bytes(whole[: len(whole) // 2])

    return spoil


def full_disk(path: str) -> Spoil:
    def spoil(project: Project) -> None:
        (project.root / path).unlink()
        (project.root / path).symlink_to("/dev/full")

    return spoil


def header_alone(project: Project) -> None:
    write_rows(project.root / APPLICANTS, received_rows()[:1])


def every_row_broken(project: Project) -> None:
    header, *rows = received_rows()
    write_rows(project.root / APPLICANTS, [header, *(f"{row.rpartition(',')[0]},7" for row in rows)])


def column_dropped(project: Project) -> None:
    path = project.root / FEATURES
    pl.read_parquet(path).drop("status_now").write_parquet(path)


def other_calibration(project: Project) -> None:
    """A bundle that is whole, but not the one that was judged."""
    path = project.root / BUNDLE / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["calibration"]["slope"] += 0.25
    path.write_text(json.dumps(manifest, indent=1))


FAULTS: dict[str, tuple[Spoil, str, tuple[str, ...]]] = {
    # the command
    "a portfolio that is not declared": (nothing, "--env=taiwan_card", ("taiwan_card/portfolio.yml", "taiwan_cards")),
    "a pipeline that is not there": (nothing, "--pipeline=trainin", ("'training'", "monitoring")),
    "a node that is not there": (nothing, "--nodes=fit_modell", ("fit_modell",)),
    "a parameter of the wrong type": (
        nothing,
        "--params=scorecard.fit.max_bins=lots",
        ("'scorecard.fit.max_bins'", "integer", TRAINING, "--params"),
    ),
    "a parameter that is not there": (
        nothing,
        "--params=scorecard.fit.max_binz=5",
        ("scorecard.fit.max_binz", "no such"),
    ),
    "a group of parameters that is not there": (
        nothing,
        "--params=scorekard.fit.max_bins=5",
        ("scorekard", "'scorecard'"),
    ),
    # the configuration
    "a feature of an unknown column": (
        replaced(DECLARATION, "{column: limit_twd,", "{column: limit_tvd,"),
        "--pipeline=ingestion",
        (DECLARATION, "line ", "features.limit_twd.column", "'limit_twd'"),
    ),
    "a column that was not received": (
        replaced(DECLARATION, "source: LIMIT_BAL", "source: LIMIT_BALL"),
        "--pipeline=ingestion",
        ("'LIMIT_BALL'", "'LIMIT_BAL'", "declaration"),
    ),
    "a misspelt key": (
        replaced(DECLARATION, "higher_is: safer", "higher_iss: safer"),
        "--pipeline=ingestion",
        (DECLARATION, "line ", "higher_iss", "'higher_is'"),
    ),
    "a protected attribute as a feature": (
        replaced(DECLARATION, "{column: limit_twd,", "{column: age_years,"),
        "",
        (DECLARATION, "line ", "'age_years' is a protected attribute"),
    ),
    "a declaration that is not YAML": (
        replaced(DECLARATION, "applicants:", "applicants: ]"),
        "--pipeline=ingestion",
        (DECLARATION, "line "),
    ),
    "a number that is a word": (
        replaced(TRAINING, "max_bins: 6", "max_bins: six"),
        "--pipeline=training",
        (TRAINING, "'scorecard.fit.max_bins'", "integer", "six"),
    ),
    "a misspelt parameter": (
        replaced(TRAINING, "max_bins: 6", "max_binz: 6"),
        "--pipeline=training",
        (TRAINING, "'scorecard.fit.max_binz'", "no such"),
    ),
    "parameters that are not YAML": (
        replaced(TRAINING, "scorecard:", "scorecard: ]"),
        "--pipeline=training",
        (TRAINING, "line 7"),
    ),
    # the received file
    "no received file": (removed(APPLICANTS), "", (APPLICANTS, "absent")),
    "a received file that is noise": (written(APPLICANTS, bytes(range(256)) * 9), "", (APPLICANTS, "not gzip")),
    "an empty received file": (written(APPLICANTS, b""), "", (APPLICANTS, "empty")),
    "a received file of nothing, compressed": (written(APPLICANTS, gzip.compress(b"")), "", (APPLICANTS, "empty")),
    "a received file cut short": (cut(APPLICANTS), "", (APPLICANTS, "cut off")),
    "a header without rows": (header_alone, "", ("no rows",)),
    "a file of broken rows": (
        every_row_broken,
        "",
        ("3,000 of 3,000", "default_payment_next_month", "max_quarantined_share"),
    ),
    # what earlier runs left
    "a damaged table": (cut(FEATURES), "--pipeline=training", (FEATURES, "kedro run")),
    "a table of older features": (column_dropped, "--pipeline=training", ("status_now", "kedro run")),
    "no table": (removed(FEATURES), "--pipeline=training", (FEATURES, "kedro run")),
    "an altered model": (
        written(f"{BUNDLE}/model.ubj", b"?"),
        "--pipeline=registration",
        ("model.ubj", BUNDLE),
    ),
    "another model than was judged": (other_calibration, "--pipeline=registration", ("'boosted_trees'", "training")),
    "damaged figures": (
        written(f"{MODELS}/evaluation/metrics.json", b"{"),
        "--pipeline=registration",
        (f"{MODELS}/evaluation/metrics.json", "kedro run"),
    ),
    "a full disk": (full_disk(FEATURES), "--pipeline=features", (FEATURES, "No space left")),
}


def assert_one_message(finished: Finished, *words: str) -> None:
    """One message on stderr beside the log of finished steps, no trace, and no value that was received."""
    assert finished.code > 0
    told = [line for line in finished.stderr.splitlines() if not re.match(r"[\d:]{8} INFO ", line)]
    assert told[0].startswith(("Error: ", "Usage: ")), finished.stderr
    assert sum(line.startswith("Error: ") for line in told) == 1
    assert len(told) < 4
    assert "Traceback" not in finished.stderr
    assert not RECEIVED_VALUES & set(re.findall(r"\d+", finished.stderr))
    assert all(word in finished.stderr for word in words), finished.stderr


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_in_one_message_and_registers_nothing(restored, fault):
    spoil, arguments, words = FAULTS[fault]
    before = restored.state()
    spoil(restored)
    assert_one_message(restored.run(*arguments.split()), *words)
    assert restored.state() == before


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("sqlite:///pyproject.toml", "not a database"),
        ("nonsense://here", "nonsense://here"),
    ],
)
def test_a_tracking_store_that_cannot_be_used_is_told(ran, uri, word):
    before = ran.state()
    assert_one_message(ran.run("--pipeline=ingestion", MLFLOW_TRACKING_URI=uri), "MLFLOW_TRACKING_URI", word)
    assert ran.state() == before


@pytest.mark.parametrize(
    ("arguments", "database", "words"),
    [
        ("--params=registration.champion=tree", None, ("tree", "parameters_registration.yml")),
        ("", "sqlite:////proc/no/records.db", ("/proc/no", "CREDIT_DATABASE_URL")),
        ("", "records", ("CREDIT_DATABASE_URL", "sqlite:///")),
    ],
)
def test_roles_that_cannot_be_given_are_told_before_anything_is_registered(fresh, arguments, database, words):
    variables = {"CREDIT_DATABASE_URL": database} if database else {}
    assert_one_message(fresh.run("--pipeline=registration", *arguments.split(), **variables), *words)
    assert fresh.registered() == []
    assert fresh.roles() == fresh.aliases() == {}


def test_a_model_trained_again_is_not_registered_with_the_figures_of_its_predecessor(fresh):
    assert fresh.run("--pipeline=training", "--params=boosted_trees.fit.rounds=2").code == 0
    assert_one_message(fresh.run("--pipeline=registration"), "boosted_trees", "evaluation")
    assert fresh.registered() == []


@pytest.mark.parametrize(
    ("old", "new", "readers"),
    [
        ("salt: taiwan_cards", "salt: another", ("training", "evaluation", "monitoring")),
        (
            "{table: statements, column: paid_twd, aggregate: max}",
            "{table: statements, column: paid_twd, aggregate: min}",
            ("training",),
        ),
    ],
)
def test_features_of_another_declaration_are_read_by_nobody(restored, old, new, readers):
    replaced(DECLARATION, old, new)(restored)
    before = restored.state()
    for reader in readers:
        if reader != "training":
            assert restored.run("--pipeline=features").code == 0
        assert_one_message(restored.run(f"--pipeline={reader}"), "features", "Run 'kedro run'")
    assert restored.state() == before


def test_a_tracking_server_that_is_down_does_not_keep_anybody_waiting(ran):
    started = time.monotonic()
    finished = ran.run("--pipeline=ingestion", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert_one_message(finished, "MLFLOW_TRACKING_URI", "127.0.0.1:9")
    assert time.monotonic() - started < 60


def test_a_registry_on_a_full_disk_is_told_and_left_as_it_was(fresh):
    assert fresh.run("--pipeline=ingestion").code == 0
    assert_one_message(fresh.run("--pipeline=registration", before=allow_small_files_only), "disk", "mlflow.yml")
    assert fresh.registered() == []
    assert fresh.roles() == {}
    assert fresh.run("--pipeline=registration").code == 0
    assert fresh.roles() == {"champion": 1, "challenger": 2}


def test_part_of_a_run_ends_without_a_summary_of_what_it_did_not_do(fresh):
    shutil.rmtree(fresh.root / MODELS)
    finished = fresh.run("--tags=ingestion")
    assert (finished.code, finished.stdout) == (0, "")


def test_two_registrations_at_once_give_the_roles_once(fresh):
    assert fresh.run("--pipeline=ingestion").code == 0  # makes the registry's tables
    both = [fresh.start("--pipeline=registration") for _ in range(2)]
    for running in both:
        finished = running.wait()
        assert finished.code == 0, finished.stderr
    versions = fresh.registered()
    assert len(versions) == 4
    assert not any("registration" in version for version in versions)
    assert len(fresh.records("select * from roles")) == 1
    assert fresh.roles() == fresh.aliases()
    held = {version["version"]: version for version in versions}
    assert held[str(fresh.roles()["champion"])]["candidate"] == "scorecard"
    assert held[str(fresh.roles()["challenger"])]["candidate"] == "boosted_trees"


def test_after_a_killed_run_a_plain_run_works_and_nothing_half_registered_is_left(fresh):
    killed = fresh.start().kill_once("Completed node: boosted_trees.fit_model")
    assert killed.code == -9
    assert fresh.state() == ([], {}, [])

    killed = fresh.run(before=die_after_the_first_version)
    assert killed.code == -9
    assert [version["candidate"] for version in fresh.registered()] == ["scorecard"]
    assert "registration" in fresh.registered()[0]
    assert fresh.roles() == fresh.aliases() == {}

    finished = fresh.run()
    assert finished.code == 0, finished.stderr
    assert [version["version"] for version in fresh.registered()] == ["2", "3"]
    assert not any("registration" in version for version in fresh.registered())
    assert fresh.roles() == fresh.aliases() == {"champion": 2, "challenger": 3}
