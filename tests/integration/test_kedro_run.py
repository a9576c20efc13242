import re
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
    name, _, version = (ran.root / "build/bento.tag").read_text().strip().partition(":")
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


def test_a_whole_run_is_every_pipeline_but_monitoring(pipelines):
    whole = {node.name for node in pipelines["__default__"].nodes}
    parts = [pipeline for name, pipeline in pipelines.items() if name not in ("__default__", "monitoring")]
    assert whole == {node.name for pipeline in parts for node in pipeline.nodes}
