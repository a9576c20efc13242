"""Version 1 of the scorer, whose decisions must come out the same for as long as they are on record."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from credit_scoring.core.boosted_trees import BoostedTrees
from credit_scoring.core.encoder import Encoder
from credit_scoring.core.scoring import Matrix, ModelBundle
from credit_scoring.core.xgboost_trees import XGBoostTrees

HELD = json.loads((Path(__file__).parents[1] / "golden" / "scorer_v1.json").read_text())
"""A model, rows, and what the scorer said of them when it was the only one; never made again."""


@pytest.fixture(scope="module")
def held() -> XGBoostTrees:
    return XGBoostTrees(Encoder.model_validate(HELD["encoder"]), json.dumps(HELD["model"]).encode())


@pytest.fixture(scope="module")
def rows() -> Matrix:
    return np.asarray(HELD["rows"], dtype=np.float32)


def told(found: Any) -> Any:
    return [told(one) for one in found] if isinstance(found, list) else found.hex()


def test_what_it_said_then_it_says_now_to_the_bit(held: XGBoostTrees, rows: Matrix):
    assert held.bias.hex() == HELD["bias"]
    assert told(held.margin(rows).tolist()) == HELD["margins"]
    assert told(held.contributions(rows).tolist()) == HELD["contributions"]


def test_the_present_scorer_says_the_same_within_1e_5(held: XGBoostTrees, rows: Matrix):
    present = BoostedTrees(held.encoder, held.model)
    assert present.bias == pytest.approx(held.bias, abs=1e-5)
    np.testing.assert_allclose(present.margin(rows), held.margin(rows), atol=1e-5, rtol=0)
    np.testing.assert_allclose(present.contributions(rows), held.contributions(rows), atol=1e-5, rtol=0)


def test_it_is_xgboost_added_up_by_feature(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    present = boosted_trees_bundle.classifier
    former, booster = present.under("1"), xgb.Booster(model_file=bytearray(present.model))
    columns = present.encoder.encode(matrix)
    by_column = booster.predict(xgb.DMatrix(columns), pred_contribs=True).astype(np.float64)
    expected = np.zeros(matrix.shape)
    for position, column in enumerate(present.encoder.columns):
        expected[:, present.inputs.index(column.feature)] += by_column[:, position]
    margin, contributions = former.explained(matrix)
    np.testing.assert_array_equal(margin, booster.inplace_predict(columns, predict_type="margin"))
    np.testing.assert_array_equal(contributions, expected)
    assert former.inputs == present.inputs
    assert former.contributions(matrix[:0]).shape == (0, matrix.shape[1])
