from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from loans import DECLARATION, received

from credit_scoring.core.declaration_checks import declaration_problems
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.pushed_tables import as_declared, content_hash, pushed_schema, unfiled, with_pushed
from credit_scoring.core.table_checks import check_rows
from credit_scoring.core.tables import event_tables

LOANS = Portfolio.model_validate(DECLARATION)
MOVEMENTS = LOANS.events["movements"]
MAY = datetime(2020, 5, 1, tzinfo=UTC)


def pushed(*names: str) -> dict[str, pl.LazyFrame]:
    told = {"applicant_id": "l0", "occurred_at": MAY, "known_at": MAY, "kind": "in"}
    rows = [told | {"event_id": name, "eur": float(place)} for place, name in enumerate(names)]
    return {"movements": pl.LazyFrame(rows, schema=pushed_schema(MOVEMENTS))}


@pytest.fixture(scope="module")
def files() -> dict[str, pl.LazyFrame]:
    return event_tables(check_rows(received(5), LOANS).valid, LOANS)


def test_a_pushed_event_that_a_file_has_counts_once_as_the_file_has_it(files):
    brought = files["movements"].collect()
    both = with_pushed(files, unfiled(pushed("new", "m1", "newer"), files, LOANS))["movements"].collect()
    assert both.head(brought.height).drop("pushed").equals(brought)
    added = both.tail(2)
    assert added["event_id"].to_list() == ["new", "newer"]
    assert added["event_number"].to_list() == [brought.height, brought.height + 1]
    assert both["pushed"].sum() == 2


def test_tables_of_which_nothing_was_pushed_are_as_files_brought_them(files):
    both = with_pushed(files, unfiled({}, files, LOANS))["movements"].collect()
    assert not both["pushed"].any()
    assert both.drop("pushed").equals(files["movements"].collect())


def test_a_table_that_is_no_longer_declared_is_left_out(files):
    assert unfiled({"gone": pushed("new")["movements"]}, files, LOANS) == {}


def test_events_of_files_without_any_row_are_numbered_from_zero(files):
    none = {"movements": files["movements"].clear()}
    assert unfiled(pushed("a", "b"), none, LOANS)["movements"].collect()["event_number"].to_list() == [0, 1]


def test_the_hash_is_that_of_the_events_and_their_order_and_not_of_what_files_hold(files):
    def hashed(*names: str, beside: dict[str, pl.LazyFrame] = files) -> str:
        return content_hash(unfiled(pushed(*names), beside, LOANS)["movements"])

    none = {"movements": files["movements"].clear()}
    assert hashed("a", "b") == hashed("a", "b", beside=none)
    assert len({hashed("a", "b"), hashed("b", "a"), hashed("a"), hashed("a", "c")}) == 4


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (2.5, "number", 2.5),
        (2, "number", 2.0),
        ("2", "number", None),
        (True, "number", None),
        (2.0, "integer", 2),
        (2.5, "integer", None),
        (1e30, "integer", None),
        ("in", "category", "in"),
        (2, "category", None),
        ("2020-05-01T00:00:00+00:00", "date", MAY),
        ("soon", "date", None),
        (5, "date", None),
        (None, "number", None),
        (None, "date", None),
    ],
)
def test_a_stored_value_is_read_as_declared_or_is_missing(value: Any, kind: str, expected: object):
    declared = {"type": kind} | ({"values": ["in", "out"]} if kind == "category" else {})
    found = as_declared(value, Column.model_validate(declared))
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("name", ["pushed", "event_id"])
def test_no_column_may_take_the_name_of_one_of_the_package_s_own(name):
    events = {"movements": DECLARATION["events"]["movements"] | {"columns": {name: {"type": "number"}}}}
    problems = declaration_problems(Portfolio.model_validate({**DECLARATION, "events": events, "features": {}}))
    assert any("reserved name" in problem.message for problem in problems)
