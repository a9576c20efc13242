"""Which models table TreeSHAP reads, and how it refuses the others."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_models import Recipe, as_bytes, booster, document, tree

from table_treeshap import TreeExplainer, UnsupportedModelError

RECIPE = Recipe(seed=8, trees=3, depth=3, width=4)
SPLIT = {"feature": 0, "threshold": 0.5, "default_left": 1, "cover": 10.0}
LEAVES = [{"value": -1.0, "cover": 4.0}, {"value": 2.0, "cover": 6.0}]


def one_split(**changes: Any) -> dict[str, Any]:
    """A model of one tree with one split, whose tree's columns are changed."""
    stump = tree([SPLIT | {"left": 1, "right": 2}, *LEAVES])
    model = document([stump], 2)
    stump.update(changes)
    return model


def learner(**changes: Any) -> dict[str, Any]:
    model = one_split()
    model["learner"]["learner_model_param"].update(changes)
    return model


@pytest.mark.parametrize("written", ["5E-1", "[5E-1]", "0.25", "[2.5E-1]"])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:logistic", "reg:squarederror"])
def test_the_base_score_is_read_in_both_spellings(written: str, objective: str):
    model = learner(base_score=written)
    model["learner"]["objective"]["name"] = objective
    score = float(written.strip("[]"))
    base = score if objective == "reg:squarederror" else np.log(score / (1 - score))
    row = np.zeros((1, 2), dtype=np.float32)
    assert TreeExplainer.of(as_bytes(model)).margin(row)[0] == pytest.approx(base - 1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (one_split(split_type=[1, 0, 0]), "categories"),
        (one_split(left_children=[7, -1, -1]), "outside"),
        (one_split(left_children=[-7, -1, -1]), "outside"),
        (one_split(left_children=[0, -1, -1], right_children=[1, -1, -1]), "two parents|circle"),
        (one_split(left_children=[1, 1, -1], right_children=[2, 2, -1]), "two parents|circle"),
        (one_split(right_children=[1, -1, -1]), "sibling"),
        (one_split(split_indices=[2, 0, 0]), "outside"),
        (one_split(split_indices=[-1, 0, 0]), "outside"),
        (one_split(split_conditions=[float("nan"), 1, 1]), "not a number"),
        (one_split(split_conditions=[0.5, float("inf"), 1]), "not finite"),
        (one_split(sum_hessian=[0.0, 0.0, 0.0]), "cover"),
        (one_split(sum_hessian=[1.0, -1.0, 2.0]), "cover"),
        (one_split(sum_hessian=[1.0, float("nan"), 2.0]), "cover"),
        (one_split(sum_hessian=[1.0]), "length"),
        (one_split(default_left=[]), "length"),
        (one_split(tree_param={"size_leaf_vector": "3"}), "vectors"),
        (one_split(left_children=None), "not an XGBoost model"),
        (learner(num_class="3"), "more than one output"),
        (learner(num_target="2"), "more than one output"),
        (learner(num_feature="0"), "no column"),
        (learner(base_score="nonsense"), "not an XGBoost model"),
        (learner(base_score="[0.5,0.5]"), "not an XGBoost model"),
        (learner(base_score="1.5"), "between 0 and 1"),
        ({"learner": {}}, "not an XGBoost model"),
        ([], "not an XGBoost model"),
    ],
)
def test_what_cannot_be_explained_is_refused_by_a_reason(model: Any, says: str):
    with pytest.raises(UnsupportedModelError, match=says):
        TreeExplainer.of(as_bytes(model))


def trained(**options: Any) -> bytes:
    generator = np.random.default_rng(1)
    rows, target = generator.normal(size=(90, 3)), generator.integers(0, 3, 90)
    target = target if options.get("num_class") else target > 0
    return bytes(xgb.train({"nthread": 1, **options}, xgb.DMatrix(rows, target), 2).save_raw("ubj"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"booster": "dart"}, "gbtree"),
        ({"booster": "gblinear"}, "gblinear"),
        ({"objective": "multi:softprob", "num_class": 3}, "multi:softprob"),
        ({"objective": "count:poisson"}, "count:poisson"),
        ({"objective": "rank:pairwise"}, "rank:pairwise"),
    ],
)
def test_other_boosters_and_objectives_are_refused_by_name(options: dict[str, Any], says: str):
    with pytest.raises(UnsupportedModelError, match=says):
        TreeExplainer.of(trained(**options))


