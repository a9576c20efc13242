from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from factories import build_portfolio
from sklearn.metrics import roc_auc_score

from credit_scoring.core.calibration import fit_affine
from credit_scoring.core.errors import TrainingError
from credit_scoring.core.scoring import ModelBundle, score
from credit_scoring.core.training.candidates import (
    fit_candidate,
    fit_classifier,
    just_approved,
    out_of_fold_margins,
)
from credit_scoring.core.training.development import Development, development_part, labelled
from credit_scoring.core.training.options import (
    BoostedTreesOptions,
    CalibrationOptions,
    CandidateOptions,
    DevelopmentOptions,
    FitOptions,
    ScorecardOptions,
)
from credit_scoring.core.training.tuning import tune

QUICK = CandidateOptions(
    fit=BoostedTreesOptions(algorithm="boosted_trees", rounds=10, max_depth=2, learning_rate=0.3),
    calibration=CalibrationOptions(folds=2),
)
POLICY = build_portfolio().policy


def test_a_perfectly_calibrated_log_odds_gives_slope_one_and_intercept_zero():
    draw = np.random.default_rng(0)
    log_odds = draw.normal(-1, 1.5, 200_000)
    fit = fit_affine(log_odds, (draw.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))).astype(np.int8))
    assert fit.slope == pytest.approx(1, abs=0.02)
    assert fit.intercept == pytest.approx(0, abs=0.03)
    assert fit.slope_interval()[0] < 1 < fit.slope_interval()[1]
    assert abs(fit.intercept) < 2 * fit.intercept_error


def test_calibration_on_one_outcome_is_refused():
    with pytest.raises(TrainingError, match="only one of them occurs"):
        fit_affine(np.arange(5.0), np.zeros(5, np.int8))


def test_a_calibrated_bundle_expects_as_many_bads_as_there_are(bundle: ModelBundle, development: Development):
    expected = score(development.features, bundle).prob_default.mean()
    assert expected == pytest.approx(development.is_bad.mean(), abs=0.02)


def refused_for_chance(data: Development) -> bool:
    try:
        fit_candidate("x", data, QUICK)
    except TrainingError as exc:
        return "does not rank unseen applicants better than chance" in str(exc)
    return False


def test_outcomes_that_rank_the_wrong_way_round_out_of_fold_are_refused(development: Development):
    part = development.rows(np.arange(600))
    by_chance = [replace(part, is_bad=np.random.default_rng(seed).permutation(part.is_bad)) for seed in range(8)]
    assert any(refused_for_chance(data) for data in by_chance)
    assert not refused_for_chance(part)


def test_a_margin_out_of_fold_comes_from_a_model_that_has_not_seen_the_row(development: Development):
    draw = np.random.default_rng(2)
    part = development.rows(np.arange(1000))
    noise = replace(
        part,
        features=draw.normal(size=part.features.shape).astype(np.float32),
        is_bad=(draw.random(1000) < 0.5).astype(np.int8),
    )
    deep = BoostedTreesOptions(algorithm="boosted_trees", rounds=30, max_depth=8, learning_rate=0.5, min_child_weight=0)
    assert roc_auc_score(noise.is_bad, fit_classifier(noise, deep).margin(noise.features)) > 0.95
    assert roc_auc_score(noise.is_bad, out_of_fold_margins(noise, deep, QUICK.calibration)) < 0.6


def test_the_reference_is_the_nearest_above_the_cut_off():
    points = np.concatenate([np.full(500, 400.0), np.linspace(599.4, 700, 300)])
    chosen = just_approved(points, POLICY)
    assert len(chosen) == POLICY.reference_size
    assert np.rint(points[chosen]).min() >= POLICY.approve_from
    assert points[chosen].max() <= np.sort(points[np.rint(points) >= POLICY.approve_from])[POLICY.reference_size - 1]


def test_too_few_approved_applicants_are_told_with_a_remedy():
    with pytest.raises(TrainingError, match="Lower 'approve_from'"):
        just_approved(np.full(100, 500.0), POLICY)


def test_labels_are_joined_by_applicant_and_unknown_ones_left_out():
    features = pl.DataFrame({"applicant_id": ["a", "b", "c", "d"], "x": [1.0, 2.0, 3.0, 4.0]})
    outcomes = pl.DataFrame(
        {"applicant_id": ["d", "b", "a"], "is_bad": [1, None, 0]}, schema_overrides={"is_bad": pl.Int8}
    )
    rows, is_bad = labelled(features, outcomes)
    assert rows["applicant_id"].to_list() == ["a", "d"]
    assert is_bad.tolist() == [0, 1]


