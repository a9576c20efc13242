import json
from datetime import UTC, datetime
from typing import Any

import pytest
from factories import build_portfolio
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.pushed import LARGEST_MESSAGE, LONGEST_ID, Message, SetAside, read_message
from credit_scoring.core.pushed_checks import CheckedMessages, check_messages

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DUE = datetime(2020, 6, 1, tzinfo=UTC)
PAYMENTS = {
    "columns": {
        "paid_eur": {"type": "number", "nullable": True, "min": 0},
        "due": {"type": "date", "nullable": True},
        "note": {"type": "text", "nullable": True},
        "sex": {"type": "category", "values": ["f", "m"], "nullable": True, "protected": True},
    },
    "occurred_at": "WHEN",
    "known_at": {"source": "SEEN", "formats": ["%d.%m.%Y"]},
    "id": "TX",
}
CLICKS = {"columns": {"seconds": {"type": "integer"}}, "occurred_at": "WHEN"}


def portfolio(**events: Any) -> Portfolio:
    return build_portfolio(events=events or {"payments": PAYMENTS, "clicks": CLICKS}, features={}, reasons={})


def payment(**overrides: Any) -> dict[str, Any]:
    return {
        "ID": 4711,
        "WHEN": "2020-05-01",
        "TX": "t1",
        "paid_eur": 5,
        "due": None,
        "note": "thanks",
        "sex": "f",
    } | overrides


def checked(*events: Any, table: str = "payments", declared: Portfolio | None = None) -> CheckedMessages:
    messages = [
        Message("s", f"1-{number}", NOW, table, event if isinstance(event, str) else json.dumps(event))
        for number, event in enumerate(events)
    ]
    return check_messages(messages, declared or portfolio())


def test_an_event_is_read_as_a_row_of_a_file_would_be():
    [event] = checked(payment(due="2020-06-01", paid_eur="1.50", SEEN="03.05.2020")).events
    assert (event.event_id, event.applicant_id, event.key) == ("t1", "4711", ("payments", "t1"))
    assert event.known_at == datetime(2020, 5, 3, tzinfo=UTC)
    assert event.values == {"paid_eur": 1.5, "due": "2020-06-01T00:00:00+00:00"}


@pytest.mark.parametrize("unknown", [{}, {"SEEN": None}, {"SEEN": "  "}])
def test_an_event_that_does_not_say_since_when_it_is_known_is_so_since_it_was_received(unknown):
    assert [event.known_at for event in checked(payment() | unknown).events] == [NOW]
    assert checked(payment(SEEN="yesterday")).set_aside[0].column == "SEEN"


def test_without_a_declared_id_the_message_names_the_event_and_nothing_says_when_it_was_known():
    [event] = checked({"ID": "a", "WHEN": "2020-05-01T10:00:00+02:00", "seconds": 3}, table="clicks").events
    assert (event.event_id, event.known_at) == ("s/1-0", None)
    assert event.occurred_at == datetime(2020, 5, 1, 8, tzinfo=UTC)


def test_events_that_arrive_in_applicants_rows_can_be_pushed_by_their_own_names():
    event = {"ID": "a", "occurred_at": "2020-06-30", "paid_eur": 1, "late_days": -1, "channel": "app"}
    declared = build_portfolio()
    [found] = checked(event, declared=declared).events
    assert found.values == {"paid_eur": 1, "late_days": -1, "channel": "app"}
    assert [one.column for one in checked(event | {"occurred_at": None}, declared=declared).set_aside] == [
        "occurred_at"
    ]


