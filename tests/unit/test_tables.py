"""What is made of checked tables: joins, decisions' moments, labels, parts; on the made-up loans."""

import copy
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from loans import DECLARATION, received

from credit_scoring.core.declaration_checks import declaration_problems
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.splitting import assign_parts
from credit_scoring.core.table_checks import CheckedTables, check_rows
from credit_scoring.core.tables import (
    application_table,
    event_tables,
    outcome_table,
    protected_table,
    unmatched_rows,
)


def loans(**outcome: object) -> Portfolio:
    declaration = copy.deepcopy(DECLARATION)
    declaration["outcome"] |= outcome
    return Portfolio.model_validate(declaration)


LOANS = loans()


def check(tables: Mapping[str, pl.DataFrame], portfolio: Portfolio = LOANS) -> CheckedTables:
    return check_rows(tables, portfolio)


def changed(table: str, **columns: str) -> dict[str, pl.DataFrame]:
    """Three loans, with every value of some columns replaced."""
    tables = dict(received(3))
    tables[table] = tables[table].with_columns(**{name: pl.lit(value) for name, value in columns.items()})
    return tables


def set_aside(tables: Mapping[str, pl.DataFrame]) -> list[tuple[str, str, str]]:
    found = check(tables).quarantined.select("table", "column", "rule").unique(maintain_order=True)
    return list(found.iter_rows())


def test_the_declaration_is_sound_and_complete():
    assert declaration_problems(LOANS) == []
    assert list(LOANS.features) == [
        *("amount_eur", "score", "customer_since", "district", "unemployment"),
        *("flow_sum_30d", "flow_sum_90d", "flow_mean_30d", "flow_mean_90d", "fees_count_last5", "amount_to_flow"),
    ]
    assert all(feature.reason in LOANS.reasons for feature in LOANS.features.values())
    assert LOANS.features["score"].special == {-8: "no record", -9: "not asked"}


def test_a_declaration_read_back_from_a_bundle_is_the_same():
    assert Portfolio.model_validate(LOANS.model_dump(mode="json", exclude_none=True)) == LOANS


def test_every_received_row_is_valid_and_typed():
    checked = check(received(40))
    assert checked.quarantined.is_empty()
    row = application_table(checked.valid, LOANS).collect().row(0, named=True)
    assert row["applicant_id"] == "l0"
    assert row["person"] == "c0"
    assert isinstance(row["as_of"], datetime)
    assert row["district"] in ("north", "south")
    assert row["unemployment"] == {"north": 3.5, "south": 9.0}[row["district"]]
    assert row["amount_eur"] % 1 == 0.5
    assert {"remark", "sex", "days_late", "decided_on", "booked_on", "read_on"}.isdisjoint(row)
    assert protected_table(checked.valid, LOANS).collect().columns == ["applicant_id", "sex"]


@pytest.mark.parametrize(
    ("table", "columns", "found"),
    [
        ("applicants", {"DECIDED": "31.02.2020"}, ("DECIDED", "type")),
        ("applicants", {"DECIDED": "NA"}, ("DECIDED", "required")),
        ("applicants", {"SCORE": "-7"}, ("SCORE", "range")),
        ("applicants", {"SCORE": "101"}, ("SCORE", "range")),
        ("applicants", {"DISTRICT": "1"}, ("DISTRICT", "allowed values")),
        ("applicants", {"AMOUNT": "12.5"}, ("AMOUNT", "type")),
        ("applicants", {"client": ""}, ("client", "required")),
        ("movements", {"booked_at": "soon"}, ("booked_at", "type")),
        ("movements", {"loaded_at": ""}, ("loaded_at", "required")),
        ("movements", {"movement": "m1"}, ("movement", "unique")),
        ("districts", {"code": "03"}, ("code", "allowed values")),
        ("districts", {"code": "01"}, ("code", "unique")),
    ],
)
def test_what_breaks_a_table_s_contract_is_set_aside(table: str, columns: dict[str, str], found: tuple[str, str]):
    assert (table, *found) in set_aside(changed(table, **columns))


def test_two_equal_movements_without_an_id_are_two_movements():
    declaration = copy.deepcopy(DECLARATION)
    del declaration["events"]["movements"]["id"]
    portfolio = Portfolio.model_validate(declaration)
    tables = dict(received(3))
    tables["movements"] = pl.concat([tables["movements"], tables["movements"]])
    assert check(tables, portfolio).quarantined.is_empty()