def test_a_split_on_categories_that_xgboost_trained_is_refused():
    kinds = ["c", "q"]
    rows = np.random.default_rng(2).integers(0, 5, (200, 2)).astype(np.float32)
    matrix = xgb.DMatrix(rows, rows[:, 0] % 2 == 1, feature_types=kinds, enable_categorical=True)
    model = xgb.train({"objective": "binary:logistic", "max_cat_to_onehot": 1}, matrix, 2)
    with pytest.raises(UnsupportedModelError, match="categories"):
        TreeExplainer.of(bytes(model.save_raw("ubj")))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{}", b"[", b"{L", b"nonsense", b'{"learner":', b"[" * 100_000, b"\0" * 99]
)
def test_rubbish_is_refused(data: bytes):
    with pytest.raises(UnsupportedModelError, match="not an XGBoost model"):
        TreeExplainer.of(data)


@pytest.mark.parametrize("nested", [b'{"a":' * 100_000, b"{i\x01a" * 100_000, b"{i\x01a" + b"[" * 100_000])
def test_endless_nesting_is_refused(nested: bytes):
    with pytest.raises(UnsupportedModelError, match="not an XGBoost model"):
        TreeExplainer.of(nested)


@pytest.mark.parametrize(
    "data", [b"{i\x01a[$d#L\x7f" + b"\xff" * 7, b"{i\x01a[#L\x7f" + b"\xff" * 7, b"{i\x01aSL" + b"\xff" * 8, b"{i\xff"]
)
def test_lengths_beyond_the_bytes_are_refused_without_taking_memory(data: bytes):
    with pytest.raises(UnsupportedModelError, match="not an XGBoost model"):
        TreeExplainer.of(data)


@given(data=st.data(), written=st.sampled_from(["json", "ubj"]))
@settings(max_examples=150)
def test_a_model_cut_or_damaged_anywhere_is_refused_or_explains(data: st.DataObject, written: str):
    whole = bytes(booster(as_bytes(RECIPE.model())).save_raw(written))
    at = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(UnsupportedModelError):
        TreeExplainer.of(whole[:at])
    damaged = whole[:at] + data.draw(st.binary(min_size=1, max_size=3)) + whole[at + 1 :]
    try:
        explainer = TreeExplainer.of(damaged)
    except UnsupportedModelError:
        return
    explainer.explained(np.zeros((2, explainer.width), dtype=np.float32))


def test_a_chain_deeper_than_any_model_is_refused():
    nodes: list[dict[str, Any]] = []
    for level in range(1_200):
        nodes += [SPLIT | {"left": 2 * level + 1, "right": 2 * level + 2}, LEAVES[0]]
    with pytest.raises(UnsupportedModelError, match="deeper than 1000"):
        TreeExplainer.of(as_bytes(document([tree([*nodes, LEAVES[1]])], 2)))


def test_nodes_that_pruning_left_behind_do_not_count():
    pruned = document([tree([SPLIT | {"left": 1, "right": 2}, *LEAVES])], 2)
    stump = pruned["learner"]["gradient_booster"]["model"]["trees"][0]
    for name, left_behind in (("left_children", 3), ("right_children", 9), ("split_conditions", float("nan"))):
        stump[name].append(left_behind if name == "split_conditions" else -1)
    for name in ("split_indices", "default_left", "split_type", "sum_hessian"):
        stump[name].append(0)
    rows = RECIPE.rows(5)[:, :2].copy()
    with_it, without = (TreeExplainer.of(as_bytes(model)).explained(rows) for model in (pruned, one_split()))
    assert [part.tobytes() for part in with_it] == [part.tobytes() for part in without]


def test_a_model_of_single_leaves_explains_nothing_and_scores_its_leaves():
    model = document([tree([{"value": 0.25, "cover": 3.0}]) for _ in range(4)], 2, "reg:squarederror")
    explainer = TreeExplainer.of(as_bytes(model))
    margin, contributions = explainer.explained(np.zeros((40, 2), dtype=np.float32))
    assert explainer.bias == pytest.approx(1.3, abs=1e-7)
    np.testing.assert_array_equal(margin, explainer.bias)
    np.testing.assert_array_equal(contributions, 0)


def test_a_model_without_trees_scores_its_base():
    explainer = TreeExplainer.of(as_bytes(document([], 2, "reg:squarederror")))
    margin, contributions = explainer.explained(np.zeros((3, 2), dtype=np.float32))
    np.testing.assert_array_equal(margin, explainer.bias)
    np.testing.assert_array_equal(contributions, 0)


def test_early_stopping_does_not_cut_what_is_explained():
    model = xgb.Booster()
    model.load_model(bytearray(as_bytes(RECIPE.model())))
    before = TreeExplainer.of(bytes(model.save_raw("ubj"))).margin(RECIPE.rows())
    model.set_attr(best_iteration="0")
    after = TreeExplainer.of(bytes(model.save_raw("ubj")))
    assert after.margin(RECIPE.rows()).tobytes() == before.tobytes()
    np.testing.assert_allclose(before, model.predict(xgb.DMatrix(RECIPE.rows()), output_margin=True), atol=1e-5)


def test_json_and_ubj_say_the_same_to_the_bit():
    model = booster(as_bytes(RECIPE.model()))
    found = [TreeExplainer.of(bytes(model.save_raw(written))).explained(RECIPE.rows()) for written in ("json", "ubj")]
    assert [part.tobytes() for part in found[0]] == [part.tobytes() for part in found[1]]
    spaced = json.dumps(RECIPE.model(), indent=2).encode()
    assert TreeExplainer.of(spaced).margin(RECIPE.rows()).tobytes() == found[0][0].tobytes()
