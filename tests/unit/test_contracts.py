import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import pytest
from factories import build_portfolio, build_raw
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_scoring.core.errors import ContractError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.row_checks import QUARANTINE_SCHEMA
from credit_scoring.core.table_checks import CheckedTables, check_rows
from credit_scoring.core.tables import application_table, event_tables, outcome_table, protected_table

TINY = build_portfolio()


@dataclass(frozen=True)
class Checked:
    """The applicants after the check, and all tables for what is made of them."""

    valid: pl.DataFrame
    quarantined: pl.DataFrame
    tables: Mapping[str, pl.LazyFrame]


def checked_rows(raw: pl.DataFrame, portfolio: Portfolio = TINY) -> Checked:
    checked = check_rows({"applicants": raw}, portfolio)
    return Checked(checked.valid["applicants"].collect(), checked.quarantined, checked.valid)


def check(*rows: dict[str, str | None]) -> Checked:
    return checked_rows(build_raw(rows))


def faults(*rows: dict[str, str | None]) -> list[tuple[str, str]]:
    quarantined = check(*rows).quarantined
    return list(zip(quarantined["column"], quarantined["rule"], strict=True))


def test_the_shipped_rows_are_all_valid(taiwan_checked: CheckedTables):
    assert taiwan_checked.valid["applicants"].collect().height == 30_000
    assert taiwan_checked.quarantined.height == 0


def test_sound_rows_are_valid_and_typed():
    checked = check({}, {"INCOME": "", "HOUSING": None})
    assert checked.quarantined.is_empty()
    assert checked.quarantined.schema == QUARANTINE_SCHEMA
    assert checked.valid["income_eur"].to_list() == [1000.5, None]
    assert checked.valid["housing"].to_list() == ["owner", None]
    assert checked.valid["payments@2020-04-30@paid_eur"].to_list() == [None, None]
    assert checked.valid["payments@2020-04-30@late_days"].to_list() == [-1, -1]


@pytest.mark.parametrize("text", ["2", "2.0", " 2 ", "+2", "2e0", "02", "20e-1", "2."])
def test_one_integer_is_read_however_it_is_written(text: str):
    assert check({"DEPENDANTS": text}).valid["dependants"].to_list() == [2]


@pytest.mark.parametrize(
    "text",
    [
        "1.5",
        "1,5",
        "1_0",
        "inf",
        "-inf",
        "nan",
        "NaN",
        "1e400",
        "0x10",
        "two",
        "1 2",
        "\u0662",
        "\uff12",
        "1e",
        ".",
        "-",
        "true",
        "½",
    ],
)
def test_what_is_no_integer_is_set_aside(text: str):
    assert faults({"DEPENDANTS": text}) == [("DEPENDANTS", "type")]


@pytest.mark.parametrize(
    "text", ["1,5", "inf", "-Infinity", "nan", "1e400", "1_0", "0x10", "x", "\u0661", "1e5e5", "--1", "$1"]
)
def test_what_is_no_number_is_set_aside(text: str):
    assert faults({"INCOME": text}) == [("INCOME", "type")]


@pytest.mark.parametrize("text", ["-1", "21", "99999999999999999", "1e15"])
def test_a_value_out_of_range_is_set_aside(text: str):
    assert faults({"DEPENDANTS": text}) == [("DEPENDANTS", "range")]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("9007199254740992", None),
        ("9007199254740993", "range"),
        ("-9007199254740992", None),
        ("-9007199254740993", "range"),
        ("99999999999999999999999", "type"),
    ],
)
def test_no_integer_beyond_the_exact_ones_slips_through_as_another(text: str, rule: str | None):
    portfolio = build_portfolio(applicants__columns__wealth_eur={"source": "DEPENDANTS_2", "type": "integer"})
    checked = checked_rows(build_raw([{}]).with_columns(DEPENDANTS_2=pl.lit(text)), portfolio)
    if rule is None:
        assert checked.valid["wealth_eur"].to_list() == [int(text)]
    else:
        assert checked.quarantined["rule"].to_list() == [rule]


def test_a_missing_required_value_is_set_aside_and_a_nullable_one_is_not():
    assert faults({"DEPENDANTS": "  "}) == [("DEPENDANTS", "required")]
    assert faults({"INCOME": "  "}) == []


