import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from factories import build_portfolio

from credit_scoring.core.bundles import MANIFEST, digest, from_files, to_files
from credit_scoring.core.errors import BundleError
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.features.python_functions import FEATURES_FILE, python_declarations, source_digest
from credit_scoring.core.golden import GOLDEN_APPLICANT, example_value, golden_application, golden_points
from credit_scoring.core.portfolio import Column
from credit_scoring.core.scoring import Matrix, ModelBundle, explain, score
from credit_scoring.core.training.candidates import fit_candidate
from credit_scoring.core.training.development import Development
from credit_scoring.core.training.options import (
    BoostedTreesOptions,
    CalibrationOptions,
    CandidateOptions,
    ScorecardOptions,
)


@pytest.fixture(scope="session")
def files(bundle: ModelBundle) -> dict[str, bytes]:
    return to_files(bundle)


def edited(files: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    manifest = json.loads(files[MANIFEST])
    for key, value in changes.items():
        if value is ...:
            del manifest[key]
        else:
            manifest[key] = value
    return files | {MANIFEST: json.dumps(manifest).encode()}


def test_a_bundle_comes_back_as_it_was(bundle: ModelBundle, files: dict[str, bytes], matrix: Matrix):
    again = from_files(files, "here")
    assert again.portfolio == bundle.portfolio
    assert again.deciles == bundle.deciles
    assert again.calibration == bundle.calibration
    assert score(matrix, again).points_exact.tobytes() == score(matrix, bundle).points_exact.tobytes()
    assert explain(matrix, again).points.tobytes() == explain(matrix, bundle).points.tobytes()
    assert to_files(again) == files
    assert digest(to_files(again)) == digest(files)


def test_nothing_in_a_bundle_is_a_pickle(files: dict[str, bytes]):
    assert set(files) <= {MANIFEST, "reference.npy", "scorecard.json", "model.ubj", "encoder.json"}
    assert not any(content.startswith(b"\x80") for content in files.values())


def test_one_altered_byte_anywhere_is_refused(files: dict[str, bytes]):
    for name in files.keys() - {MANIFEST}:
        for position in (0, len(files[name]) // 2, len(files[name]) - 1):
            altered = bytearray(files[name])
            altered[position] ^= 1
            with pytest.raises(BundleError, match=f"'{name}' .* is not what was written"):
                from_files(files | {name: bytes(altered)}, "here")


def test_an_altered_manifest_has_another_digest_or_is_refused(files: dict[str, bytes]):
    draw = np.random.default_rng(0)
    for position in draw.integers(0, len(files[MANIFEST]), 60):
        altered = bytearray(files[MANIFEST])
        altered[position] ^= 1 << int(draw.integers(0, 7))
        damaged = files | {MANIFEST: bytes(altered)}
        assert digest(damaged) != digest(files)
        try:
            from_files(damaged, "here")
        except BundleError:
            continue


def test_an_absent_file_is_named(files: dict[str, bytes]):
    for name in files:
        with pytest.raises(BundleError, match=f"'{name}'"):
            from_files({other: content for other, content in files.items() if other != name}, "here")
    with pytest.raises(BundleError, match="Run 'kedro run' first"):
        from_files({}, "nowhere")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "has format 2; this code reads 1"),
        ({"format": ...}, "has format None"),
        ({"algorithm": "oracle"}, "known are boosted_trees, scorecard"),
        ({"algorithm": ["scorecard"]}, "not what was written"),
        ({"feature_set": "fs-0"}, "was fitted on feature set fs-0"),
        ({"feature_set": ...}, "not what was written"),
        ({"calibration": {"slope": 1}}, "not what was written"),
        ({"calibration": None}, "not what was written"),
        ({"checksums": ...}, "not what was written"),
        ({"checksums": {}, "algorithm": "boosted_trees"}, "not what was written"),
        ({"deciles": {"x": {}}}, "not what was written"),
        ({"portfolio": {"name": "x"}}, "not what was written"),
        ({"candidate": ...}, "not what was written"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(files: dict[str, bytes], changes: dict[str, object], told: str):
    if changes.get("checksums") == {}:
        files = {MANIFEST: files[MANIFEST]}
    with pytest.raises(BundleError, match=told):
        from_files(edited(files, **changes), "here")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe"])
def test_a_manifest_that_is_no_mapping_is_refused(files: dict[str, bytes], content: bytes):
    with pytest.raises(BundleError, match="here"):
        from_files(files | {MANIFEST: content}, "here")


def test_an_array_of_objects_is_never_unpickled(files: dict[str, bytes]):
    written = io.BytesIO()
    np.save(written, np.asarray([{}], dtype=object), allow_pickle=True)
    checksums = json.loads(files[MANIFEST])["checksums"] | {
        "reference.npy": hashlib.sha256(written.getvalue()).hexdigest()
    }
    with pytest.raises(BundleError):
        from_files(edited(files, checksums=checksums) | {"reference.npy": written.getvalue()}, "here")


def test_a_bundle_whose_declaration_computes_other_features_is_refused(files: dict[str, bytes]):
    portfolio = json.loads(files[MANIFEST])["portfolio"]
    portfolio["features"]["status_now"]["window"]["skip"] = 1
    with pytest.raises(BundleError, match="was fitted on feature set"):
        from_files(edited(files, portfolio=portfolio), "here")


def fitted_digests() -> list[str]:
    """Fit both algorithms on made-up rows and return the bundles' digests."""
    portfolio = build_portfolio(policy__approve_from=500, policy__refer_from=450)
    draw = np.random.default_rng(1)
    features = draw.normal(size=(1500, 4)).astype(np.float32)
    features[:, 1] = draw.integers(0, 3, 1500)
    features[:, 3] = draw.integers(-1, 6, 1500)
    features[draw.random(features.shape) < 0.1] = np.nan
    risk = -1 - np.nan_to_num(features[:, 0]) + 0.5 * np.nan_to_num(features[:, 3])
    is_bad = (draw.random(1500) < 1 / (1 + np.exp(-risk))).astype(np.int8)
    data = Development(portfolio, FeatureSet.of(portfolio), features, is_bad)
    fits = ScorecardOptions(algorithm="scorecard"), BoostedTreesOptions(algorithm="boosted_trees", rounds=20)
    options = [CandidateOptions(fit=fit, calibration=CalibrationOptions(folds=2)) for fit in fits]
    return [digest(to_files(fit_candidate(o.fit.algorithm, data, o).bundle)) for o in options]


def test_the_same_data_give_the_same_digests_in_another_process():
    paths = [str(ROOT / folder) for folder in ("src", "tests", "tests/unit")]
    code = f"import sys; sys.path[:0] = {paths!r}; import test_bundles; print(*test_bundles.fitted_digests())"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    here = fitted_digests()
    assert found.stdout.split()[-2:] == here
    assert len(set(here)) == 2


def test_the_golden_application_is_scored_the_same_by_a_bundle_read_again(bundle: ModelBundle, files: dict[str, bytes]):
    assert golden_points(from_files(files, "here")) == golden_points(bundle)


def test_the_golden_application_has_every_column_of_the_declaration(bundle: ModelBundle):
    applicants, events = golden_application(bundle.portfolio)
    assert applicants["applicant_id"].to_list() == [GOLDEN_APPLICANT]
    assert set(bundle.portfolio.application_columns) <= set(applicants.columns)
    assert not set(bundle.portfolio.protected_columns) & set(applicants.columns)
    assert events["statements"].height == 6
    assert events["statements"]["occurred_at"].max() < applicants["as_of"].item()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ({"type": "integer", "example": 7}, 7),
        ({"type": "integer", "min": 3}, 3),
        ({"type": "number", "max": -2.5}, -2.5),
        ({"type": "number"}, 0),
        ({"type": "number", "nullable": True}, None),
        ({"type": "category", "values": ["x", "y"]}, "x"),
    ],
)
def test_an_example_is_a_value_that_the_column_allows(column: dict[str, object], value: object):
    assert example_value(Column.model_validate(column)) == value


