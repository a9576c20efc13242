import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from credit_scoring.core.calibration_checks import (
    brier_score,
    calibration_error,
    calibration_groups,
    calibration_line,
    log_loss,
)
from credit_scoring.core.discrimination import (
    auc,
    compare_auc,
    cumulative_shares,
    gini,
    kolmogorov_smirnov,
    placements,
)
from credit_scoring.core.errors import EvaluationError, MissingInputsError
from credit_scoring.core.evaluation import EvaluationOptions, band_table, evaluate, evaluate_candidate
from credit_scoring.core.portfolio import Policy
from credit_scoring.core.samples import Holdout, matrix_for, select_holdout
from credit_scoring.core.scorecard_table import scorecard_table
from credit_scoring.core.scoring import Scores, explain, score
from credit_scoring.core.splitting import assign_parts
from credit_scoring.core.tables import outcome_table

OPTIONS = EvaluationOptions(chance_draws=200)


@st.composite
def judged_samples(draw, scores=2):
    """Outcomes with both classes, and tied scores on a coarse grid."""
    size = draw(st.integers(4, 40))
    is_bad = np.array(draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)), dtype=np.int8)
    is_bad[:2] = (0, 1)
    grids = st.lists(st.integers(-3, 3), min_size=size, max_size=size)
    return is_bad, *(np.array(draw(grids), dtype=np.float64) for _ in range(scores))


def simulated(size, seed, noise=1.0):
    generator = np.random.default_rng(seed)
    logit = generator.normal(-1.2, 1.1, size)
    prob_default = 1 / (1 + np.exp(-logit))
    is_bad = (generator.random(size) < prob_default).astype(np.int8)
    return is_bad, prob_default, logit + generator.normal(0, noise, size)


def scores_of(prob_default, points):
    return Scores(prob_default, points.astype(float), points.astype(np.int64), np.zeros(len(points), dtype=bool))


@given(judged_samples(scores=1))
def test_auc_is_that_of_scikit_learn_ties_included(sample):
    is_bad, risk = sample
    assert auc(is_bad, risk).value == pytest.approx(metrics.roc_auc_score(is_bad, risk), abs=1e-12)


@given(judged_samples(scores=1))
def test_ks_is_the_largest_distance_on_the_roc_curve(sample):
    is_bad, risk = sample
    goods, bads, _ = metrics.roc_curve(is_bad, risk, drop_intermediate=False)
    assert kolmogorov_smirnov(is_bad, risk) == pytest.approx(np.abs(bads - goods).max(), abs=1e-12)


@given(judged_samples(scores=1))
def test_cumulative_shares_rise_from_nobody_to_everybody(sample):
    curve = cumulative_shares(*sample)
    for shares in (curve.bads, curve.goods):
        assert shares[0] == 0
        assert shares[-1] == 1
        assert (np.diff(shares) >= 0).all()


