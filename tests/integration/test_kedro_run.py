import json
import re
import shutil
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from integration.kedro_project import MODEL, MODELS, PORTFOLIO, Finished, Project
from kedro.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
TOPOLOGY = ROOT / "tests/golden/topology.txt"
CANDIDATES = ("scorecard", "boosted_trees")
TAGS = {"algorithm", "dataset_version", "auc_roc", "training_duration_s", "feature_set", "git_commit", "stage"}


@pytest.fixture(scope="module")
def second_run(ran: Project) -> Finished:
    """Another whole run, with another hash seed and two Polars threads."""
    return ran.run(POLARS_MAX_THREADS="2")


@pytest.fixture(scope="module")
def second_versions(ran: Project, second_run: Finished) -> list[dict[str, str]]:
    assert second_run.code == 0, second_run.stderr
    return ran.registered()[-2:]


def test_a_whole_run_ends_well_and_tells_both_models_and_what_to_do_next(first_run, ran, first_results):
    assert first_run.code == 0
    for heading in ("role", "algorithm", "version", "auc", "gini", "ks", "brier", "slope"):
        assert heading in first_run.stdout.lower()
    evaluated = ran.json(str(first_results / MODELS / "evaluation/metrics.json"))["candidates"]
    for role, algorithm, version in (("champion", "scorecard", 1), ("challenger", "boosted_trees", 2)):
        told = next(line for line in first_run.stdout.splitlines() if role in line).split()
        judged = evaluated[algorithm]
        figures = (judged["auc"]["value"], judged["gini"]["value"], judged["ks"], judged["brier"])
        assert told[:3] == [role, algorithm, str(version)]
        expected = (*figures, judged["calibration"]["slope"]["value"])
        assert [float(figure) for figure in told[3:]] == pytest.approx(expected, abs=1e-4)
    report = f"{MODELS}/evaluation/report.html"
    assert report in first_run.stdout
    assert (ran.root / report).stat().st_size > 100_000
    commands = [line.removeprefix("Next:").strip() for line in first_run.stdout.splitlines()[-2:]]
    assert commands == [f"make serve PORTFOLIO={PORTFOLIO}", f"kedro run --env={PORTFOLIO} --pipeline=monitoring"]


def test_a_whole_run_warns_of_nothing(first_run):
    assert not re.findall(r".*(?:Warning|WARNING|ERROR|Traceback).*", first_run.stderr)


def test_a_whole_run_builds_the_bento_that_its_tag_file_names(ran):
    name, _, version = (ran.root / f"build/{MODEL}.tag").read_text().strip().partition(":")
    assert name == MODEL
    assert (ran.bentos / "bentos" / name / version / "bento.yaml").is_file()


def test_the_first_run_gives_both_roles_and_aliases_mirror_them(ran):
    champion, challenger = ran.registered()[:2]
    assert (champion["algorithm"], champion["stage"]) == ("scorecard", "Production")
    assert (challenger["algorithm"], challenger["stage"]) == ("boosted_trees", "Staging")
    assert ran.roles() == ran.aliases() == {"champion": 1, "challenger": 2}


def test_each_version_is_described_and_tagged(ran):
    for version in ran.registered():
        assert version.keys() >= TAGS
        assert "registration" not in version
        assert version["algorithm"] in version["description"]
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", version["dataset_version"])
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", version["git_commit"])
        assert 0.5 < float(version["auc_roc"]) < 0.8
        assert float(version["training_duration_s"]) > 0


def test_a_later_run_registers_candidates_and_moves_nothing(ran, second_run, second_versions):
    assert [version["candidate"] for version in second_versions] == ["scorecard", "boosted_trees"]
    assert [version["stage"] for version in second_versions] == ["Staging", "Staging"]
    assert ran.roles() == ran.aliases() == {"champion": 1, "challenger": 2}
    assert len(ran.records("select * from roles")) == 1
    numbers = " and ".join(version["version"] for version in second_versions)
    assert f"registered versions {numbers} as candidates; the roles stay" in second_run.stdout


def test_two_runs_give_the_same_bundles_byte_for_byte(ran, second_versions, first_results):
    for candidate in CANDIDATES:
        first, second = (root / MODELS / candidate / "bundle" for root in (first_results, ran.root))
        names = {path.name for path in first.iterdir()}
        assert names == {path.name for path in second.iterdir()}
        assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    first_versions = ran.registered()[:2]
    assert [version["digest"] for version in first_versions] == [version["digest"] for version in second_versions]