def test_a_portfolio_without_examples_has_a_golden_application_too():
    applicants, events = golden_application(build_portfolio())
    assert applicants.row(0, named=True)["dependants"] == 0
    assert events["payments"].height == 6


SOURCE = "def per_head(income_eur, dependants):\n    return income_eur / (dependants + 1)\n"


@pytest.fixture(scope="session")
def with_function() -> ModelBundle:
    """A bundle of a portfolio with a Python feature."""
    features = build_portfolio().model_dump(exclude_none=True)["features"]
    function = {"per_head": {"python": python_declarations(SOURCE)["per_head"], "reason": "R1"}}
    policy = {"policy__approve_from": 500, "policy__refer_from": 450}
    portfolio = build_portfolio(features=features | function, **policy)
    draw = np.random.default_rng(1)
    rows = draw.normal(size=(600, 5)).astype(np.float32)
    rows[:, 1] = draw.integers(0, 3, 600)
    is_bad = (draw.random(600) < 1 / (1 + np.exp(1 + rows[:, 0]))).astype(np.int8)
    options = CandidateOptions(
        fit=BoostedTreesOptions(algorithm="boosted_trees", rounds=5), calibration=CalibrationOptions(folds=2)
    )
    return fit_candidate("x", Development(portfolio, FeatureSet.of(portfolio), rows, is_bad), options).bundle


