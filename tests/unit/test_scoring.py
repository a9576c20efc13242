import math
from dataclasses import replace

import numpy as np
import pytest
from factories import build_portfolio
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.decisions import band, recommendation
from credit_scoring.core.portfolio import Scale
from credit_scoring.core.scoring import (
    SCORER_VERSION,
    Calibration,
    Matrix,
    ModelBundle,
    explain,
    points_at,
    score,
    score_and_explain,
)

SCALE = Scale()


def logit(odds_good_to_bad: float) -> np.ndarray:
    return np.asarray([-math.log(odds_good_to_bad)])


def test_thirty_to_one_is_six_hundred_points():
    assert points_at(logit(30), SCALE).item() == pytest.approx(600, abs=1e-9)


@given(odds=st.floats(1e-4, 1e6))
def test_doubling_the_odds_adds_twenty_points(odds: float):
    gained = points_at(logit(2 * odds), SCALE) - points_at(logit(odds), SCALE)
    assert gained.item() == pytest.approx(20, abs=1e-9)


class Constant:
    """A classifier whose margin is its only feature."""

    algorithm = "constant"
    inputs = ("income_eur",)
    bias = 0.0

    def margin(self, features: Matrix) -> np.ndarray:
        return features[:, 0].astype(np.float64)

    def contributions(self, features: Matrix) -> np.ndarray:
        return features.astype(np.float64)

    def explained(self, features: Matrix) -> tuple[np.ndarray, np.ndarray]:
        return self.margin(features), self.contributions(features)

    def under(self, scorer_version: str) -> "Constant":  # noqa: ARG002 - the protocol's signature
        return self

    def with_reference(self, reference: Matrix) -> "Constant":  # noqa: ARG002 - the protocol's signature
        return self

    def to_files(self) -> dict[str, bytes]:
        return {}


def constant_bundle(intercept: float = 0.0, slope: float = 1.0, **overrides: object) -> ModelBundle:
    portfolio = build_portfolio(features={"income_eur": {"column": "income_eur", "reason": "R1"}}, **overrides)
    return ModelBundle("c", portfolio, Constant(), Calibration(intercept, slope), np.empty((0, 1), np.float32), {})


def test_points_are_rounded_once_half_to_even_then_clipped_and_counted():
    # One point per unit of log-odds, so that the features are the points lost.
    scale = {"points": 0, "odds": 1, "points_to_double_odds": math.log(2), "min": -3, "max": 4}
    bands = [{"name": "A", "from_points": -3}]
    bundle = constant_bundle(scale=scale, policy__approve_from=1, policy__refer_from=0, policy__bands=bands)
    margins = np.asarray([[0.5], [-0.5], [-1.5], [-2.5], [3.4], [3.6], [-4.4], [-4.6]], dtype=np.float32)
    scored = score(margins, bundle)
    assert scored.points.tolist() == [0, 0, 2, 2, -3, -3, 4, 4]
    assert scored.clipped.tolist() == [False, False, False, False, False, True, False, True]
    np.testing.assert_allclose(scored.points_exact, -margins[:, 0], atol=1e-12)


def test_the_calibration_is_affine_in_the_log_odds():
    scored = score(np.asarray([[2.0]], dtype=np.float32), constant_bundle(0.5, 0.75))
    assert scored.prob_default.item() == pytest.approx(1 / (1 + math.exp(-2)))


def test_probability_and_points_tell_the_same_odds(bundle: ModelBundle, matrix: Matrix):
    scored = score(matrix, bundle)
    odds = (1 - scored.prob_default) / scored.prob_default
    np.testing.assert_allclose(scored.points_exact, 600 + 20 * np.log2(odds / 30), atol=1e-6)


def test_a_row_scores_alone_as_in_a_batch(bundle: ModelBundle, matrix: Matrix):
    together = score(matrix, bundle)
    for row in range(0, len(matrix), 7):
        alone = score(matrix[row : row + 1], bundle)
        assert alone.points_exact.tobytes() == together.points_exact[row : row + 1].tobytes()
        assert alone.prob_default.tobytes() == together.prob_default[row : row + 1].tobytes()
        assert alone.points.item() == together.points[row]


def test_no_rows_score_to_nothing(bundle: ModelBundle, matrix: Matrix):
    assert score(matrix[:0], bundle).points.shape == (0,)
    assert explain(matrix[:0], bundle).points.shape == (0, matrix.shape[1])


def test_an_explanation_adds_up_to_the_exact_points(bundle: ModelBundle, matrix: Matrix):
    explanation = explain(matrix, bundle)
    np.testing.assert_allclose(
        explanation.base + explanation.points.sum(axis=1), score(matrix, bundle).points_exact, atol=1e-6, rtol=0
    )


