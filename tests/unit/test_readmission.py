import copy

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from loans import DECLARATION, received

from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.readmission import readmit
from credit_scoring.core.table_checks import CheckedTables, check_rows

LOANS = Portfolio.model_validate(DECLARATION)


def widened(**column: object) -> Portfolio:
    """The loans with another declaration of the score."""
    declaration = copy.deepcopy(DECLARATION)
    declaration["applicants"]["columns"]["score"] |= column
    return Portfolio.model_validate(declaration)


def loans_with(**values: str) -> dict[str, pl.DataFrame]:
    """Ten loans, the first of which has other values."""
    tables = dict(received(10))
    first = pl.int_range(pl.len()) == 0
    columns = {name: pl.when(first).then(pl.lit(value)).otherwise(pl.col(name)) for name, value in values.items()}
    tables["applicants"] = tables["applicants"].with_columns(**columns)
    return tables


def names(tables: CheckedTables) -> set[str]:
    return set(tables.valid["applicants"].collect()["applicant_id"])


def test_a_row_that_the_declaration_now_allows_is_readmitted():
    checked = check_rows(loans_with(SCORE="150"), LOANS)
    assert "l0" not in names(checked)
    done = readmit(checked, widened(max=200))
    assert done.readmitted == {"applicants": 1}
    assert names(done.tables) == {f"l{number}" for number in range(10)}
    assert done.tables.quarantined.is_empty()
    rows = done.tables.valid["applicants"].collect()
    assert rows["event_number"].n_unique() == rows.height
    assert rows.filter(applicant_id="l0")["score"].item() == 150


def test_a_row_that_is_still_broken_stays_with_its_present_reason():
    done = readmit(check_rows(loans_with(SCORE="150", SEX="x"), LOANS), widened(max=200))
    assert done.readmitted == {"applicants": 0}
    assert done.tables.quarantined.select("column", "rule", "row_number").rows() == [("SEX", "allowed values", 1)]


def test_rows_that_contradict_each_other_stay_set_aside():
    checked = check_rows(loans_with(loan="l1"), LOANS)
    assert checked.quarantined.height == 2
    done = readmit(checked, LOANS)
    assert done.readmitted == {"applicants": 0}
    assert done.tables.quarantined.sort("row_number").equals(checked.quarantined)


def test_a_row_whose_name_is_taken_meanwhile_stays_set_aside():
    checked = check_rows(loans_with(SCORE="150", loan="l1"), LOANS)
    assert "l1" in names(checked)
    done = readmit(checked, widened(max=200))
    assert done.readmitted == {"applicants": 0}
    assert done.tables.quarantined["rule"].to_list() == ["range"]


def test_only_the_table_that_is_asked_for_is_looked_at():
    done = readmit(check_rows(loans_with(SCORE="150"), LOANS), widened(max=200), only="movements")
    assert done.readmitted == {}
    assert done.tables.quarantined.height == 1


def test_no_row_is_lost_whatever_the_declaration_has_become():
    tables = loans_with(SCORE="150")
    tables["movements"] = tables["movements"].with_columns(kind=pl.lit("gift"))
    checked = check_rows(tables, LOANS)
    declaration = copy.deepcopy(DECLARATION)
    del declaration["events"], declaration["features"]
    declaration["applicants"]["columns"]["new"] = {"type": "number"}
    done = readmit(checked, Portfolio.model_validate(declaration))
    assert done.tables.quarantined.sort("table", "row_number").equals(checked.quarantined.sort("table", "row_number"))


SCORES = st.lists(st.sampled_from(["50", "150", "x", "250", ""]), min_size=10, max_size=10)


@settings(max_examples=25)
@given(scores=SCORES, limit=st.sampled_from([100, 200, 300]))
def test_readmitting_gives_what_checking_under_the_new_declaration_gives(scores: list[str], limit: int):
    tables = dict(received(10))
    tables["applicants"] = tables["applicants"].with_columns(SCORE=pl.Series(scores))
    after = widened(max=limit)
    done, anew = readmit(check_rows(tables, LOANS), after).tables, check_rows(tables, after)
    assert names(done) == names(anew)
    assert done.quarantined.sort("row_number").equals(anew.quarantined)
