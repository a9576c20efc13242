import json
import logging
import re

import polars as pl
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from credit_scoring.core.drift import MonitoringOptions
from credit_scoring.core.errors import EvaluationError, MissingInputsError
from credit_scoring.core.lineage import lineage
from credit_scoring.core.splitting import assign_parts
from credit_scoring.pipelines.monitoring import create_pipeline
from credit_scoring.pipelines.monitoring.nodes import measure_stability

# Evidently 0.7.23 and litestar, which it imports, use what NumPy, Python and litestar itself deprecate.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

OPTIONS = MonitoringOptions(chance_draws=2000, evidently_columns=4, evidently_rows=300)


@pytest.fixture(scope="module")
def inputs(taiwan, taiwan_features, boosted_trees_bundle):
    return {
        "portfolio": taiwan,
        "features_applicants": taiwan_features,
        "features_description": lineage(taiwan, "sha256:received"),
        "features_parts": assign_parts(taiwan_features.select("applicant_id"), taiwan.split),
        "champion_bundle": boosted_trees_bundle,
        "params:monitoring": OPTIONS,
    }


@pytest.fixture(scope="module")
def moved(inputs):
    """The same features, but in the stream the limits have doubled and education arrives for half."""
    in_stream = pl.col("part") == "stream"
    later = pl.int_range(pl.len()) % 2 == 0
    return (
        inputs["features_applicants"]
        .join(inputs["features_parts"], on="applicant_id", maintain_order="left")
        .with_columns(
            limit_twd=pl.when(in_stream).then(pl.col("limit_twd") * 2).otherwise("limit_twd").cast(pl.Float32),
            education=pl.when(in_stream & later).then(None).otherwise("education"),
        )
        .drop("part")
    )


def measured(inputs, **changed):
    given = inputs | changed
    return measure_stability(
        given["portfolio"],
        given["features_applicants"],
        given["features_description"],
        given["features_parts"],
        given["champion_bundle"],
        given["params:monitoring"],
    )


@pytest.fixture(scope="module")
def report(inputs, moved):
    given = inputs | {"features_applicants": moved}
    catalog = DataCatalog({name: MemoryDataset(value, copy_mode="assign") for name, value in given.items()})
    released = SequentialRunner().run(create_pipeline(), catalog)
    return {name: dataset.load() for name, dataset in released.items()}


def test_the_real_stream_has_not_drifted(inputs):
    found, scores = measured(inputs)
    assert scores["drifted_count"] == scores["watched_count"] == 0
    assert {row["level"] for row in found["columns"]} == {"stable"}
    assert found["period"] == {"part": "stream", "applicants": 10_553}


def test_drifted_features_are_found_and_nothing_else(inputs, moved):
    found, scores = measured(inputs, features_applicants=moved)
    assert {row["column"] for row in found["columns"] if row["level"] == "drift"} == {"limit_twd", "education"}
    assert scores["drifted_count"] == 2
    education = next(row for row in found["columns"] if row["column"] == "education")
    assert education["missing_share"] == pytest.approx(0.5, abs=0.02)


def test_the_points_are_watched_but_not_counted_among_features(inputs):
    low_limits = inputs["features_applicants"].with_columns(pl.lit(5.0, pl.Float32).alias("status_now"))
    found, scores = measured(inputs, features_applicants=low_limits)
    assert {row["column"] for row in found["columns"] if row["level"] != "stable"} == {"status_now", "points"}
    assert scores["drifted_count"] + scores["watched_count"] == 1
    assert scores["psi_points"] > 0.10


def test_small_samples_of_an_unchanged_population_are_hardly_ever_flagged(inputs):
    parts = inputs["features_parts"]
    stream = parts.filter(pl.col("part") == "stream")
    flagged = 0
    for seed in range(8):
        few = pl.concat([parts.filter(pl.col("part") != "stream"), stream.sample(80, seed=seed)])
        found, scores = measured(inputs, features_parts=few)
        assert scores["psi_max"] > 0.10
        flagged += {row["level"] for row in found["columns"]} != {"stable"}
    assert flagged <= 2  # 5 % of reports may flag something; more than 2 of 8 would in 6 of 1,000 such tests


def test_the_drifted_features_are_told(inputs, moved, caplog):
    with caplog.at_level(logging.INFO, logger="credit_scoring"):
        measured(inputs, features_applicants=moved)
        told = caplog.text
        caplog.clear()
        measured(inputs)
    assert "limit_twd" in told
    assert "education" in told
    assert "Nothing drifted" in caplog.text


def test_an_empty_period_is_refused(inputs):
    nobody = inputs["features_parts"].filter(pl.col("part") != "stream")
    with pytest.raises(EvaluationError, match="'stream' has no applicants"):
        measured(inputs, features_parts=nobody)


def test_a_champion_with_other_features_is_refused(inputs):
    with pytest.raises(MissingInputsError, match="limit_twd"):
        measured(inputs, features_applicants=inputs["features_applicants"].drop("limit_twd"))


def test_the_pipeline_gives_plain_json_and_an_html_report_of_the_most_moved_columns(report):
    assert report.keys() == {"monitoring_scores", "monitoring_evidently_html", "monitoring_evidently_json"}
    assert all(type(value) is float for value in report["monitoring_scores"].values())
    written = json.dumps(report["monitoring_evidently_json"])
    assert "limit_twd" in written
    assert "points" in written
    html = report["monitoring_evidently_html"]
    assert html.lstrip().lower().startswith(("<!doctype html", "<html"))
    assert not re.search(r"<(script|link|img|iframe)[^>]*\s(src|href)=[\"']?(https?:)?//", html)


def test_evidently_sees_the_categories_that_stopped_arriving(report):
    metrics = {
        entry["config"].get("column"): entry["value"] for entry in report["monitoring_evidently_json"]["metrics"]
    }
    assert metrics["education"] > 0.25
    assert metrics["limit_twd"] > 0.25
