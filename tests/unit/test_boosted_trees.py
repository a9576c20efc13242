import json
import warnings

import numpy as np
import pytest

from credit_scoring.core.boosted_trees import BoostedTrees
from credit_scoring.core.errors import BundleError
from credit_scoring.core.scoring import Matrix, ModelBundle
from credit_scoring.core.training.boosted_trees import fit_boosted_trees
from credit_scoring.core.training.development import Development
from credit_scoring.core.training.options import BoostedTreesOptions
from credit_scoring.core.xgboost_trees import BACKGROUND_WEIGHT

FIT = BoostedTreesOptions(algorithm="boosted_trees", rounds=20, max_depth=4, learning_rate=0.2)
LEAF = -1


@pytest.fixture(scope="session")
def fitted(development: Development) -> BoostedTrees:
    """Trees as fitted, before any reference."""
    return fit_boosted_trees(development, FIT)


def trees_of(model: BoostedTrees) -> list[dict[str, list[float]]]:
    found: list[dict[str, list[float]]] = json.loads(model.native.booster.save_raw("json"))["learner"][
        "gradient_booster"
    ]["model"]["trees"]
    return found


def classifier(bundle: ModelBundle) -> BoostedTrees:
    assert isinstance(bundle.classifier, BoostedTrees)
    return bundle.classifier


def one_by_one(model: BoostedTrees, rows: Matrix) -> bytes:
    return b"".join(model.margin(rows[i : i + 1]).tobytes() for i in range(len(rows)))


def at_every_split(model: BoostedTrees, row: Matrix) -> Matrix:
    """Copies of ``row`` with one feature at a split's threshold, or one ulp beside it."""
    splits = {
        (model.encoder.columns[int(column)].feature, np.float32(threshold))
        for tree in trees_of(model)
        for column, threshold, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        )
        if left != LEAF and model.encoder.columns[int(column)].codes is None
    }
    rows = []
    for feature, threshold in sorted(splits):
        for value in (
            np.nextafter(threshold, np.float32(-np.inf)),
            threshold,
            np.nextafter(threshold, np.float32(np.inf)),
        ):
            copy = row.copy()
            copy[model.inputs.index(feature)] = value
            rows.append(copy)
    return np.ascontiguousarray(rows)