def test_python_features_travel_with_their_bundle(with_function: ModelBundle):
    files = to_files(with_function)
    assert files[FEATURES_FILE].decode() == SOURCE
    assert FEATURES_FILE in json.loads(files[MANIFEST])["checksums"]
    code = (
        f"import sys, pickle; sys.path[:0] = {[str(ROOT / 'src')]!r}\n"
        "from credit_scoring.core.bundles import from_files; from credit_scoring.core.golden import golden_points\n"
        "print(golden_points(from_files(pickle.load(sys.stdin.buffer), 'here')).hex())"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(files), capture_output=True, timeout=120, check=True
    )
    assert float.fromhex(found.stdout.decode().split()[-1]) == golden_points(with_function)


def test_a_bundle_without_python_features_carries_no_code(files: dict[str, bytes]):
    assert FEATURES_FILE not in files


def test_a_bundle_whose_function_is_absent_is_refused(with_function: ModelBundle):
    files = to_files(with_function)
    manifest = json.loads(files.pop(MANIFEST))
    del manifest["checksums"][FEATURES_FILE], files[FEATURES_FILE]
    with pytest.raises(BundleError, match=r"has Python features \(per_head\) but no 'features.py'"):
        from_files(files | {MANIFEST: json.dumps(manifest).encode()}, "here")


def test_another_source_than_the_fitted_one_is_never_executed(with_function: ModelBundle, tmp_path: Path):
    files = to_files(with_function)
    trace = tmp_path / "executed"
    other = f"open({str(trace)!r}, 'w')\n{SOURCE}".encode()
    with pytest.raises(BundleError, match=r"'features.py' .* is not what was written"):
        from_files(files | {FEATURES_FILE: other}, "here")
    checksums = json.loads(files[MANIFEST])["checksums"] | {FEATURES_FILE: hashlib.sha256(other).hexdigest()}
    with pytest.raises(BundleError, match=r"'features.py' .* is not the one it was fitted with"):
        from_files(edited(files, checksums=checksums) | {FEATURES_FILE: other}, "here")
    assert not trace.exists()


def test_a_source_that_lacks_a_declared_function_is_refused(with_function: ModelBundle):
    files = to_files(with_function)
    manifest = json.loads(files[MANIFEST])
    other = SOURCE.replace("per_head", "per_door").encode()
    manifest["portfolio"]["features"]["per_head"]["python"]["source"] = source_digest(other.decode())
    manifest["checksums"][FEATURES_FILE] = hashlib.sha256(other).hexdigest()
    with pytest.raises(BundleError, match="cannot be computed here: Feature 'per_head' is a Python function"):
        from_files(files | {FEATURES_FILE: other, MANIFEST: json.dumps(manifest).encode()}, "here")