def test_a_movement_sent_twice_counts_once():
    tables = dict(received(3))
    once = event_tables(check(tables).valid, LOANS)["movements"].collect()
    tables["movements"] = pl.concat([tables["movements"], tables["movements"]])
    checked = check(tables)
    twice = event_tables(checked.valid, LOANS)["movements"].collect()
    assert twice.equals(once)
    assert checked.quarantined["rule"].unique().to_list() == ["copy"]


def test_of_movements_with_one_id_the_first_counts_and_a_later_knowledge_time_is_a_copy():
    tables = dict(received(3))
    first = tables["movements"].head(2)
    known_later = first.head(1).with_columns(loaded_at=pl.lit("2023-01-01"))
    corrected = first.tail(1).with_columns(amount=pl.lit("1"))
    tables["movements"] = pl.concat([tables["movements"], known_later, corrected])
    checked = check(tables)
    once = event_tables(check(received(3)).valid, LOANS)["movements"].collect()
    assert event_tables(checked.valid, LOANS)["movements"].collect().equals(once)
    assert sorted(checked.quarantined["rule"]) == ["copy", "unique"]


def labels(portfolio: Portfolio = LOANS, **columns: str) -> list[str | None]:
    checked = check(changed("applicants", **columns), portfolio)
    return outcome_table(checked.valid, portfolio).collect()["label"].unique().to_list()


@pytest.mark.parametrize(
    ("late", "label"),
    [
        ("0", "good"),
        ("10", "good"),
        ("11", "indeterminate"),
        ("30", "indeterminate"),
        ("31", "bad"),
        ("999", "excluded"),
        ("", None),
    ],
)
def test_an_outcome_is_what_its_rule_says(late: str, label: str | None):
    assert labels(LATE=late) == [label]


def test_only_bad_and_good_are_numbers_to_fit_on():
    for late, is_bad in [("5", 0), ("20", None), ("50", 1), ("999", None), ("", None)]:
        outcomes = outcome_table(check(changed("applicants", LATE=late)).valid, LOANS).collect()
        assert outcomes["is_bad"].to_list() == [is_bad] * 3


def test_an_outcome_read_before_its_window_closed_is_immature_from_booking_on():
    assert labels(BOOKED="2020-09-02", READ="2021-03-01", LATE="50") == ["bad"]  # 180 days
    assert labels(BOOKED="2020-09-03", READ="2021-03-01", LATE="50") == ["immature"]
    assert labels(BOOKED="", LATE="50") == ["immature"]


def test_without_booking_the_window_starts_at_the_decision():
    declaration = copy.deepcopy(DECLARATION)
    del declaration["outcome"]["starts"]
    declaration["outcome"]["observed"] = {"constant": "2021-03-01"}
    portfolio = Portfolio.model_validate(declaration)
    assert labels(portfolio, DECIDED="2020-09-02", LATE="50") == ["bad"]
    assert labels(portfolio, DECIDED="2020-09-03", LATE="50") == ["immature"]


def test_rows_decided_at_different_times_need_to_know_when_outcomes_were_read():
    declaration = copy.deepcopy(DECLARATION)
    del declaration["outcome"]["observed"]
    problems = declaration_problems(Portfolio.model_validate(declaration))
    assert any("needs 'observed'" in problem.message for problem in problems)


def test_rows_decided_before_the_portfolio_begins_are_excluded_whatever_their_outcome():
    portfolio = loans(decided_from="2020-05-02")
    for read in ("2021-03-01", "2020-05-03"):  # also where their outcome would be immature
        assert labels(portfolio, DECIDED="2020-05-01", READ=read, LATE="50") == ["excluded"]
    assert labels(portfolio, DECIDED="2020-05-02", LATE="50") == ["bad"]
    assert labels(portfolio, DECIDED="2020-05-02", LATE="999") == ["excluded"]


def test_rows_decided_before_the_portfolio_begins_are_valid_and_in_no_part():
    tables, begins = received(300), date(2020, 1, 1)
    portfolio = loans(decided_from=begins)
    checked = check(tables, portfolio)
    assert checked.quarantined.is_empty()
    applicants = application_table(checked.valid, portfolio).collect().drop("person")
    parts = assign_parts(applicants, portfolio.split, begins)
    in_scope = applicants.filter(pl.col("as_of").dt.date() >= begins)
    assert 0 < in_scope.height < applicants.height == 300
    assert parts["applicant_id"].to_list() == in_scope["applicant_id"].to_list()


