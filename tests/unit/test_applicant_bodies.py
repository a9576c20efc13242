import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from loans import DECLARATION
from pydantic import ValidationError

from credit_scoring.api.applicants import MOST_EVENTS
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.serving.applicant_bodies import (
    CLOCK_SKEW,
    ApplicantBodies,
    applicant_bodies,
    example_events,
    sent_events,
    sent_fields,
)
from credit_scoring.serving.declared_types import examples_of
from credit_scoring.serving.problems import RefusedBodyError
from credit_scoring.serving.schemas import application_body
from credit_scoring.usecases.accept_facts import SentEvent

LOANS = Portfolio.model_validate(DECLARATION)
BODIES = applicant_bodies(LOANS, LOANS)
NOON = datetime(2021, 4, 1, 12, tzinfo=UTC)
DAY = datetime(2021, 3, 1, tzinfo=UTC)
MOVEMENT = {"occurred_at": "2021-03-01T00:00:00Z", "event_id": "m1", "eur": 1.5, "kind": "in"}
FIELDS = {"amount_eur": 500.5, "district": "north"}


def loans(**told: Any) -> Portfolio:
    """The loans, whose movements declare this too; None takes it away."""
    movements = {**DECLARATION["events"]["movements"], **told}
    kept = {name: value for name, value in movements.items() if value is not None}
    return Portfolio.model_validate({**DECLARATION, "events": {"movements": kept}})


def without_movements() -> Portfolio:
    return Portfolio.model_validate({**DECLARATION, "events": {}, "features": {}, "features_from_columns": True})


def events(bodies: ApplicantBodies, *rows: dict[str, Any]) -> list[SentEvent]:
    body = bodies.events.model_validate_json(json.dumps({"movements": rows}))
    return sent_events(body, NOON)["movements"]


def faults(bodies: ApplicantBodies, *rows: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        events(bodies, *rows)
    return [".".join(map(str, error["loc"])) for error in refused.value.errors()]


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in MOVEMENT.items() if name not in names}


def test_an_event_is_taken_with_its_id_and_times():
    told = MOVEMENT | {"known_at": "2021-03-01T01:00:00+01:00"}
    values = {"eur": 1.5, "kind": "in"}
    assert events(BODIES, told, MOVEMENT) == [SentEvent(DAY, values, DAY, "m1"), SentEvent(DAY, values, None, "m1")]


def test_an_id_is_needed_where_the_champion_declares_one_and_taken_where_the_challenger_does():
    with_id, plain = loans(), loans(id=None)
    assert faults(applicant_bodies(with_id, plain), without("event_id")) == ["movements.0.event_id"]
    either = applicant_bodies(plain, with_id)
    assert [event.event_id for event in events(either, MOVEMENT, without("event_id"))] == ["m1", None]
    assert faults(applicant_bodies(plain, plain), MOVEMENT) == ["movements.0.event_id"]


def test_a_table_of_the_challenger_alone_may_be_left_out_and_its_rows_name_themselves():
    bodies = applicant_bodies(without_movements(), LOANS)
    assert sent_events(bodies.events.model_validate_json("{}"), NOON) == {}
    assert events(bodies, MOVEMENT)[0].event_id == "m1"
    assert faults(bodies, without("event_id")) == ["movements.0.event_id"]


def test_a_portfolio_without_events_takes_none():
    bodies = applicant_bodies(without_movements(), without_movements())
    assert sent_events(bodies.events.model_validate_json("{}"), NOON) == {}
    assert faults(bodies, MOVEMENT) == ["movements"]


def test_when_an_event_was_known_is_no_field_where_nobody_declares_it():
    plain = loans(known_at=None)
    assert faults(applicant_bodies(plain, plain), MOVEMENT | {"known_at": "2021-03-02T00:00:00Z"}) == [
        "movements.0.known_at"
    ]


@pytest.mark.parametrize("event_id", ["", "x" * 129, "a\0b", "a\nb", 7, None, ["m1"]])
def test_an_id_is_printable_text_of_bearable_length(event_id):
    assert faults(BODIES, MOVEMENT | {"event_id": event_id}) == ["movements.0.event_id"]