def test_a_category_outside_the_declared_ones_is_told_with_those():
    checked = check({"HOUSING": "9"})
    assert checked.quarantined["rule"].item() == "allowed values"
    assert "must be one of 1, 2, 3" in checked.quarantined["reason"].item()


def test_bounds_are_told_in_full():
    assert "between 0 and 1000000" in check({"INCOME": "1000001"}).quarantined["reason"].item()


def test_reasons_do_not_show_the_received_value():
    assert "777" not in check({"DEPENDANTS": "777"}).quarantined["reason"].item()


def test_several_faults_of_a_row_stand_in_one_row():
    checked = check({"DEPENDANTS": "x", "SEX": "q", "INCOME": "-5"})
    assert checked.quarantined.height == 1
    assert set(checked.quarantined["column"].item().split("; ")) == {"DEPENDANTS", "SEX", "INCOME"}
    assert set(checked.quarantined["rule"].item().split("; ")) == {"type", "allowed values", "range"}


def test_a_quarantined_row_keeps_number_key_and_everything_received():
    checked = check({}, {"DEPENDANTS": "x", "INCOME": None, "CHANNEL_1": 'a"b;\n'})
    row = checked.quarantined.row(0, named=True)
    assert (row["row_number"], row["row_key"]) == (2, "a1")
    received = json.loads(row["received"])
    assert received["DEPENDANTS"] == "x"
    assert received["INCOME"] is None
    assert received["CHANNEL_1"] == 'a"b;\n'


def test_of_identical_rows_the_first_is_kept():
    checked = check({"ID": "x"}, {"ID": "y"}, {"ID": "x"}, {"ID": " x "})
    assert checked.valid["applicant_id"].to_list() == ["x", "y"]
    assert checked.quarantined["row_number"].to_list() == [3, 4]
    assert checked.quarantined["rule"].to_list() == ["copy", "copy"]


def test_differing_rows_that_share_a_key_are_all_set_aside():
    checked = check({"ID": "x"}, {"ID": "x", "INCOME": "2"}, {"ID": "y"}, {"ID": "x"})
    assert checked.valid["applicant_id"].to_list() == ["y"]
    assert checked.quarantined["row_number"].to_list() == [1, 2, 4]
    assert checked.quarantined["rule"].to_list() == ["unique", "unique", "copy"]


def test_rows_without_a_key_are_set_aside_and_are_no_duplicates():
    assert faults({"ID": ""}, {"ID": None, "INCOME": "2"}) == [("ID", "required"), ("ID", "required")]


def test_an_absent_column_is_told_with_the_nearest_received_one():
    raw = build_raw([{}]).rename({"INCOME": "INCOMES"})
    with pytest.raises(ContractError, match=r"'INCOME' is declared but absent. Did you mean 'INCOMES'\?"):
        checked_rows(raw)


def test_an_absent_key_column_is_told():
    with pytest.raises(ContractError, match="'ID' is declared but absent"):
        checked_rows(build_raw([{}]).drop("ID"))


def test_a_table_without_rows_is_valid_and_empty():
    checked = check()
    assert (checked.valid.height, checked.quarantined.height) == (0, 0)
    assert event_tables(checked.tables, TINY)["payments"].collect().height == 0


def test_a_table_with_only_broken_rows_is_all_quarantine():
    checked = check(*({"DEPENDANTS": "x"} for _ in range(5)))
    assert (checked.valid.height, checked.quarantined.height) == (0, 5)


def test_columns_that_nobody_declared_are_dropped_but_kept_in_quarantine():
    raw = build_raw([{}, {"SEX": "?"}]).with_columns(NOTE=pl.lit("n"))
    checked = checked_rows(raw)
    assert "NOTE" not in checked.valid.columns
    assert json.loads(checked.quarantined["received"].item())["NOTE"] == "n"


def test_tables_part_application_protected_outcome_and_events():
    valid = check({"ID": "x", "DEFAULTED": "1", "PAID_1": "7", "CHANNEL_2": "branch"}).tables
    assert application_table(valid, TINY).collect().columns == ["applicant_id", "income_eur", "dependants", "housing"]
    assert protected_table(valid, TINY).collect().columns == ["applicant_id", "sex"]
    assert outcome_table(valid, TINY).collect()["is_bad"].to_list() == [1]
    payments = event_tables(valid, TINY)["payments"].collect()
    assert [moment.isoformat()[:10] for moment in payments["occurred_at"]] == ["2020-04-30", "2020-05-31"]
    assert payments["event_number"].to_list() == [0, 1]
    assert payments["paid_eur"].to_list() == [None, 7.0]
    assert payments["channel"].to_list() == ["branch", "app"]


