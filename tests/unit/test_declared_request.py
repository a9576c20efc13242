"""The request of a portfolio that uses every part of the declaration."""

import copy
from typing import Any

import pytest
from loans import DECLARATION
from pydantic import BaseModel, TypeAdapter, ValidationError

from credit_scoring.core.callers import Caller
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.serving.problems import RefusedBodyError
from credit_scoring.serving.schemas import Sender, application_body, example_body, sent_application, to_application

SENDER = Sender(Caller("key", "lender", "ana", frozenset(["decide"])), "request-1")
LOANS = Portfolio.model_validate(DECLARATION)
BODY: type[BaseModel] = application_body(LOANS, LOANS)
FIELDS = {
    "amount_eur": 500.5,
    "score": -8,
    "customer_since": "2015-02-28",
    "district": "north",
    "unemployment": 3.5,
}
MOVEMENT = {"occurred_at": "2020-01-02T00:00:00Z", "known_at": "2020-01-03T00:00:00Z", "eur": 1.5, "kind": "in"}


def body(fields: dict[str, Any] | None = None, movement: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "application_id": "x",
        "applicant_id": "y",
        "application": FIELDS | (fields or {}),
        "events": {"movements": [MOVEMENT | (movement or {})]},
    }


def faults(sent: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(BODY).validate_python(sent)
    return [".".join(map(str, error["loc"])) for error in refused.value.errors()]


def test_a_whole_request_is_taken_with_knowledge_times():
    application = to_application(BODY.model_validate(body()), body(), SENDER)
    assert application.inline is not None
    assert dict(application.inline.fields) == FIELDS
    (event,) = application.inline.events["movements"]
    assert event.known_at is not None
    assert event.known_at > event.occurred_at
    assert set(event.values) == {"eur", "kind"}


def test_what_is_nullable_may_be_left_out():
    sent = body()
    for name in ("score", "customer_since", "unemployment"):
        del sent["application"][name]
    del sent["events"]["movements"][0]["known_at"]
    assert BODY.model_validate(sent)


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"score": -7}, "application.score"),
        ({"score": 101}, "application.score"),
        ({"score": True}, "application.score"),
        ({"customer_since": "2015-02-30"}, "application.customer_since"),
        ({"customer_since": "28.02.2015"}, "application.customer_since"),
        ({"customer_since": "2015-02-28T00:00:00Z"}, "application.customer_since"),
        ({"district": "01"}, "application.district"),
        ({"amount_eur": -1}, "application.amount_eur"),
    ],
)
def test_a_field_is_what_the_column_is_declared_to_be(fields: dict[str, Any], at: str):
    assert faults(body(fields)) == [at]


@pytest.mark.parametrize("name", ["decided_on", "booked_on", "read_on", "days_late", "sex", "remark", "person", "loan"])
def test_what_no_decision_may_use_is_no_field(name: str):
    assert faults(body({name: "x"})) == [f"application.{name}"]


@pytest.mark.parametrize("kind", [{"after_outcome": True}, {"protected": True}, {"type": "text"}])
def test_an_event_s_column_that_no_decision_may_use_is_no_field(kind: dict[str, Any]):
    declaration = copy.deepcopy(DECLARATION)
    declaration["events"]["movements"]["columns"]["later"] = {"type": "integer", "nullable": True} | kind
    portfolio = Portfolio.model_validate(declaration)
    with pytest.raises(ValidationError, match="later"):
        application_body(portfolio, portfolio).model_validate(body(movement={"later": 1}))


def test_the_example_of_the_documentation_is_a_valid_request():
    assert BODY.model_validate(example_body(LOANS))


def test_the_schema_tells_dates_and_codes():
    fields = BODY.model_json_schema()["$defs"]["ApplicationFields"]["properties"]
    assert "date" in str(fields["customer_since"])
    assert "no record" in str(fields["score"])


def test_an_event_that_was_known_before_it_occurred_is_refused():
    sent = body(movement={"occurred_at": "2020-01-03T00:00:01Z"})
    with pytest.raises(RefusedBodyError) as refused:
        sent_application(BODY.model_validate(sent), sent, SENDER)
    assert (refused.value.code, [fault.pointer for fault in refused.value.faults]) == (
        "invalid_application",
        ["/events/movements/0/known_at"],
    )


def test_an_event_may_be_known_when_it_occurs():
    sent = body(movement={"occurred_at": "2020-01-03T00:00:00Z"})
    assert sent_application(BODY.model_validate(sent), sent, SENDER).inline is not None


def test_a_recorded_event_is_read_whatever_its_times():
    sent = body(movement={"occurred_at": "2020-01-03T00:00:01Z"})
    assert to_application(BODY.model_validate(sent), sent, SENDER).inline is not None