def test_only_a_portfolio_whose_rows_are_decided_at_different_times_can_begin():
    declaration = copy.deepcopy(DECLARATION)
    declaration["as_of"] = {"constant": "2021-01-01"}
    declaration["split"] = {"salt": "s", "development": 0.4, "holdout": 0.3, "stream": 0.3}
    declaration["outcome"]["decided_from"] = "2020-05-02"
    (problem,) = declaration_problems(Portfolio.model_validate(declaration))
    assert problem.path == ("outcome", "decided_from")
    assert "needs 'as_of: {column: ...}'" in problem.message


def test_a_window_that_starts_at_the_clock_cannot_be_held_against_when_outcomes_were_read():
    declaration = copy.deepcopy(DECLARATION)
    declaration["as_of"] = {"granularity": "day"}
    declaration["split"] = {"salt": "s", "development": 0.6, "holdout": 0.2, "stream": 0.2}
    assert declaration_problems(Portfolio.model_validate(declaration)) == []
    del declaration["outcome"]["starts"]
    problems = declaration_problems(Portfolio.model_validate(declaration))
    assert [problem.path for problem in problems] == [("outcome", "observed")]


def test_all_loans_of_a_client_fall_into_the_part_of_the_first():
    applicants = pl.DataFrame(
        {
            "applicant_id": ["a", "b", "c", "d", "e"],
            "person": ["x", "y", "x", "z", "y"],
            "as_of": [
                datetime(2020, 5, 31, tzinfo=UTC),
                datetime(2020, 6, 1, tzinfo=UTC),
                datetime(2020, 12, 1, tzinfo=UTC),
                datetime(2020, 10, 1, tzinfo=UTC),
                datetime(2021, 1, 1, tzinfo=UTC),
            ],
        }
    )
    applicants = applicants.vstack(applicants.head(1).with_columns(applicant_id=pl.lit("f")))
    assert assign_parts(applicants, LOANS.split).rows() == [
        *(("a", "development"), ("b", "holdout"), ("d", "stream")),
        ("f", "development"),  # as early as 'a'; 'c' and 'e' are of the same persons, but of a later part's time
    ]


def test_all_loans_of_a_client_fall_into_one_part_by_hash():
    split = {"salt": "s", "development": 0.4, "holdout": 0.3, "stream": 0.3}
    portfolio = Portfolio.model_validate({**DECLARATION, "split": split})
    applicants = application_table(check(received(300)).valid, LOANS).collect()
    parts = applicants.join(assign_parts(applicants, portfolio.split), on="applicant_id")
    assert parts.group_by("person").agg(pl.col("part").n_unique())["part"].max() == 1
    assert parts["part"].n_unique() == 3


def test_rows_without_a_key_are_named_by_their_number():
    declaration: dict[str, Any] = copy.deepcopy(DECLARATION)
    del declaration["applicants"]["key"], declaration["events"], declaration["features"]
    portfolio = Portfolio.model_validate(declaration)
    checked = check(changed("applicants", SINCE=""), portfolio)
    assert application_table(checked.valid, portfolio).collect()["applicant_id"].to_list() == [
        "row-1",
        "row-2",
        "row-3",
    ]


def test_features_are_computed_as_of_each_row_s_own_decision():
    checked = check(received(60))
    applicants = application_table(checked.valid, LOANS).collect()
    events = {table: frame.collect() for table, frame in event_tables(checked.valid, LOANS).items()}
    features = FeatureSet.of(LOANS).compute(applicants, events)
    movements = events["movements"].join(applicants.select("applicant_id", "as_of"), on="applicant_id")
    known = movements.filter(
        pl.col("occurred_at") < pl.col("as_of"),
        pl.col("known_at") < pl.col("as_of"),
        pl.col("occurred_at") >= pl.col("as_of") - pl.duration(days=30),
    )
    expected = dict(known.group_by("applicant_id").agg(pl.col("eur").sum()).iter_rows())
    found = {
        name: value for name, value in features.select("applicant_id", "flow_sum_30d").iter_rows() if value is not None
    }
    assert found == pytest.approx(expected, rel=1e-6)
    assert date(2019, 1, 1) <= applicants["as_of"].dt.date().min() < applicants["as_of"].dt.date().max()


def test_events_of_nobody_and_applicants_without_a_lookup_s_row_are_counted():
    tables = dict(received(20))
    strangers = pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("l99")).otherwise(pl.col("loan_ref"))
    tables["movements"] = tables["movements"].with_columns(loan_ref=strangers)
    tables["districts"] = tables["districts"].head(1)
    southern = tables["applicants"].filter(DISTRICT="02").height
    assert unmatched_rows(check(tables).valid, LOANS) == {"movements": 5, "districts": southern}
    assert unmatched_rows(check(received(20)).valid, LOANS) == {"movements": 0, "districts": 0}