def test_only_the_development_part_is_seen(taiwan, taiwan_features: pl.DataFrame):
    ids = taiwan_features["applicant_id"]
    outcomes = pl.DataFrame(
        {"applicant_id": ids, "is_bad": (pl.int_range(len(ids), eager=True) % 4 == 0).cast(pl.Int8)}
    )
    parts = pl.DataFrame({"applicant_id": ids}).with_columns(
        part=pl.when(pl.int_range(pl.len()) < 1000).then(pl.lit("development")).otherwise(pl.lit("holdout"))
    )
    part = development_part(taiwan, taiwan_features, outcomes, parts.reverse())
    assert part.features.shape == (1000, len(part.plan.names))
    assert part.is_bad.tolist() == outcomes["is_bad"][:1000].to_list()


def test_too_few_of_an_outcome_are_refused(taiwan, taiwan_features: pl.DataFrame):
    ids = taiwan_features["applicant_id"]
    outcomes = pl.DataFrame({"applicant_id": ids, "is_bad": (pl.int_range(len(ids), eager=True) < 29).cast(pl.Int8)})
    parts = pl.DataFrame({"applicant_id": ids, "part": "development"})
    with pytest.raises(TrainingError, match=r"29 bad outcomes; at least 30 .*'development.fewest_of_each_outcome'"):
        development_part(taiwan, taiwan_features, outcomes, parts)
    fewer = DevelopmentOptions(fewest_of_each_outcome=29)
    assert development_part(taiwan, taiwan_features, outcomes, parts, fewer).is_bad.sum() == 29


def test_fewer_outcomes_than_folds_are_refused(development: Development):
    chosen = np.sort(np.concatenate([np.flatnonzero(development.is_bad == label)[:4] for label in (0, 1)]))
    with pytest.raises(TrainingError, match=r"5 folds need .* has 4 of one. Lower 'folds'"):
        fit_candidate("x", development.rows(chosen), QUICK.model_copy(update={"calibration": CalibrationOptions()}))


def test_a_feature_that_is_never_known_stops_neither_algorithm(development: Development):
    part = development.rows(np.arange(800))
    features = part.features.copy()
    for name in ("education", "status_now", "limit_twd"):
        features[:, part.plan.names.index(name)] = np.nan
    blind = replace(part, features=features)
    for options in (QUICK, QUICK.model_copy(update={"fit": ScorecardOptions(algorithm="scorecard")})):
        found = fit_candidate("x", blind, options).bundle
        assert np.isfinite(score(development.features[:50], found).points_exact).all()


def test_no_information_is_told_with_a_remedy(development: Development):
    part = development.rows(np.arange(800))
    nothing = replace(part, features=np.full_like(part.features, np.nan))
    options = QUICK.model_copy(update={"fit": ScorecardOptions(algorithm="scorecard")})
    with pytest.raises(TrainingError, match="No feature reaches an information value"):
        fit_candidate("x", nothing, options)


def tuned(development: Development, fit: FitOptions, trials: int) -> FitOptions:
    tuning = {"trials": trials, "folds": 2, "seed": 3}
    return tune(development, CandidateOptions(fit=fit, tuning=tuning))


def test_without_trials_the_configured_options_are_taken(development: Development):
    fit = ScorecardOptions(algorithm="scorecard", max_bins=4)
    assert tuned(development, fit, trials=0) is fit


@pytest.mark.parametrize(
    "fit",
    [
        ScorecardOptions(algorithm="scorecard", max_features=20),
        BoostedTreesOptions(algorithm="boosted_trees", rounds=100, max_depth=3, learning_rate=0.005),
    ],
)
def test_tuning_searches_the_same_way_again_and_never_ends_below_the_configured_options(
    development: Development, fit: FitOptions
):
    small = development.rows(np.arange(1_200))
    found = tuned(small, fit, trials=3)
    assert found == tuned(small, fit, trials=3)
    folds = CalibrationOptions(folds=2, seed=3)
    configured, best = (roc_auc_score(small.is_bad, out_of_fold_margins(small, o, folds)) for o in (fit, found))
    assert best >= configured