def test_scoring_and_explaining_at_once_gives_the_same_bits(bundle: ModelBundle, matrix: Matrix):
    for rows in (matrix, matrix[5:6], matrix[:0]):
        scores, explanation = score_and_explain(rows, bundle)
        expected = score(rows, bundle)
        for name in ("prob_default", "points_exact", "points", "clipped"):
            assert getattr(scores, name).tobytes() == getattr(expected, name).tobytes()
        assert explanation.points.tobytes() == explain(rows, bundle).points.tobytes()
        assert explanation.base == explain(rows, bundle).base == bundle.base_points


def test_a_row_is_explained_alone_as_in_a_batch(bundle: ModelBundle, matrix: Matrix):
    together = explain(matrix, bundle).points
    alone = [explain(matrix[row : row + 1], bundle).points.tobytes() for row in range(len(matrix))]
    assert b"".join(alone) == together.tobytes()


def test_under_the_first_version_trees_are_scored_by_xgboost_and_scorecards_as_ever(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, matrix: Matrix
):
    assert score(matrix, scorecard_bundle.under("1")).points_exact.tobytes() == (
        score(matrix, scorecard_bundle).points_exact.tobytes()
    )
    former, present = boosted_trees_bundle.under("1"), boosted_trees_bundle
    assert former.scorer_version == "1"
    assert former.classifier is present.classifier
    trees = boosted_trees_bundle.classifier
    margin = trees.native.booster.inplace_predict(trees.encoder.encode(matrix), predict_type="margin")
    logit = present.calibration.intercept + present.calibration.slope * margin.astype(np.float64)
    assert score(matrix, former).points_exact.tobytes() == points_at(logit, present.portfolio.scale).tobytes()
    assert score(matrix, former).points_exact.tobytes() != score(matrix, present).points_exact.tobytes()
    np.testing.assert_allclose(score(matrix, former).points_exact, score(matrix, present).points_exact, atol=1e-3)
    np.testing.assert_allclose(explain(matrix, former).points, explain(matrix, present).points, atol=1e-3)


def test_a_bundle_is_given_once_under_each_version(boosted_trees_bundle: ModelBundle):
    former = boosted_trees_bundle.under("1")
    assert boosted_trees_bundle.under("1") is former
    assert former.under("1") is former
    for version in (SCORER_VERSION, "0", ""):
        assert boosted_trees_bundle.under(version) is boosted_trees_bundle
    assert boosted_trees_bundle.explained_against(boosted_trees_bundle.reference[:9]).under("1") is not former


def test_the_base_is_what_the_reference_scores_on_average(bundle: ModelBundle):
    assert explain(bundle.reference, bundle).base == pytest.approx(
        score(bundle.reference, bundle).points_exact.mean(), abs=0.1
    )


def test_the_reference_is_just_approved(bundle: ModelBundle):
    points = score(bundle.reference, bundle).points
    assert len(points) <= bundle.portfolio.policy.reference_size
    assert points.min() >= bundle.portfolio.policy.approve_from


@pytest.mark.parametrize(
    ("points", "recommended", "in_band"),
    [
        (850, "approve", "A"),
        (600, "approve", "A"),
        (599, "refer", "B"),
        (560, "refer", "B"),
        (559, "decline", "B"),
        (300, "decline", "B"),
    ],
)
def test_cut_offs_belong_to_the_better_side(points: int, recommended: str, in_band: str):
    policy = build_portfolio().policy
    assert recommendation(points, policy) == recommended
    assert band(points, policy) == in_band


@given(points=st.integers(300, 850))
def test_every_score_has_a_band_and_more_points_are_never_worse(taiwan, points: int):
    order = ["decline", "refer", "approve"]
    names = [b.name for b in taiwan.policy.bands]
    fewer = max(points - 1, 300)
    assert order.index(recommendation(points, taiwan.policy)) >= order.index(recommendation(fewer, taiwan.policy))
    assert names.index(band(points, taiwan.policy)) <= names.index(band(fewer, taiwan.policy))


def test_a_far_margin_is_still_a_probability():
    far = np.asarray([[600.0], [-600.0]], dtype=np.float32)
    scored = score(far, constant_bundle())
    assert scored.prob_default.tolist() == pytest.approx([1, 0])
    assert scored.points.tolist() == [300, 850]
    assert scored.clipped.all()


def test_replacing_the_calibration_moves_points_by_its_scale(bundle: ModelBundle, matrix: Matrix):
    shifted = replace(
        bundle, calibration=Calibration(bundle.calibration.intercept + math.log(2), bundle.calibration.slope)
    )
    np.testing.assert_allclose(score(matrix, shifted).points_exact, score(matrix, bundle).points_exact - 20, atol=1e-9)
