"""The same declarations on PySpark: many random tables at once, since a job costs seconds however small."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from random_features import Case, cases, declared_portfolio, features
from spark_session import spark

from credit_scoring.core.errors import FeatureTablesError
from credit_scoring.core.features.engines import in_polars, with_as_of
from credit_scoring.core.features.feature_set import FeatureSet

__all__ = ["spark"]  # the fixture of every test here

CASES = st.tuples(*(cases(most_events=8, prefix=f"{number}-") for number in range(6)))


def on_spark(spark: Any, frame: pl.DataFrame) -> Any:
    return spark.createDataFrame(frame.to_arrow())


@settings(max_examples=3, phases=[Phase.generate])  # a smaller example would take as long to find as to read
@given(features=features(most=6), several=CASES)
def test_spark_gives_the_same_numbers(spark: Any, features: dict[str, Any], several: tuple[Case, ...]):
    plan = FeatureSet.of(declared_portfolio(features))
    found = [case.frames() for case in several]
    applicants = pl.concat([frame for frame, _ in found])
    tables = {table for _, events in found for table in events}
    events = {table: pl.concat([own[table] for _, own in found if table in own]) for table in tables}
    expected = plan.compute_exact(applicants, events).sort("applicant_id")
    spread = {table: on_spark(spark, frame) for table, frame in events.items()}
    got = plan.compute_exact(on_spark(spark, applicants), spread)
    assert got["applicant_id"].to_list() == expected["applicant_id"].to_list()
    for name in plan.names:
        assert got[name].is_null().to_list() == expected[name].is_null().to_list(), name
        right = expected[name].drop_nulls().to_list()
        assert got[name].drop_nulls().to_list() == pytest.approx(right, rel=1e-9, abs=1e-9), name


def test_moments_stay_the_moments_they_are(spark: Any):
    moment = datetime(2020, 6, 1, 3, 30, tzinfo=UTC)
    applicants = on_spark(spark, pl.DataFrame({"applicant_id": ["a"], "income_eur": [1.0]}))
    found = in_polars(with_as_of(applicants, moment), ("applicant_id", "person", "as_of"))
    assert found.rows() == [("a", moment)]
    assert found.schema["as_of"] == pl.Datetime("us", "UTC")
    own = with_as_of(with_as_of(applicants, moment), datetime(1999, 1, 1, tzinfo=UTC))
    assert in_polars(own, ("as_of",))["as_of"].item() == moment


def test_tables_of_spark_and_of_others_are_refused_together(spark: Any):
    plan = FeatureSet.of(declared_portfolio({"n": {"window": {"table": "calls", "aggregate": "count"}}}))
    applicants, events = Case([], {"calls": []}).frames()
    with pytest.raises(FeatureTablesError, match=r"\['calls'\] are PySpark frames and \['applicants'\] are not"):
        plan.compute(applicants, {"calls": on_spark(spark, events["calls"])})