@pytest.mark.parametrize(
    ("column", "bad", "good", "received"),
    [
        ({"type": "number"}, [1], [0], ["1", "0", "0.5"]),
        ({"type": "integer"}, [1], [0], ["1", "0", "2"]),
        (
            {"type": "category", "values": {"C": "charged_off", "P": "paid", "O": "open"}},
            ["charged_off"],
            ["paid"],
            "CPO",
        ),
    ],
)
def test_outcomes_are_bad_good_or_unknown_in_every_type(
    column: dict[str, object], bad: list[object], good: list[object], received: list[str]
):
    portfolio = build_portfolio(
        applicants__columns__defaulted=column | {"source": "DEFAULTED", "after_outcome": True},
        outcome__bad=bad,
        outcome__good=good,
    )
    valid = checked_rows(build_raw([{"DEFAULTED": text} for text in received]), portfolio).tables
    assert outcome_table(valid, portfolio).collect()["is_bad"].to_list() == [1, 0, None]


JUNK = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "",
            " ",
            "0",
            "1",
            "2",
            "3",
            "1.0",
            "1.5",
            "-1",
            "21",
            "inf",
            "nan",
            "1e400",
            "1,5",
            "\u0663",
            "9" * 30,
            "f",
            "m",
            "app",
        ]
    ),
    st.text(max_size=4),
)
ROW = st.fixed_dictionaries(
    {"ID": st.one_of(st.sampled_from(["a", "b", "c", " a", ""]), JUNK)},
    optional=dict.fromkeys(("INCOME", "DEPENDANTS", "HOUSING", "SEX", "DEFAULTED", "PAID_1", "CHANNEL_2"), JUNK),
)


def stripped(value: str | None) -> str | None:
    return (value or "").strip() or None


@settings(max_examples=80)
@given(rows=st.lists(ROW, max_size=12))
def test_every_row_is_valid_or_quarantined_exactly_once(rows: list[dict[str, str | None]]):
    raw = build_raw(rows)
    checked = checked_rows(raw)
    assert checked.valid.height + checked.quarantined.height == raw.height
    numbers = checked.quarantined["row_number"].to_list()
    assert numbers == sorted(set(numbers))
    kept = [row for number, row in enumerate(raw.iter_rows(named=True), 1) if number not in numbers]
    assert checked.valid["applicant_id"].to_list() == [stripped(row["ID"]) for row in kept]
    assert checked.valid["applicant_id"].n_unique() == checked.valid.height
    assert [json.loads(text) for text in checked.quarantined["received"]] == [
        row for number, row in enumerate(raw.iter_rows(named=True), 1) if number in numbers
    ]
    assert all(reason and rule for reason, rule in checked.quarantined.select("reason", "rule").iter_rows())


def naive_fault(row: dict[str, str | None]) -> bool:
    """Whether a row by itself breaks the tiny contract, in plain Python."""

    def number(name: str) -> float | None:
        text = stripped(row[name])
        if text is None:
            return None
        return float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text) else math.nan

    def within(name: str, low: float, high: float, *, whole: bool, nullable: bool) -> bool:
        value = number(name)
        if value is None:
            return nullable
        return low <= value <= high and (not whole or value == round(value))

    sound = (
        stripped(row["ID"]) is not None
        and within("INCOME", 0, 1_000_000, whole=False, nullable=True)
        and within("DEPENDANTS", 0, 20, whole=True, nullable=False)
        and within("DEFAULTED", 0, 1, whole=True, nullable=False)
        and within("PAID_1", -(2.0**53), 2.0**53, whole=False, nullable=True)
        and stripped(row["HOUSING"]) in (None, "1", "2", "3")
        and stripped(row["SEX"]) in ("f", "m")
        and stripped(row["CHANNEL_2"]) in (None, "app", "branch")
    )
    return not sound


@settings(max_examples=80)
@given(row=ROW)
def test_one_row_is_set_aside_when_and_only_when_a_plain_reading_says_so(row: dict[str, str | None]):
    raw = build_raw([row])
    assert (checked_rows(raw).valid.height == 0) == naive_fault(raw.row(0, named=True))