@pytest.mark.parametrize("name", ["decided_on", "booked_on", "read_on", "days_late", "sex", "remark", "person", "loan"])
def test_what_no_decision_may_use_is_no_field(name):
    with pytest.raises(ValidationError, match=name):
        BODIES.fields.model_validate_json(json.dumps(FIELDS | {name: "x"}))


def test_fields_are_those_of_an_application_in_a_decision():
    def schema(model: Any) -> Any:
        return model.model_json_schema()["$defs"]["ApplicationFields"]

    assert schema(BODIES.fields) == schema(application_body(LOANS, LOANS))
    assert sent_fields(BODIES.fields.model_validate_json(json.dumps(FIELDS))) == FIELDS


@pytest.mark.parametrize("word", ["root", "copy", "json", "model_config", "class", "applicant"])
def test_a_column_may_have_any_word_as_its_name(word):
    applicants = DECLARATION["applicants"]
    columns = applicants["columns"] | {word: {"type": "number"}}
    portfolio = Portfolio.model_validate({**DECLARATION, "applicants": {**applicants, "columns": columns}})
    bodies = applicant_bodies(portfolio, portfolio)
    sent = FIELDS | {word: 7.5}
    assert sent_fields(bodies.fields.model_validate_json(json.dumps(sent))) == sent


TIMES = {
    "occurs later": ({"occurred_at": NOON + 2 * CLOCK_SKEW}, ["occurred_at"]),
    "is known later": ({"known_at": NOON + 2 * CLOCK_SKEW}, ["known_at"]),
    "is known before": ({"known_at": DAY - timedelta(microseconds=1)}, ["known_at"]),
    "both": (
        {"occurred_at": NOON + 3 * CLOCK_SKEW, "known_at": NOON + 2 * CLOCK_SKEW},
        ["occurred_at", *["known_at"] * 2],
    ),
    "a clock ahead": ({"occurred_at": NOON + CLOCK_SKEW, "known_at": NOON + CLOCK_SKEW}, []),
    "known at once": ({"known_at": DAY}, []),
}


@pytest.mark.parametrize(("times", "where"), TIMES.values(), ids=TIMES)
def test_times_that_cannot_be_true_are_told_by_their_place(times, where):
    row = MOVEMENT | {name: moment.isoformat() for name, moment in times.items()}
    if not where:
        assert len(events(BODIES, MOVEMENT, row)) == 2
        return
    with pytest.raises(RefusedBodyError) as refused:
        events(BODIES, MOVEMENT, row)
    assert refused.value.code == "invalid_body"
    assert [fault.pointer for fault in refused.value.faults] == [f"/movements/1/{name}" for name in where]


def test_events_are_counted_over_all_tables():
    other = {"columns": {"eur": {"type": "number"}}, "occurred_at": "at"}
    two = Portfolio.model_validate({**DECLARATION, "events": {**DECLARATION["events"], "others": other}})
    bodies = applicant_bodies(two, two)
    row = {"occurred_at": MOVEMENT["occurred_at"], "eur": 1}
    most = {"movements": [MOVEMENT] * 3, "others": [row] * (MOST_EVENTS - 3)}
    assert sum(map(len, sent_events(bodies.events.model_validate(most), NOON).values())) == MOST_EVENTS
    most["movements"].append(MOVEMENT)
    with pytest.raises(RefusedBodyError, match="fault") as refused:
        sent_events(bodies.events.model_validate(most), NOON)
    assert [fault.code for fault in refused.value.faults] == ["too_long"]


def test_the_examples_of_the_description_are_taken():
    body = BODIES.events.model_validate_json(json.dumps(example_events(LOANS)))
    assert [event.event_id for event in sent_events(body, NOON)["movements"]] == ["event-1"]
    assert BODIES.fields.model_validate_json(json.dumps(examples_of(LOANS.application_columns)))


def test_the_description_tells_where_an_id_stands_in_files():
    properties = BODIES.events.model_json_schema()["$defs"]["SentMovementsRow"]["properties"]
    assert "'movement'" in properties["event_id"]["description"]
    assert {"occurred_at", "known_at", "event_id", "eur", "kind"} == set(properties)
