"""One declaration, any engine: random declarations on random tables give the same numbers everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from plain_features import PlainReading
from random_features import AS_OF, FUNCTIONS, Case, cases, declared_portfolio, features

from credit_scoring.core.errors import FeatureTablesError, MissingInputsError
from credit_scoring.core.features.feature_set import FeatureSet, to_matrix
from credit_scoring.core.portfolio import Portfolio

Values = Mapping[str, Mapping[str, float | None]]
"""Feature values by applicant."""


def by_applicant(features: pl.DataFrame) -> Values:
    return {row["applicant_id"]: row for row in features.iter_rows(named=True)}


def plainly(portfolio: Portfolio, case: Case) -> Values:
    reading, names = PlainReading(portfolio, FUNCTIONS), FeatureSet.of(portfolio).names
    return {
        applicant["applicant_id"]: {
            name: reading.feature(name, applicant, case.own_events(applicant["applicant_id"])) for name in names
        }
        for applicant in case.applicants
    }


def online(plan: FeatureSet, case: Case) -> Values:
    return {a["applicant_id"]: plan.compute_one_exact(case.facts(a), a["as_of"]) for a in case.applicants}


def assert_same(found: Values, expected: Values, names: Sequence[str]) -> None:
    assert found.keys() == expected.keys()
    for applicant, values in expected.items():
        for name in names:
            got, right = found[applicant][name], values[name]
            assert (got is None) == (right is None), (applicant, name, got, right)
            assert got is None or got == pytest.approx(right, rel=1e-9, abs=1e-9), (applicant, name)


@settings(max_examples=40)
@given(features=features(), case=cases())
def test_every_engine_gives_what_a_plain_reading_gives(features: dict[str, Any], case: Case):
    portfolio = declared_portfolio(features)
    plan = FeatureSet.of(portfolio)
    applicants, events = case.frames()
    expected = plainly(portfolio, case)
    lazy = {table: frame.lazy() for table, frame in events.items()}
    pandas = {table: frame.to_pandas() for table, frame in events.items()}
    eager = plan.compute_exact(applicants, events)
    assert eager["applicant_id"].to_list() == applicants["applicant_id"].to_list()
    assert_same(by_applicant(eager), expected, plan.names)
    assert plan.compute_exact(applicants.lazy(), lazy).equals(eager)
    on_pandas = plan.compute_exact(applicants.to_pandas(), pandas)
    assert on_pandas["applicant_id"].to_list() == applicants["applicant_id"].to_list()
    assert_same(by_applicant(on_pandas), expected, plan.names)
    assert_same(online(plan, case), expected, plan.names)


@settings(max_examples=30)
@given(features=features(), case=cases(most_events=20))
def test_one_applicant_online_has_the_features_of_the_batch_to_the_bit(features: dict[str, Any], case: Case):
    portfolio = declared_portfolio(features)
    plan = FeatureSet.of(portfolio)
    batch = to_matrix(plan.compute(*case.frames()), plan.names)
    for row, applicant in enumerate(case.applicants):
        alone = plan.compute_one(case.facts(applicant), applicant["as_of"])
        np.testing.assert_array_equal(alone, batch[row : row + 1])


def test_sums_of_many_fractions_are_the_same_to_the_bit_online_and_in_the_batch():
    spans: list[dict[str, Any]] = [{}, {"last": 150}, {"days": 200}, {"where": {"minutes": {"above": 0}}}]
    kinds = ("sum", "mean", "trend", "min", "last")
    features = {
        f"{kind}_{n}": {"window": {"table": "calls", "aggregate": kind, "column": "minutes"} | span}
        for kind in kinds
        for n, span in enumerate(spans)
    }
    plan = FeatureSet.of(declared_portfolio(features))
    draw = np.random.default_rng(5)
    nothing = dict.fromkeys(("income_eur", "dependants", "housing", "born_on"))
    applicants = [{"applicant_id": f"a{n}", "as_of": AS_OF} | nothing for n in range(40)]
    calls = [
        {
            "applicant_id": applicant["applicant_id"],
            "occurred_at": AS_OF - pd.Timedelta(seconds=int(draw.integers(1, 4 * 10**7))).to_pytimedelta(),
            "event_number": number,
            "minutes": None if draw.random() < 0.1 else float(draw.normal() * 10.0 ** draw.integers(-3, 4)),
        }
        for number_of, applicant in enumerate(applicants)
        for number in range(25 * number_of)
    ]
    case = Case(applicants, {"calls": calls})
    exact = plan.compute_exact(*case.frames())
    for applicant, row in zip(applicants, exact.iter_rows(named=True), strict=True):
        alone = plan.compute_one_exact(case.facts(applicant), AS_OF)
        assert {name: alone[name] for name in plan.names} == {name: row[name] for name in plan.names}


@pytest.fixture
def tables() -> tuple[FeatureSet, pl.DataFrame, pl.DataFrame]:
    plan = FeatureSet.of(declared_portfolio({"n": {"window": {"table": "calls", "aggregate": "count"}}}))
    nothing = dict.fromkeys(("income_eur", "dependants", "housing", "born_on"))
    call = {"applicant_id": "a", "occurred_at": AS_OF - pd.Timedelta(days=1), "event_number": 0, "minutes": 1.0}
    applicants, events = Case([{"applicant_id": "a", "as_of": AS_OF} | nothing], {"calls": [call]}).frames()
    return plan, applicants, events["calls"]


def test_frames_of_several_engines_in_memory_are_computed_together(
    tables: tuple[FeatureSet, pl.DataFrame, pl.DataFrame],
):
    plan, applicants, calls = tables
    for mixed in ((applicants.to_pandas(), calls), (applicants.lazy(), calls.to_pandas()), (applicants, calls.lazy())):
        assert plan.compute(mixed[0], {"calls": mixed[1]})["n"].to_list() == [1]


def test_an_engine_that_features_are_not_computed_on_is_named(tables: tuple[FeatureSet, pl.DataFrame, pl.DataFrame]):
    plan, applicants, calls = tables
    with pytest.raises(
        FeatureTablesError, match="Table 'calls' is a frame of pyarrow; features are computed on Polars"
    ):
        plan.compute(applicants, {"calls": calls.to_arrow()})


def test_moments_without_a_time_zone_are_refused(tables: tuple[FeatureSet, pl.DataFrame, pl.DataFrame]):
    plan, applicants, calls = tables
    naive = calls.with_columns(pl.col("occurred_at").dt.replace_time_zone(None))
    for frame in (naive, naive.lazy(), naive.to_pandas()):
        with pytest.raises(FeatureTablesError, match=r"Column 'occurred_at' of table 'calls' .* with a time zone"):
            plan.compute(applicants, {"calls": frame})


def test_moments_in_any_time_zone_are_the_moments_they_are(tables: tuple[FeatureSet, pl.DataFrame, pl.DataFrame]):
    plan, applicants, calls = tables
    zoned = calls.with_columns(pl.col("occurred_at").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns"))
    for frame in (zoned, zoned.lazy(), zoned.to_pandas()):
        assert plan.compute(applicants, {"calls": frame})["n"].to_list() == [1]


def test_a_repeated_applicant_is_refused(tables: tuple[FeatureSet, pl.DataFrame, pl.DataFrame]):
    plan, applicants, calls = tables
    twice = pl.concat([applicants, applicants])
    for frames in ((twice, calls), (twice.to_pandas(), calls.to_pandas())):
        with pytest.raises(FeatureTablesError, match="several rows of one 'applicant_id'"):
            plan.compute(frames[0], {"calls": frames[1]})


def test_absent_knowledge_times_are_told():
    plan = FeatureSet.of(declared_portfolio({"n": {"window": {"table": "payments", "aggregate": "count"}}}))
    applicants, events = Case([], {"payments": []}).frames()
    with pytest.raises(MissingInputsError, match=r"'payments' lacks column\(s\) \['known_at'\]"):
        plan.compute(applicants, {"payments": events["payments"].drop("known_at")})