def test_a_row_alone_has_the_margin_it_has_in_a_batch(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    rows = np.vstack([matrix, np.full((1, matrix.shape[1]), np.nan, np.float32)])
    assert model.margin(rows).tobytes() == one_by_one(model, rows)
    assert model.margin(rows[::-1]).tobytes() == model.margin(rows)[::-1].tobytes()


def test_at_every_split_and_next_to_it_one_row_and_a_batch_agree(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    rows = at_every_split(model, matrix[0])
    assert len(rows) > 200
    assert model.margin(rows).tobytes() == one_by_one(model, rows)


def test_strided_rows_have_the_margin_of_contiguous_ones(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    assert model.margin(np.asfortranarray(matrix)).tobytes() == model.margin(matrix).tobytes()
    assert model.margin(matrix[::3]).tobytes() == model.margin(matrix)[::3].tobytes()


def test_contributions_and_bias_add_up_to_the_margin(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    rows = np.vstack([matrix, at_every_split(model, matrix[1])])
    np.testing.assert_allclose(
        model.contributions(rows).sum(axis=1) + model.bias, model.margin(rows), atol=1e-9, rtol=0
    )


def test_scoring_and_explaining_at_once_gives_the_same_bits(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    for rows in (matrix, matrix[:1], matrix[:0]):
        margin, contributions = model.explained(rows)
        assert margin.tobytes() == model.margin(rows).tobytes()
        assert contributions.tobytes() == model.contributions(rows).tobytes()
        assert contributions.shape == rows.shape


def test_the_trees_score_and_explain_as_under_version_1_within_1e_5(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    nothing = np.full((1, matrix.shape[1]), np.nan, np.float32)
    rows = np.vstack([matrix, nothing, at_every_split(model, matrix[0])])
    former = model.under("1")
    np.testing.assert_allclose(model.margin(rows), former.margin(rows), atol=1e-5, rtol=0)
    np.testing.assert_allclose(model.contributions(rows), former.contributions(rows), atol=1e-5, rtol=0)
    assert model.bias == pytest.approx(former.bias, abs=1e-5)
    assert model.margin(rows).tobytes() != former.margin(rows).tobytes()


def test_a_reference_leaves_every_prediction_as_it_was(fitted: BoostedTrees, development: Development, matrix: Matrix):
    explained = fitted.with_reference(development.features[:300])
    rows = np.vstack([matrix, at_every_split(fitted, matrix[0])])
    assert explained.margin(rows).tobytes() == fitted.margin(rows).tobytes()
    assert trees_of(explained)[0]["split_conditions"] == trees_of(fitted)[0]["split_conditions"]


def test_the_bias_is_the_margin_expected_of_the_reference(fitted: BoostedTrees, development: Development):
    reference = development.features[np.argsort(fitted.margin(development.features))[:500]]
    model = fitted.with_reference(reference)
    size = len(reference)
    # The background is what the covers of the fit expect; it weighs as much as BACKGROUND_WEIGHT applicants.
    expected = (size * fitted.margin(reference).mean() + BACKGROUND_WEIGHT * fitted.bias) / (size + BACKGROUND_WEIGHT)
    assert model.bias == pytest.approx(expected, abs=1e-4)
    assert abs(model.bias - fitted.margin(reference).mean()) < 0.01
    assert abs(model.bias - fitted.bias) > 0.5


def test_covers_are_the_reference_rows_that_reach_each_node(fitted: BoostedTrees, development: Development):
    model = fitted.with_reference(development.features[:300])
    for tree in trees_of(model):
        covers, left, right = tree["sum_hessian"], tree["left_children"], tree["right_children"]
        assert covers[0] == pytest.approx(300 + BACKGROUND_WEIGHT, abs=1e-3)
        assert min(covers) > 0
        for node in range(len(covers)):
            if left[node] != LEAF:
                assert covers[node] == pytest.approx(covers[int(left[node])] + covers[int(right[node])], abs=1e-3)


def test_contributions_are_those_of_the_shap_package(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap  # noqa: PLC0415 - slow, and only this test needs it

        model = classifier(boosted_trees_bundle)
        explainer = shap.TreeExplainer(model.native.booster, feature_perturbation="tree_path_dependent")
        by_column = explainer.shap_values(model.encoder.encode(matrix[:50]))
    found = np.zeros((50, len(model.inputs)))
    for position, column in enumerate(model.encoder.columns):
        found[:, model.inputs.index(column.feature)] += by_column[:, position]
    np.testing.assert_allclose(model.contributions(matrix[:50]), found, atol=1e-4)
    assert model.bias == pytest.approx(float(np.ravel(explainer.expected_value)[0]), abs=1e-4)


def test_a_contribution_does_not_depend_on_company(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    alone = np.vstack([model.contributions(matrix[i : i + 1]) for i in range(40)])
    assert alone.tobytes() == model.contributions(matrix[:40]).tobytes()


def test_more_risk_never_lowers_the_margin(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    plan = boosted_trees_bundle.plan
    for position, name in enumerate(plan.names):
        declared = plan.features[name]
        if declared.higher_is is None:
            continue
        known = matrix[:, position][~np.isnan(matrix[:, position])]
        sweep = np.setdiff1d(
            np.linspace(known.min() - 1, known.max() + 1, 60, dtype=np.float32), f32(*declared.special)
        )
        for row in matrix[:3]:
            rows = np.repeat(row[None], len(sweep), axis=0)
            rows[:, position] = sweep
            steps = np.diff(model.margin(rows))
            assert (steps >= 0).all() if declared.higher_is == "riskier" else (steps <= 0).all(), name


def f32(*values: float) -> Matrix:
    return np.asarray(values, dtype=np.float32)


def test_categories_are_coded_by_rising_bad_rate(fitted: BoostedTrees, development: Development):
    column = next(c for c in fitted.encoder.columns if c.feature == "education")
    assert column.codes is not None
    assert [code for _, code in column.codes] == list(range(7))
    position = fitted.inputs.index("education")
    frequent = [value for value, _ in column.codes if (development.features[:, position] == value).sum() > 100]
    rates = [development.is_bad[development.features[:, position] == value].mean() for value in frequent]
    assert rates == sorted(rates)


def test_files_hold_the_trees_whole(boosted_trees_bundle: ModelBundle, matrix: Matrix):
    model = classifier(boosted_trees_bundle)
    again = BoostedTrees.from_files(model.to_files())
    assert again.to_files() == model.to_files()
    assert again.margin(matrix).tobytes() == model.margin(matrix).tobytes()
    assert again.contributions(matrix).tobytes() == model.contributions(matrix).tobytes()


def test_a_model_that_cannot_be_explained_is_no_bundle(boosted_trees_bundle: ModelBundle):
    files = boosted_trees_bundle.classifier.to_files() | {"model.ubj": b"{}"}
    with pytest.raises(BundleError, match="cannot be explained here"):
        BoostedTrees.from_files(files)
