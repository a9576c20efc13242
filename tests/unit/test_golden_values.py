"""Ten applicants' feature values and exact points, held in a reviewed file.

After a change that is meant to move values, raise ``COMPUTATION_VERSION`` (or change the declaration: either
gives another feature-set version) and run ``python -m pytest tests/unit/test_golden_values.py
--regenerate-golden``; the difference of the file is reviewed with the change, and CHANGELOG.md says MODEL.
"""

import json
import struct
from typing import Any

import polars as pl
import pytest
from conftest import ROOT

from credit_scoring.core.features.feature_set import FeatureSet, to_matrix
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scoring import ModelBundle, score

PATH = ROOT / "tests" / "golden" / "features_taiwan.json"
APPLICANTS = ("1", "2", "3", "8", "13", "46", "500", "4711", "15000", "30000")
CHANGED = (
    "Feature values changed under the same feature-set version: models would be scored on other values than they were "
    "fitted on. Raise COMPUTATION_VERSION, or undo the change; see the top of this file."
)


def current(taiwan: Portfolio, features: pl.DataFrame, bundles: dict[str, ModelBundle]) -> dict[str, Any]:
    rows = features.filter(pl.col("applicant_id").is_in(APPLICANTS))
    matrix = to_matrix(rows, FeatureSet.of(taiwan).names)
    points = {name: score(matrix, bundle).points_exact for name, bundle in bundles.items()}
    return {
        "feature_set": FeatureSet.of(taiwan).version,
        "applicants": {
            row["applicant_id"]: {
                "features": {name: value for name, value in row.items() if name != "applicant_id"},
                "points_exact": {name: round(float(points[name][number]), 6) for name in points},
            }
            for number, row in enumerate(rows.iter_rows(named=True))
        },
    }


def features_of(found: dict[str, Any]) -> dict[str, Any]:
    return {applicant: values["features"] for applicant, values in found["applicants"].items()}


def refuse_silent_change(now: dict[str, Any], then: dict[str, Any]) -> None:
    if now["feature_set"] == then["feature_set"] and features_of(now) != features_of(then):
        pytest.fail(CHANGED)


@pytest.fixture(scope="module")
def computed(
    taiwan: Portfolio,
    taiwan_features: pl.DataFrame,
    scorecard_bundle: ModelBundle,
    boosted_trees_bundle: ModelBundle,
    request: pytest.FixtureRequest,
) -> dict[str, Any]:
    bundles = {"scorecard": scorecard_bundle, "boosted_trees": boosted_trees_bundle}
    found = current(taiwan, taiwan_features, bundles)
    if request.config.getoption("--regenerate-golden"):
        if PATH.exists():
            refuse_silent_change(found, json.loads(PATH.read_text(encoding="utf-8")))
        PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def held(computed: dict[str, Any]) -> dict[str, Any]:
    """The reviewed values, after ``computed`` has written them anew where that was asked for."""
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def test_the_file_is_of_the_present_feature_set(computed: dict[str, Any], held: dict[str, Any]):
    assert computed["feature_set"] == held["feature_set"], "Run pytest with --regenerate-golden and review the file."


def test_no_feature_value_moves_without_a_new_feature_set_version(computed: dict[str, Any], held: dict[str, Any]):
    if computed["feature_set"] != held["feature_set"]:
        pytest.skip("a new feature set; the file is to be regenerated")
    for applicant in APPLICANTS:
        now, then = (found["applicants"][applicant]["features"] for found in (computed, held))
        assert list(now) == list(then), CHANGED
        for name, value in then.items():
            same = now[name] is None if value is None else struct.pack("f", now[name]) == struct.pack("f", value)
            assert same, f"{applicant}, {name}: {CHANGED}"


def test_points_of_the_sample_models_stay_where_they_were(computed: dict[str, Any], held: dict[str, Any]):
    for applicant in APPLICANTS:
        now, then = (found["applicants"][applicant]["points_exact"] for found in (computed, held))
        assert now == pytest.approx(then, abs=1e-3), f"{applicant}: points moved; regenerate and review the file."
