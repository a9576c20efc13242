"""Table TreeSHAP against xgboost's and shap's contributions, and against the definition."""

import json
import warnings
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tree_models import Recipe, as_bytes, booster, by_definition, by_xgboost, document, tree

from credit_scoring.core.scoring import ModelBundle
from table_treeshap import DEFAULT_MEMORY_BUDGET, TreeExplainer

TOLERANCE = 1e-5

RECIPES = st.builds(
    Recipe,
    seed=st.integers(0, 10**6),
    trees=st.one_of(st.integers(1, 40), st.just(600)),
    depth=st.integers(1, 8),
    width=st.sampled_from([3, 12, 40]),
    missing=st.sampled_from([0.0, 0.05, 0.5]),
    stop=st.sampled_from([0.3, 0.5]),
    objective=st.sampled_from(["binary:logistic", "reg:squarederror"]),
    extreme=st.booleans(),
)


def agree(model: bytes, rows: np.ndarray, budget: int = 2**30) -> TreeExplainer:
    """Compare with xgboost; every height fits the budget, so that tables are used."""
    explainer = TreeExplainer.of(model, budget)
    margin, contributions = explainer.explained(rows)
    expected = by_xgboost(model, rows)
    np.testing.assert_allclose(contributions, expected[:, :-1], atol=TOLERANCE, rtol=0)
    assert explainer.bias == pytest.approx(expected[0, -1], abs=TOLERANCE)
    predicted = booster(model).predict(xgb.DMatrix(rows), output_margin=True)
    np.testing.assert_allclose(margin, predicted, atol=TOLERANCE, rtol=0)
    exact = TOLERANCE if explainer.block_height is None else 1e-10
    np.testing.assert_allclose(contributions.sum(axis=1) + explainer.bias, margin, atol=exact, rtol=0)
    return explainer


@given(recipe=RECIPES)
@example(recipe=Recipe(seed=1, trees=600, depth=8, stop=0.3))
@example(recipe=Recipe(seed=2, trees=1, depth=1, width=3))
@example(recipe=Recipe(seed=3, trees=2, depth=8, stop=0.0, missing=0.5, extreme=True))
@settings(max_examples=40)
def test_contributions_are_those_of_xgboost(recipe: Recipe):
    assert agree(as_bytes(recipe.model()), recipe.rows()).block_height is not None