@pytest.mark.parametrize(
    ("event", "column", "rule"),
    [
        ("{", "", "json"),
        ("[]", "", "json"),
        ("[" * 100_000, "", "json"),
        ('{"ID": 1, "ID": 2}', "", "json"),
        ('{"ID": NaN}', "", "json"),
        ({"ID": "a"}, "TX", "columns"),
        (payment(TX=None), "TX", "required"),
        (payment(ID=""), "ID", "required"),
        (payment(ID="a\0"), "ID", "text"),
        (payment(note="\ud800"), "note", "text"),
        (payment(paid_eur=[1]), "paid_eur", "type"),
        (payment(paid_eur=True), "paid_eur", "type"),
        (payment(paid_eur=-1), "paid_eur", "range"),
        (payment(paid_eur=10**400), "paid_eur", "type"),
        (payment(WHEN="1.5.2020"), "WHEN", "type"),
        (payment(TX="t" * (LONGEST_ID + 1)), "", "length"),
        (payment(ID="a" * (LONGEST_ID + 1)), "", "length"),
    ],
)
def test_what_breaks_the_contract_is_set_aside_alone(event, column, rule):
    """Alone in its batch too."""
    [found] = checked(event).set_aside
    assert (found.column, found.rule) == (column, rule)
    among = checked(payment(), event, payment())
    assert [one.message.message_id for one in among.events] == ["1-0", "1-2"]
    assert [(one.column, one.rule) for one in among.set_aside] == [(column, rule)]


def test_a_table_without_a_usable_column_still_tells_that_something_happened():
    declared = portfolio(visits={"columns": {"note": {"type": "text", "nullable": True}}, "occurred_at": "WHEN"})
    [event] = checked({"ID": "a", "WHEN": "2020-05-01", "note": "x"}, table="visits", declared=declared).events
    assert event.values == {}


def test_an_undeclared_table_and_a_misspelt_column_are_named():
    assert checked(payment(), table="paymets").set_aside[0].reason.endswith("Did you mean 'payments'?")
    misspelt = payment(paid_euro=1)
    del misspelt["paid_eur"]
    assert checked(misspelt).set_aside[0].reason == "paid_eur: declared but absent. Did you mean 'paid_euro'?"


def test_an_event_that_broke_its_contract_keeps_its_id():
    assert [one.event_id for one in checked(payment(paid_eur=-1), payment(TX=None)).set_aside] == ["t1", "s/1-1"]


def test_numbers_keep_their_digits_on_the_way_to_the_contract():
    [event] = checked(
        '{"ID": 12345678901234567890, "WHEN": "2020-05-01", "seconds": 9007199254740992}', table="clicks"
    ).events
    assert (event.applicant_id, event.values["seconds"]) == ("12345678901234567890", 2**53)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({}, "message"),
        ({b"table": b"t"}, "message"),
        ({b"event": b"{}"}, "message"),
        ({b"table": b"\xff", b"event": b"{}"}, "encoding"),
        ({b"table": b"t", b"event": b"\xff"}, "encoding"),
        ({b"table": b"t", b"event": b"x" * LARGEST_MESSAGE}, "size"),
        ({b"table": b"t", b"event": b"{}", b"more": b"x" * LARGEST_MESSAGE}, "size"),
    ],
)
def test_a_message_that_holds_no_event_is_set_aside_as_json(fields, rule):
    found = read_message("s", "1-0", fields, NOW)
    assert isinstance(found, SetAside)
    assert (found.rule, found.event_id) == (rule, "s/1-0")
    assert isinstance(json.loads(found.message.received), str)
    assert len(found.message.received) < 20_000


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
events = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("ID", "WHEN", "TX", "SEEN", "paid_eur", "due", "note", "sex"), anything | st.just("2020-01-01")
    ),
)


@given(
    given=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                b"table": st.sampled_from([b"payments", b"clicks", b"\0"]) | st.binary(),
                b"event": st.binary() | events.map(lambda e: json.dumps(e).encode()),
            },
        ),
        min_size=1,
        max_size=8,
    )
)
def test_every_message_becomes_an_event_or_is_set_aside_whatever_it_holds(given):
    read = [read_message("s", f"1-{number}", fields, NOW) for number, fields in enumerate(given)]
    found = check_messages([one for one in read if isinstance(one, Message)], portfolio())
    names = [one.message.message_id for one in (*found.events, *found.set_aside)]
    names += [one.message.message_id for one in read if isinstance(one, SetAside)]
    assert sorted(names) == sorted(f"1-{number}" for number in range(len(given)))
    for one in found.set_aside:
        json.loads(one.message.received)
        assert "\0" not in one.message.table + one.message.received + one.event_id
        assert max(len(one.message.table), len(one.event_id)) <= LONGEST_ID
    for event in found.events:
        assert 0 < len(event.event_id) <= LONGEST_ID
        assert 0 < len(event.applicant_id) <= LONGEST_ID