@pytest.mark.parametrize(
    "path",
    [
        f"data/2_validated/{PORTFOLIO}/ingestion_summary.json",
        f"data/2_validated/{PORTFOLIO}/events/statements.parquet",
        f"data/3_features/{PORTFOLIO}/applicants.parquet",
        f"data/3_features/{PORTFOLIO}/parts.parquet",
        f"{MODELS}/evaluation/metrics.json",
        f"{MODELS}/evaluation/report.html",
    ],
)
def test_two_runs_give_the_same_tables_and_figures(ran, second_versions, first_results, path):
    assert (ran.root / path).read_bytes() == (first_results / path).read_bytes()


def test_packaging_takes_the_bundles_that_hold_the_roles_now(fresh):
    assert fresh.run("--pipeline=registration").code == 0
    assert fresh.run("--pipeline=registration").code == 0
    swapped = json.loads(fresh.records("select roles from roles")[0][0])
    swapped["champion"], swapped["challenger"] = swapped["challenger"], swapped["champion"]
    with sqlite3.connect(fresh.root / "records.db") as records:
        row = (PORTFOLIO, 2, "2026-01-01 00:00:00", "promotion", json.dumps(swapped))
        records.execute(
            "insert into roles (portfolio, sequence, recorded_at, cause, roles) values (?, ?, ?, ?, ?)", row
        )
    assert fresh.run("--pipeline=packaging", "--nodes=stage_bundles").code == 0
    assert fresh.json("build/bento/package.json")["roles"]["champion"]["algorithm"] == "boosted_trees"


FLAT = """
name: flat
title: A flat portfolio
as_of: {constant: 2005-10-01}
applicants:
  key: ID
  columns:
    limit_twd: {source: LIMIT_BAL, type: integer, min: 1, example: 90000}
    status: {source: PAY_0, type: integer, nullable: true, example: 0}
    defaulted: {source: default_payment_next_month, type: integer, after_outcome: true}
outcome: {column: defaulted, bad: [1], good: [0], window_days: 31}
split: {salt: flat, development: 0.6, holdout: 0.2, stream: 0.2}
policy:
  {version: "1", approve_from: 535, refer_from: 500, bands: [{name: A, from_points: 300}], reference_size: 50}
reasons: {R1: {text: Credit limit}, R2: {text: Delay of repayment}}
features:
  limit_twd: {column: limit_twd, higher_is: safer, reason: R1}
  status: {column: status, higher_is: riskier, reason: R2}
"""


def test_a_flat_portfolio_runs_by_its_declaration_alone(fresh):
    (fresh.root / "conf/flat").mkdir()
    (fresh.root / "conf/flat/portfolio.yml").write_text(FLAT)
    shutil.copy(fresh.root / f"conf/{PORTFOLIO}/parameters.yml", fresh.root / "conf/flat")
    shutil.copytree(fresh.root / f"data/1_raw/{PORTFOLIO}", fresh.root / "data/1_raw/flat")
    finished = fresh.run("--env=flat")
    assert finished.code == 0, finished.stderr
    assert "credit_scoring_flat" in finished.stdout
    assert (fresh.root / "build/credit_scoring_flat.tag").read_text().startswith("credit_scoring_flat:")
    assert fresh.run("--env=flat", "--pipeline=monitoring").code == 0


def test_a_run_from_a_directory_of_the_project_is_a_run_of_the_project(ran):
    below = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--pipeline=ingestion"],
        cwd=ran.root / "conf/base",
        env=ran.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert below.returncode == 0, below.stderr
    assert {path.suffix for path in (ran.root / "conf/base").iterdir()} == {".yml"}


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    with warnings.catch_warnings():
        # Evidently warns on import; that names hold dots is what settings.py says to Kedro.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="One or more dataset names contain '.' characters")
        from credit_scoring.pipeline_registry import register_pipelines  # noqa: PLC0415

        return register_pipelines()


def test_the_wiring_of_the_pipelines_is_the_reviewed_one(pipelines, request):
    lines = [
        f"{name}: {node.name}: {', '.join(sorted(node.inputs))} -> {', '.join(sorted(node.outputs))}"
        for name, pipeline in pipelines.items()
        if name != "__default__"
        for node in sorted(pipeline.nodes, key=lambda node: node.name)
    ]
    wired = "\n".join(lines) + "\n"
    if request.config.getoption("--regenerate-golden"):
        TOPOLOGY.write_text(wired)
    assert TOPOLOGY.read_text() == wired, "Review the wires; then run this test with --regenerate-golden."


def test_a_whole_run_is_every_pipeline_up_to_the_bento(pipelines):
    afterwards = {"__default__", "materialization", "batch_decisions", "monitoring"}
    whole = {node.name for node in pipelines["__default__"].nodes}
    parts = [pipeline for name, pipeline in pipelines.items() if name not in afterwards]
    assert whole == {node.name for pipeline in parts for node in pipeline.nodes}