@given(judged_samples(scores=1))
def test_placements_are_those_of_comparing_each_bad_with_each_good(sample):
    is_bad, risk = sample
    bads, goods = risk[is_bad == 1][:, None], risk[is_bad == 0][None, :]
    wins = (bads > goods) + 0.5 * (bads == goods)
    of_bads, of_goods = placements(is_bad, risk)
    np.testing.assert_allclose(of_bads, wins.mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(of_goods, wins.mean(axis=0), atol=1e-12)


@given(judged_samples(scores=1))
def test_the_error_of_an_auc_is_delongs(sample):
    is_bad, risk = sample
    bads, goods = risk[is_bad == 1][:, None], risk[is_bad == 0][None, :]
    wins = (bads > goods) + 0.5 * (bads == goods)
    parts = [np.var(p, ddof=1) / len(p) if len(p) > 1 else 0.0 for p in (wins.mean(axis=1), wins.mean(axis=0))]
    assert auc(is_bad, risk).error == pytest.approx(np.sqrt(sum(parts)), abs=1e-12)


@given(judged_samples(scores=1))
def test_a_model_compared_with_itself_differs_by_nothing(sample):
    is_bad, risk = sample
    # Any increasing map orders alike, so it is the same model to a comparison of ranks.
    found = compare_auc(is_bad, risk, np.exp(risk))
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert found.p_value == 1


@given(judged_samples())
def test_swapping_two_models_changes_the_sign_alone(sample):
    is_bad, first, second = sample
    one, other = compare_auc(is_bad, first, second), compare_auc(is_bad, second, first)
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.difference.low == pytest.approx(-other.difference.high)
    assert one.p_value == pytest.approx(other.p_value)


def test_the_error_of_a_difference_is_that_of_a_bootstrap():
    is_bad, prob_default, rival = simulated(600, seed=3)
    generator = np.random.default_rng(4)
    drawn = []
    for _ in range(400):
        rows = generator.integers(0, len(is_bad), len(is_bad))
        drawn.append(
            metrics.roc_auc_score(is_bad[rows], prob_default[rows]) - metrics.roc_auc_score(is_bad[rows], rival[rows])
        )
    found = compare_auc(is_bad, prob_default, rival)
    assert found.difference.error == pytest.approx(np.std(drawn), rel=0.15)
    # Both models share applicants, so their difference is far better known than two separate areas would be.
    assert found.difference.error < 0.9 * np.hypot(auc(is_bad, prob_default).error, auc(is_bad, rival).error)


def test_equally_good_models_are_told_apart_about_one_time_in_twenty():
    excluded = 0
    for seed in range(300):
        generator = np.random.default_rng(seed)
        is_bad = (generator.random(400) < 0.3).astype(np.int8)
        found = compare_auc(is_bad, is_bad + generator.normal(0, 1, 400), is_bad + generator.normal(0, 1, 400))
        excluded += found.p_value < 0.05
    assert 5 <= excluded <= 28  # 15 expected; a binomial leaves this range once in a thousand


@given(st.integers(0, 10_000))
def test_brier_and_log_loss_are_those_of_scikit_learn(seed):
    is_bad, prob_default, _ = simulated(50, seed)
    is_bad[:2] = (0, 1)
    assert brier_score(is_bad, prob_default) == pytest.approx(metrics.brier_score_loss(is_bad, prob_default))
    assert log_loss(is_bad, prob_default) == pytest.approx(metrics.log_loss(is_bad, prob_default))


def test_log_loss_of_a_certain_mistake_is_large_but_finite():
    assert 30 < log_loss(np.array([1], dtype=np.int8), np.array([0.0])) < 40


def test_gini_is_nought_by_chance_and_one_when_perfect():
    assert gini(0.5) == 0
    assert gini(1.0) == 1


def test_intervals_of_slope_and_intercept_hold_the_truth_about_nineteen_times_in_twenty():
    lines = [calibration_line(*simulated(500, seed)[:2]) for seed in range(60)]
    for held in (
        [line.slope.low <= 1 <= line.slope.high for line in lines],
        [line.intercept.low <= 0 <= line.intercept.high for line in lines],
    ):
        assert sum(held) >= 52  # 57 of 60 expected
    assert np.mean([line.slope.value for line in lines]) == pytest.approx(1, abs=0.05)


def test_probabilities_too_far_apart_have_a_slope_under_one():
    is_bad, prob_default, _ = simulated(5000, seed=1)
    logit = 2 * np.log(prob_default / (1 - prob_default))
    slope = calibration_line(is_bad, 1 / (1 + np.exp(-logit))).slope
    assert slope.value == pytest.approx(0.5, abs=0.05)
    assert slope.high < 1


def test_bias_is_mean_probability_less_bad_rate():
    is_bad, prob_default, _ = simulated(500, seed=1)
    assert calibration_line(is_bad, prob_default).bias == pytest.approx(prob_default.mean() - is_bad.mean())


def test_a_perfect_model_stays_under_the_chance_floor_about_nineteen_times_in_twenty():
    under = 0
    for seed in range(200):
        is_bad, prob_default, _ = simulated(600, seed)
        error = calibration_error(is_bad, prob_default, groups=10, draws=200, seed=seed)
        under += error.observed <= error.chance_95
    assert 178 <= under <= 199


def test_a_model_that_is_wrong_everywhere_exceeds_the_chance_floor():
    is_bad, prob_default, _ = simulated(3000, seed=5)
    error = calibration_error(is_bad, np.clip(prob_default + 0.1, 0, 1), groups=10, draws=200, seed=0)
    assert error.observed == pytest.approx(0.1, abs=0.02)
    assert error.observed > 2 * error.chance_95


def test_the_chance_floor_shrinks_as_applicants_are_added():
    small, large = (calibration_error(*simulated(n, 1)[:2], groups=10, draws=300, seed=0) for n in (400, 6400))
    assert large.chance_mean == pytest.approx(small.chance_mean / 4, rel=0.1)


def test_calibration_groups_hold_everybody_and_their_bads():
    is_bad, prob_default, _ = simulated(1003, seed=2)
    groups = calibration_groups(is_bad, prob_default, groups=10, draws=200, seed=0)
    assert groups.size.sum() == 1003
    assert (groups.size * groups.bad_rate).sum() == pytest.approx(is_bad.sum())
    assert (np.diff(groups.mean_prob_default) > 0).all()
    assert (groups.low <= groups.mean_prob_default).all()
    assert (groups.high >= groups.mean_prob_default).all()


def test_fewer_applicants_than_groups_make_one_group_each():
    is_bad, prob_default, _ = simulated(4, seed=2)
    assert calibration_groups(is_bad, prob_default, groups=10, draws=100, seed=0).size.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("only", [0, 1])
def test_one_outcome_alone_is_refused_with_the_counts(only):
    is_bad, risk = np.full(7, only, dtype=np.int8), np.linspace(0, 1, 7)
    for measure in (auc, kolmogorov_smirnov, calibration_line):
        with pytest.raises(EvaluationError, match=r"7 goods and 0 bads|0 goods and 7 bads"):
            measure(is_bad, risk)
    with pytest.raises(EvaluationError):
        compare_auc(is_bad, risk, risk)


@given(points=st.lists(st.integers(300, 700), min_size=2, max_size=60))
def test_every_applicant_is_in_one_band_and_the_last_cumulative_row_holds_everybody(points):
    policy = Policy(
        version="1",
        approve_from=600,
        refer_from=500,
        bands=[{"name": "A", "from_points": 600}, {"name": "B", "from_points": 500}, {"name": "C", "from_points": 300}],
    )
    is_bad = np.arange(len(points), dtype=np.int8) % 2
    scores = scores_of(np.full(len(points), 0.2), np.array(points))
    table = band_table(scores, is_bad, policy)
    assert sum(row.applicants for row in table) == len(points)
    assert sum(row.bads for row in table) == is_bad.sum()
    assert table[-1].cumulative_share == 1
    assert table[-1].cumulative_bad_rate == pytest.approx(is_bad.mean())
    assert table[-1].cumulative_share_of_bads == 1
    for row, above in zip(table, (10_000, 600, 500), strict=True):
        if row.applicants:
            assert row.from_points <= row.lowest_points <= row.highest_points < above
        else:
            assert row.bad_rate is None


@pytest.fixture(scope="module")
def holdout(taiwan_features, taiwan_checked, taiwan):
    parts = assign_parts(taiwan_features.select("applicant_id"), taiwan.split)
    return select_holdout(taiwan_features, parts, outcome_table(taiwan_checked.valid, taiwan).collect())


def test_candidates_rank_the_real_holdout_as_scikit_learn_says(holdout, bundle):
    scores = score(matrix_for(bundle, holdout.features), bundle)
    judged = evaluate_candidate(bundle, scores, holdout.is_bad, OPTIONS)
    assert judged.auc.value == pytest.approx(metrics.roc_auc_score(holdout.is_bad, -scores.points_exact))
    assert judged.gini.value == pytest.approx(2 * judged.auc.value - 1)
    assert judged.gini.high - judged.gini.low == pytest.approx(2 * (judged.auc.high - judged.auc.low))
    assert judged.brier < judged.brier_of_average


def test_an_evaluation_is_plain_json_and_its_metrics_are_flat(holdout, scorecard_bundle, boosted_trees_bundle):
    found = evaluate(scorecard_bundle, boosted_trees_bundle, holdout, OPTIONS)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["applicants"] == len(holdout.is_bad)
    flat = found.to_metrics()
    assert all(type(value) is float for value in flat.values())
    assert flat["auc_difference"] == pytest.approx(flat["boosted_trees.auc"] - flat["scorecard.auc"])
    assert sum(swap.applicants for swap in found.swap_sets) == len(holdout.is_bad)


def test_the_same_seed_gives_the_same_evaluation(holdout, scorecard_bundle, boosted_trees_bundle):
    one, again = (evaluate(scorecard_bundle, boosted_trees_bundle, holdout, OPTIONS) for _ in range(2))
    assert one == again


def test_a_bundle_of_another_feature_set_is_refused_by_the_name_of_what_is_missing(holdout, scorecard_bundle):
    name = scorecard_bundle.plan.names[3]
    lacking = replace(holdout, features=holdout.features.drop(name))
    with pytest.raises(MissingInputsError, match=name):
        evaluate(scorecard_bundle, scorecard_bundle, lacking, OPTIONS)


def test_the_holdout_is_its_part_alone_and_unknown_outcomes_are_left_out_and_counted():
    ids = ["a", "b", "c", "d"]
    features = pl.DataFrame({"applicant_id": ids, "x": [1.0, 2.0, 3.0, 4.0]})
    parts = pl.DataFrame({"applicant_id": ids, "part": ["holdout", "stream", "holdout", "holdout"]})
    outcomes = pl.DataFrame({"applicant_id": ids, "is_bad": pl.Series([1, 1, None, 0], dtype=pl.Int8)})
    found = select_holdout(features, parts, outcomes)
    assert found.features["applicant_id"].to_list() == ["a", "d"]
    assert found.is_bad.tolist() == [1, 0]
    assert found.without_outcome == 1
    assert found.part_sizes == {"holdout": 3, "stream": 1}


def test_an_empty_holdout_is_refused():
    features = pl.DataFrame({"applicant_id": ["a"], "x": [1.0]})
    parts = pl.DataFrame({"applicant_id": ["a"], "part": ["stream"]})
    outcomes = pl.DataFrame({"applicant_id": ["a"], "is_bad": pl.Series([1], dtype=pl.Int8)})
    with pytest.raises(EvaluationError, match="'holdout' has no applicants"):
        select_holdout(features, parts, outcomes)


def test_points_of_the_scorecard_table_add_up_to_the_score(holdout: Holdout, scorecard_bundle):
    rows = matrix_for(scorecard_bundle, holdout.features)[:200]
    table = {row.feature: row for row in scorecard_table(scorecard_bundle)}
    total = np.full(len(rows), explain(rows, scorecard_bundle).base)
    for bins in scorecard_bundle.classifier.data.bins:
        values = rows[:, scorecard_bundle.plan.names.index(bins.feature)]
        total += np.array([row.points for row in table[bins.feature].bins])[bins.assign(values)]
    np.testing.assert_allclose(total, score(rows, scorecard_bundle).points_exact, atol=1e-8)


def test_the_scorecard_table_names_special_values_in_the_words_of_the_declaration(scorecard_bundle):
    status = next(row for row in scorecard_table(scorecard_bundle) if row.feature.startswith("status_"))
    labels = [row.label for row in status.bins]
    assert "-1 (paid in full)" in labels
    assert labels[-1] == "missing"


def test_trees_have_no_scorecard_table(boosted_trees_bundle):
    assert scorecard_table(boosted_trees_bundle) == ()