@given(seed=st.integers(0, 10**6), depth=st.integers(1, 4), extreme=st.booleans())
@settings(max_examples=25)
def test_contributions_are_those_of_the_definition(seed: int, depth: int, extreme: bool):
    recipe = Recipe(seed, trees=4, depth=depth, width=6, leaf=1000.0, missing=0.3, extreme=extreme)
    model, rows = recipe.model(), recipe.rows(4)
    found = TreeExplainer.of(as_bytes(model)).contributions(rows)
    expected = np.array([by_definition(model, row) for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-9, rtol=0)  # of leaves up to 1,000: float64 throughout


@pytest.mark.parametrize("depth", [3, 5])
def test_contributions_are_those_of_shap(depth: int):
    recipe = Recipe(seed=depth, trees=50, depth=depth)
    model, rows = as_bytes(recipe.model()), recipe.rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap's plots, imported with it, call what matplotlib deprecates
        import shap  # noqa: PLC0415

        expected = np.asarray(shap.TreeExplainer(booster(model)).shap_values(rows))
    np.testing.assert_allclose(TreeExplainer.of(model).contributions(rows), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("height", [0, 1, 2, 3, 4])
def test_every_height_of_blocks_says_the_same(height: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("table_treeshap.tables.HEIGHTS", (height,))
    recipe = Recipe(seed=height, trees=20, depth=5, stop=0.1)
    assert agree(as_bytes(recipe.model()), recipe.rows(40)).block_height == height


def trained(**options: Any) -> tuple[xgb.Booster, np.ndarray]:
    generator = np.random.default_rng(11)
    rows = generator.normal(size=(600, 8)).astype(np.float32)
    rows[generator.random(rows.shape) < 0.1] = np.nan
    target = (np.nan_to_num(rows[:, 0] + rows[:, 1] * rows[:, 2]) + generator.normal(size=600) > 0).astype(np.float32)
    return xgb.train({"nthread": 1, **options}, xgb.DMatrix(rows, target, nthread=1), 20), rows[:50]


@pytest.mark.parametrize("written", ["json", "ubj"])
@pytest.mark.parametrize(
    "options",
    [
        {"objective": "binary:logistic", "colsample_bynode": 0.4, "subsample": 0.5},
        {"objective": "binary:logistic", "gamma": 3.0, "tree_method": "exact", "max_depth": 8},
        {"objective": "binary:logistic", "gamma": 1e9},
        {"objective": "reg:squarederror", "num_parallel_tree": 3, "base_score": 7.5},
        {"objective": "reg:logistic", "monotone_constraints": "(1,-1,0,0,0,0,0,0)", "grow_policy": "lossguide"},
    ],
)
def test_trained_models_of_both_formats_agree(options: dict[str, Any], written: str):
    model, rows = trained(**options)
    agree(bytes(model.save_raw(written)), rows)


def test_covers_counted_again_are_those_that_explain():
    model, rows = trained(objective="binary:logistic")
    document = json.loads(model.save_raw("json"))
    generator = np.random.default_rng(5)
    for one in document["learner"]["gradient_booster"]["model"]["trees"]:
        cover = generator.uniform(1, 9, len(one["sum_hessian"]))
        for node, left in reversed(list(enumerate(one["left_children"]))):
            if left != -1:
                cover[node] = cover[left] + cover[one["right_children"][node]]
        one["sum_hessian"] = [float(np.float32(c)) for c in cover]
    edited = as_bytes(document)
    agree(edited, rows)
    before, after = (TreeExplainer.of(m) for m in (bytes(model.save_raw("json")), edited))
    assert abs(before.bias - after.bias) > 0.01
    assert before.margin(rows).tobytes() == after.margin(rows).tobytes()


def test_a_fitted_bundles_model_agrees(boosted_trees_bundle: ModelBundle, matrix: np.ndarray):
    classifier: Any = boosted_trees_bundle.classifier
    agree(classifier.model, classifier.encoder.encode(matrix))


def test_deeper_than_the_budget_allows_says_the_same_and_warns_once(caplog: pytest.LogCaptureFixture):
    recipe = Recipe(seed=9, trees=10, depth=6)
    model, rows = as_bytes(recipe.model()), recipe.rows(30)
    explainer = TreeExplainer.of(model, memory_budget=1_000)
    assert explainer.block_height is None
    assert explainer.table_bytes == 0
    margin, contributions = explainer.explained(rows)
    explainer.contributions(rows)
    np.testing.assert_array_equal(contributions, by_xgboost(model, rows)[:, :-1])
    assert margin.tobytes() == TreeExplainer.of(model).margin(rows).tobytes()
    assert [record.levelname for record in caplog.records if record.name.startswith("table_treeshap")] == ["WARNING"]


@pytest.mark.parametrize("budget", [2**12, 2**14, 2**16, 2**18, 2**20, DEFAULT_MEMORY_BUDGET])
def test_tables_keep_within_their_budget(budget: int):
    explainer = TreeExplainer.of(as_bytes(Recipe(seed=4, trees=20, depth=5).model()), budget)
    assert explainer.table_bytes <= budget
    assert (explainer.block_height is None) == (explainer.table_bytes == 0)


def test_a_chain_of_splits_too_long_for_tables_falls_back():
    nodes = []
    for level in range(20):
        cover = float(2 * (40 - level))
        split = {"feature": level % 3, "threshold": level / 20, "default_left": level % 2, "cover": cover}
        nodes += [split | {"left": 2 * level + 1, "right": 2 * level + 2}, {"value": level / 7, "cover": 2.0}]
    nodes.append({"value": 0.4, "cover": 40.0})
    rows = Recipe(seed=6, trees=1, depth=1, width=3).rows(20)
    explainer = agree(as_bytes(document([tree(nodes)], 3)), rows)
    assert explainer.block_height is None


def test_margins_keep_monotone_constraints_to_the_bit():
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(2_000, 4)).astype(np.float32)
    target = (rows[:, 0] + 0.3 * generator.normal(size=2_000) > 0).astype(np.float32)
    options = {"objective": "binary:logistic", "monotone_constraints": "(1,0,0,0)", "max_depth": 5}
    explainer = TreeExplainer.of(bytes(xgb.train(options, xgb.DMatrix(rows, target), 200).save_raw("ubj")))
    ladder = np.repeat(rows[:20], 300, axis=0)
    ladder[:, 0] = np.tile(np.linspace(-4, 4, 300, dtype=np.float32), 20)
    assert np.all(np.diff(explainer.margin(ladder).reshape(20, 300), axis=1) >= 0)
