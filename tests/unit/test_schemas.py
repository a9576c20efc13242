import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from service_package import body

from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import InvalidApplicationError
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.serving.http_errors import invalid_body, pointer
from credit_scoring.serving.schemas import Sender, application_body, example_body, to_application

SENDER = Sender(Caller("key", "lender", "ana", frozenset(["decide"])), "request-1")


@pytest.fixture(scope="module")
def model(taiwan: Portfolio) -> type[BaseModel]:
    return application_body(taiwan, taiwan)


def application(**changes: Any) -> dict[str, Any]:
    return body(application=body()["application"] | changes)


def row(**changes: Any) -> dict[str, Any]:
    return body(events={"statements": [body()["events"]["statements"][0] | changes]})


def changed(portfolio: Portfolio, **changes: Any) -> Portfolio:
    """A portfolio declared with other parts; a plain copy would keep what was derived from the first."""
    return Portfolio.model_validate(portfolio.model_dump(exclude_none=True) | changes)


def without(content: dict[str, Any], *path: str) -> dict[str, Any]:
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return copy


HOSTILE = {
    "missing id": (without(body(), "application_id"), "/application_id", "missing"),
    "empty id": (body(""), "/application_id", "string_too_short"),
    "long id": (body("x" * 129), "/application_id", "string_too_long"),
    "number as id": (body(7), "/application_id", "string_type"),
    "control character": (body("a\nb"), "/application_id", "string_pattern_mismatch"),
    "unknown field": (body(amount=1), "/amount", "extra_forbidden"),
    "unknown column": (application(age_years=30), "/application/age_years", "extra_forbidden"),
    "protected column": (application(sex="male"), "/application/sex", "extra_forbidden"),
    "outcome": (application(default_next_month=0), "/application/default_next_month", "extra_forbidden"),
    "missing column": (without(body(), "application", "limit_twd"), "/application/limit_twd", "missing"),
    "null column": (application(limit_twd=None), "/application/limit_twd", "int_type"),
    "boolean": (application(limit_twd=True), "/application/limit_twd", "int_type"),
    "string": (application(limit_twd="90000"), "/application/limit_twd", "int_type"),
    "fraction": (application(limit_twd=0.5), "/application/limit_twd", "int_type"),
    "NaN": (application(limit_twd=float("nan")), "/application/limit_twd", "int_type"),
    "infinity": (application(limit_twd=float("inf")), "/application/limit_twd", "int_type"),
    "huge": (application(limit_twd=2**53 + 1), "/application/limit_twd", "less_than_equal"),
    "too small": (application(limit_twd=0), "/application/limit_twd", "greater_than_equal"),
    "category": (application(education="doctorate"), "/application/education", "literal_error"),
    "received code": (application(education="2"), "/application/education", "literal_error"),
    "number as category": (application(education=2), "/application/education", "literal_error"),
    "application a list": (body(application=[]), "/application", "dict_type"),
    "events a list": (body(events=[]), "/events", "dict_type"),
    "unknown table": (body(events={"loans": []}), "/events/loans", "extra_forbidden"),
    "null table": (body(events={"statements": None}), "/events/statements", "list_type"),
    "rows no list": (body(events={"statements": {}}), "/events/statements", "list_type"),
    "row no object": (body(events={"statements": [1]}), "/events/statements/0", "dict_type"),
    "no moment": (
        without(row(), "events", "statements", 0, "occurred_at"),
        "/events/statements/0/occurred_at",
        "missing",
    ),
    "status": (row(repayment_status=10), "/events/statements/0/repayment_status", "less_than_equal"),
    "no offset": (body(as_of="2005-10-01T00:00:00"), "/as_of", "value_error"),
    "date alone": (body(as_of="2005-10-01"), "/as_of", "value_error"),
    "seconds since 1970": (body(as_of=1128124800), "/as_of", "value_error"),
    "no such day": (body(as_of="2005-02-30T00:00:00Z"), "/as_of", "value_error"),
    "no such moment in UTC": (body(as_of="0001-01-01T00:00:00+10:00"), "/as_of", "value_error"),
    "slash in a name": (body(**{"a/b~c": 1}), "/a~1b~0c", "extra_forbidden"),
}


