import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import chi2

from credit_scoring.core.drift import (
    POINTS,
    MonitoringOptions,
    chance_limit,
    development_deciles,
    population_stability_index,
    stability,
)

OPTIONS = MonitoringOptions(chance_draws=4000)

values = st.lists(st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6, width=32)), min_size=30, max_size=200).map(
    lambda drawn: np.array(drawn, dtype=np.float32)
)


def deciles_of(column):
    return development_deciles(column[:, None], ("x",), column.astype(np.float64))["x"]


def with_missing(column, share):
    changed = column.copy()
    changed[: int(share * len(column))] = np.nan
    return changed


@given(values)
def test_a_sample_does_not_differ_from_itself(column):
    assert population_stability_index(column, deciles_of(column)) == 0


@given(values, values)
def test_psi_is_never_negative(column, other):
    assert population_stability_index(other, deciles_of(column)) >= 0


@given(values, st.randoms(use_true_random=False))
def test_the_order_of_applicants_does_not_matter(column, random):
    shuffled = column.copy()
    random.shuffle(shuffled)
    deciles = deciles_of(column)
    assert population_stability_index(shuffled, deciles) == pytest.approx(population_stability_index(column, deciles))


def test_psi_grows_as_values_stop_arriving():
    column = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    deciles = deciles_of(column)
    found = [population_stability_index(with_missing(column, share), deciles) for share in (0, 0.05, 0.2, 0.5, 1)]
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] > 5


def test_missing_values_are_a_group_of_their_own():
    column = np.arange(1000, dtype=np.float32)
    half_known = with_missing(column, 0.5)
    filled_up = np.where(np.isnan(half_known), np.float32(-1), half_known)  # as if missing meant the lowest value
    assert population_stability_index(filled_up, deciles_of(half_known)) > 1


def test_psi_is_its_textbook_sum():
    column = np.arange(1000, dtype=np.float32)
    moved = np.concatenate([column[:500], column[:500]])  # the upper half does not occur
    expected = sum((a - 0.1) * np.log(a / 0.1) for a in [0.2] * 5 + [0.5 / 1000] * 5)
    assert population_stability_index(moved, deciles_of(column)) == pytest.approx(expected)


@pytest.mark.parametrize("period_size", [500, 3000])
def test_the_chance_limit_of_many_applicants_is_the_chi_squared_quantile(period_size):
    column = np.arange(5000, dtype=np.float32)
    limit = chance_limit(deciles_of(column), 5000, period_size, 0.05, MonitoringOptions())
    assert limit == pytest.approx((1 / 5000 + 1 / period_size) * chi2.ppf(0.95, 9), rel=0.07)


@pytest.mark.parametrize("period_size", [40, 100, 1000])
def test_an_unchanged_population_exceeds_the_limit_about_one_time_in_twenty(period_size):
    generator = np.random.default_rng(period_size)
    exceeded = 0
    for _ in range(20):
        column = generator.normal(size=2000).astype(np.float32)
        deciles = deciles_of(column)
        limit = chance_limit(deciles, 2000, period_size, 0.05, OPTIONS)
        periods = (generator.normal(size=period_size) for _ in range(25))
        exceeded += sum(population_stability_index(period, deciles) > limit for period in periods)
    assert 8 <= exceeded <= 50  # of 500, 25 expected; deciles are shared, so the count scatters more than a binomial


def test_a_tiny_unchanged_sample_is_not_flagged_though_its_psi_is_large():
    generator = np.random.default_rng(1)
    columns = {f"f{i}": generator.normal(size=3000).astype(np.float32) for i in range(20)}
    deciles = {name: deciles_of(column) for name, column in columns.items()}
    found = stability({name: column[:60] for name, column in columns.items()}, deciles, 3000, OPTIONS)
    assert max(row.psi for row in found) > 0.10
    assert {row.level for row in found} == {"stable"}


def test_a_large_unchanged_sample_is_not_flagged_because_it_is_large():
    generator = np.random.default_rng(1)
    deciles = {"x": deciles_of(generator.normal(size=50_000).astype(np.float32))}
    period = generator.normal(0.05, 1, size=50_000)  # measurable, and too small to matter
    (found,) = stability({"x": period}, deciles, 50_000, OPTIONS)
    assert found.psi > found.chance_limit
    assert found.level == "stable"


@pytest.mark.parametrize(("shift", "level"), [(0.0, "stable"), (0.4, "watch"), (0.8, "drift")])
def test_levels_follow_the_thresholds(shift, level):
    generator = np.random.default_rng(2)
    column = generator.normal(size=20_000).astype(np.float32)
    (found,) = stability({"x": column + np.float32(shift)}, {"x": deciles_of(column)}, len(column), OPTIONS)
    assert found.level == level


def test_the_most_moved_column_comes_first_and_missing_shares_are_told():
    column = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    deciles = {"kept": deciles_of(column), "lost": deciles_of(column), POINTS: deciles_of(column)}
    period = {"kept": column, "lost": with_missing(column, 0.3), POINTS: column.astype(np.float64)}
    found = stability(period, deciles, 2000, OPTIONS)
    assert [row.column for row in found] == ["lost", "kept", POINTS]
    assert (found[0].missing_share, found[0].missing_share_reference) == (0.3, 0)
    assert found[0].level == "drift"


def test_a_constant_feature_is_stable_and_a_new_value_of_it_is_not():
    column = np.zeros(500, dtype=np.float32)
    deciles = {"x": deciles_of(column)}
    assert stability({"x": column}, deciles, 500, OPTIONS)[0].level == "stable"
    assert stability({"x": column + 1}, deciles, 500, OPTIONS)[0].level == "drift"


def test_a_watch_threshold_above_the_drift_threshold_is_refused():
    with pytest.raises(ValidationError, match="watch_from"):
        MonitoringOptions(watch_from=0.3, drift_from=0.2)