@pytest.mark.parametrize(("content", "where", "code"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_body_is_refused_with_the_place_of_its_fault(model, content, where, code):
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(json.dumps(content))
    faults = invalid_body(refused.value).faults
    assert (faults[0].pointer, faults[0].code) == (where, code)
    assert len(faults) == 1 or content["events"] == {"statements": [{}]}
    assert all(fault.detail for fault in faults)


@given(st.text())
def test_a_fault_never_echoes_the_value(taiwan, text):
    value = f"\N{SECTION SIGN}{text}"  # a sign that no wording of ours has
    content = json.dumps(application(limit_twd=value, education=value) | {"as_of": value})
    with pytest.raises(ValidationError) as refused:
        application_body(taiwan, taiwan).model_validate_json(content)
    assert all(value[0] not in fault.detail for fault in invalid_body(refused.value).faults)


def test_many_faults_are_told_at_once_but_not_without_end(model):
    content = row(repayment_status=10, bill_twd="x", paid_twd=-1)
    content["events"]["statements"] *= 100
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(json.dumps(content))
    refusal = invalid_body(refused.value)
    assert "300 fault" in str(refusal)
    assert len(refusal.faults) == 50


def test_a_sane_body_becomes_facts_in_the_order_received(model):
    checked = to_application(model.model_validate_json(json.dumps(body(as_of="2005-10-01T08:00:00+08:00"))), {}, SENDER)
    assert checked.as_of == datetime(2005, 10, 1, tzinfo=UTC)
    assert checked.inline.fields == {"limit_twd": 90_000, "education": "university"}
    assert [event.event_number for event in checked.inline.events["statements"]] == list(range(6))
    assert checked.inline.events["statements"][0].values == {"repayment_status": 1, "bill_twd": 40_000, "paid_twd": 0}


def test_taking_an_application_out_of_a_body_leaves_the_body_as_it_was(model):
    checked = model.model_validate_json(json.dumps(body()))
    assert to_application(checked, {}, SENDER).inline == to_application(checked, {}, SENDER).inline


def test_no_table_is_unknown_and_an_empty_one_holds_nothing(model):
    for events, expected in (({}, {}), ({"statements": []}, {"statements": []})):
        checked = to_application(model.model_validate_json(json.dumps(body(events=events))), {}, SENDER)
        assert checked.inline.events == expected


def test_events_without_the_application_are_refused(model):
    checked = model.model_validate_json(json.dumps(without(body(), "application")))
    with pytest.raises(InvalidApplicationError) as refused:
        to_application(checked, {}, SENDER)
    assert refused.value.pointer == "/application"


def test_the_example_is_a_body_that_is_taken(model, taiwan):
    model.model_validate_json(json.dumps(example_body(taiwan)))


def test_units_descriptions_and_bounds_reach_the_schema(model):
    column = model.model_json_schema()["$defs"]["ApplicationFields"]["properties"]["limit_twd"]
    assert (column["unit"], column["description"], column["minimum"], column["examples"]) == (
        "TWD",
        "credit limit",
        1,
        [90_000],
    )


def test_what_the_challenger_alone_declares_may_be_left_out(taiwan):
    income = Column(type="number", min=0, unit="TWD")
    applicants = taiwan.applicants.model_copy(update={"columns": taiwan.applicants.columns | {"income_twd": income}})
    statements = taiwan.events["statements"]
    added = statements.model_copy(update={"columns": statements.columns | {"fee_twd": income}})
    wider = changed(taiwan, applicants=applicants, events={"statements": added})
    model = application_body(taiwan, wider)
    model.model_validate_json(json.dumps(body()))
    model.model_validate_json(json.dumps(application(income_twd=1.5)))
    model.model_validate_json(json.dumps(row(fee_twd=2)))
    with pytest.raises(ValidationError):
        application_body(wider, taiwan).model_validate_json(json.dumps(body()))


def test_a_nullable_column_may_be_null_or_absent(taiwan):
    columns = dict(taiwan.applicants.columns)
    columns["limit_twd"] = columns["limit_twd"].model_copy(update={"nullable": True})
    applicants = taiwan.applicants.model_copy(update={"columns": columns})
    model = application_body(*[changed(taiwan, applicants=applicants)] * 2)
    for content in (application(limit_twd=None), without(body(), "application", "limit_twd")):
        checked = to_application(model.model_validate_json(json.dumps(content)), {}, SENDER)
        assert checked.inline.fields.get("limit_twd") is None


def test_a_pointer_stays_of_bearable_length():
    assert len(pointer(("x" * 10_000,))) == 256


@pytest.mark.parametrize("word", ["copy", "json", "model_config", "model_dump", "class", "application_id"])
def test_a_column_may_have_any_word_as_its_name(taiwan, word):
    columns = taiwan.applicants.columns | {word: Column(type="integer")}
    applicants = taiwan.applicants.model_copy(update={"columns": columns})
    model = application_body(*[changed(taiwan, applicants=applicants)] * 2)
    checked = to_application(model.model_validate_json(json.dumps(application(**{word: 7}))), {}, SENDER)
    assert checked.inline.fields[word] == 7
