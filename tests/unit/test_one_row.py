"""The function that is written for one applicant: what it computes, what it reads, and what cannot get into it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from plain_features import PlainReading
from random_features import AS_OF, DAYS, Case, declared_portfolio, drawn_where, seeded

from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.features.declared import FeatureDeclaration
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.features.one_row_source import literal
from credit_scoring.core.portfolio import Column, EventsTable

SHIPPED = Path(__file__).parents[2] / "conf/taiwan_cards/portfolio.yml"
ONE = {"window": {"table": "calls", "aggregate": "sum", "column": "minutes"}}
NOTHING = dict.fromkeys(("income_eur", "dependants", "housing", "born_on"))
MINUTES: dict[str, Callable[[Random], float | None]] = {
    "whole": lambda draw: draw.randint(-(10**6), 10**6),
    "at the end of what is exact": lambda draw: draw.choice([2**52, 2**53 - 1, 1, -1, 3]),
    "beyond what is exact": lambda draw: draw.choice([2**53 + 2, 2**60, 1, -(2**60), 7]),
    "whole, one of them told as a fraction": lambda draw: draw.choice([3, 4, 5.0, 10**15]),
    "fractions": lambda draw: draw.choice([0.1, 0.2, 0.7, 3, draw.uniform(-1000, 1000)]),
    "fractions beside large numbers": lambda draw: draw.choice([0.1, 0.7, 1e16, -1e16, draw.uniform(-1, 1)]),
    "some missing": lambda draw: draw.choice([None, 0.1, 0.3, 2, 1e15]),
}


def call(days_ago: float, number: int = 0, **values: Any) -> Event:
    return Event(AS_OF - timedelta(days=days_ago), number, values)


def windows(draw: Random) -> dict[str, Any]:
    """Every aggregate of minutes, over windows and conditions of all sorts."""
    kinds = ("sum", "mean", "min", "max", "last", "trend", "count", "share")
    found = {}
    for number in range(20):
        kind, where = draw.choice(kinds), drawn_where(draw, "calls") if draw.random() < 0.5 else {}
        window: dict[str, Any] = {"table": "calls", "aggregate": kind, "where": where}
        if kind == "share" and not where:
            window["where"] = {"minutes": {"at_least": 1}}
        if kind not in ("count", "share"):
            window["column"] = "minutes"
        spans = {"last": draw.choice([1, 2, 5]), "days": draw.choice(DAYS), "skip": draw.choice([1, 2, 30])}
        found[f"w{number}"] = {"window": window | {key: s for key, s in spans.items() if draw.random() < 0.3}}
    return found


def drawn_calls(draw: Random) -> Case:
    """Applicants whose minutes are of one sort each, some at one moment, in no order."""
    applicants = [{"applicant_id": sort, "as_of": AS_OF} | NOTHING for sort in MINUTES]
    calls = [
        {
            "applicant_id": sort,
            "occurred_at": AS_OF - timedelta(hours=6 * draw.randint(0, 150)),
            "event_number": number,
            "minutes": minutes(draw),
        }
        for sort, minutes in MINUTES.items()
        for number in range(draw.choice([1, 2, 6, 30]))
    ]
    return Case(applicants, {"calls": draw.sample(calls, len(calls))})


@settings(max_examples=40)
@given(features=seeded(windows), case=seeded(drawn_calls))
def test_numbers_of_every_sort_give_what_a_plain_reading_gives(features: dict[str, Any], case: Case):
    portfolio = declared_portfolio(features)
    plan, reading = FeatureSet.of(portfolio), PlainReading(portfolio)
    for applicant in case.applicants:
        found = plan.compute_one_exact(case.facts(applicant), AS_OF)
        own = case.own_events(applicant["applicant_id"])
        largest = max((abs(event["minutes"] or 0) for event in own["calls"]), default=0)
        for name in plan.names:
            right = reading.feature(name, applicant, own)
            near = None if right is None else pytest.approx(right, rel=1e-9, abs=1e-9 * largest)
            assert found[name] == near, (applicant["applicant_id"], features[name])
            assert right is None or isinstance(found[name], float)


def compensated(values: Sequence[float]) -> float:
    """Kahan's sum of 1965, term by term."""
    total = lost = 0.0
    for value in values:
        term = value - lost
        total, lost = total + term, ((total + term) - total) - term
    return total


@pytest.mark.parametrize("sort", MINUTES)
def test_sums_are_compensated_from_the_oldest_event_to_the_newest(sort: str):
    spans: list[dict[str, int]] = [{}, {"last": 7}, {"last": 9, "skip": 2}, {"skip": 1, "days": 9}]
    features = {
        f"{kind}_{n}": {"window": {"table": "calls", "aggregate": kind, "column": "minutes"} | span}
        for kind in ("sum", "mean")
        for n, span in enumerate(spans)
    }
    plan, draw = FeatureSet.of(declared_portfolio(features)), Random(sort)  # noqa: S311 - made-up data
    for _ in range(50):
        minutes = [MINUTES[sort](draw) for _ in range(12)]
        calls = [call(12 - n, n, minutes=value) for n, value in enumerate(minutes)]
        found = plan.compute_one_exact(Facts({}, {"calls": draw.sample(calls, 12)}), AS_OF)
        for n, inside in enumerate((minutes, minutes[-7:], minutes[1:-2], minutes[3:-1])):
            given = [float(value) for value in inside if value is not None]
            assert found[f"sum_{n}"] == (compensated(given) if given else None)
            assert found[f"mean_{n}"] == (compensated(given) / len(given) if given else None)


@pytest.mark.parametrize(
    "order", [*permutations([call(3, 0, minutes=1), call(2, 2, minutes=2), call(2, 1, minutes=4)])]
)
def test_events_may_come_in_any_order(order: tuple[Event, ...]):
    windows = {
        f"back_{skip}": {"window": {"table": "calls", "aggregate": "last", "column": "minutes", "skip": skip}}
        for skip in range(3)
    }
    found = FeatureSet.of(declared_portfolio(windows)).compute_one_exact(Facts({}, {"calls": order}), AS_OF)
    assert list(found.values()) == [2.0, 4.0, 1.0]


def test_special_codes_and_absent_values_of_events_take_no_part():
    kinds = ("sum", "min", "mean", "last", "trend")
    windows = {k: {"window": {"table": "payments", "aggregate": k, "column": "late_days"}} for k in kinds}
    known = {"share": {"window": {"table": "payments", "aggregate": "share", "where": {"late_days": {"above": 2}}}}}
    plan = FeatureSet.of(declared_portfolio(windows | known))
    events = [call(30, late_days=5), call(20, late_days=-8), call(15, late_days=1), call(10), call(5, late_days=-8)]
    found = plan.compute_one_exact(Facts({}, {"payments": events}), AS_OF)
    assert found == {"sum": 6.0, "min": 1.0, "mean": 3.0, "last": 1.0, "trend": pytest.approx(-8.0), "share": 0.5}


def test_a_value_that_a_row_does_not_name_is_missing():
    plan = FeatureSet.of(declared_portfolio({"sum": ONE}))
    events = [call(3, minutes=2), call(2), call(1, minutes=None)]
    assert plan.compute_one_exact(Facts({}, {"calls": events}), AS_OF) == {"sum": 2.0}


@pytest.mark.parametrize("seconds", [1, 77, 12_345, 86_401, 9_999_999])
def test_a_trend_over_one_moment_is_missing_and_of_one_value_zero(seconds: int):
    trend = {"window": {"table": "calls", "aggregate": "trend", "column": "minutes"}}
    plan = FeatureSet.of(declared_portfolio({"trend": trend}))
    for numbers in range(1, 12):
        at_once = [call(seconds / 86_400, n, minutes=n / 7) for n in range(numbers)]
        level = [call((seconds + n) / 86_400, n, minutes=seconds / 7) for n in range(numbers + 1)]
        assert plan.compute_one_exact(Facts({}, {"calls": at_once}), AS_OF) == {"trend": None}
        assert plan.compute_one_exact(Facts({}, {"calls": level}), AS_OF) == {"trend": 0.0}


def test_the_same_windows_of_two_tables_do_not_meet():
    def windows(table: str, column: str) -> dict[str, Any]:
        kinds = {"sum": {"days": 30}, "min": {"last": 2, "skip": 1}, "trend": {}, "mean": {}}
        found = {
            f"{table}_{kind}": {"window": {"table": table, "aggregate": kind, "column": column} | span}
            for kind, span in kinds.items()
        }
        return found | {f"{table}_ago": {"time_since": {"table": table, "unit": "months"}}}

    plan = FeatureSet.of(declared_portfolio(windows("calls", "minutes") | windows("payments", "paid_eur")))
    calls = [call(60, minutes=1), call(30, minutes=2)]
    payments = [call(75, paid_eur=10), call(45, paid_eur=30), call(15, paid_eur=50)]
    found = plan.compute_one_exact(Facts({}, {"calls": calls, "payments": payments}), AS_OF)
    assert list(found.values()) == pytest.approx([2, 1, 1, 1.5, 1, 50, 10, 20, 30, 0.5])


class Counted(dict[str, Any]):
    """A row that counts how often each of its values is read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.reads = Counter[str]()

    def __getitem__(self, name: str) -> Any:
        self.reads[name] += 1
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.reads[name] += 1
        return super().get(name, default)


def test_all_shipped_features_read_each_value_once():
    plan = FeatureSet.of(read_portfolio(SHIPPED))
    fields = Counted({"limit_twd": 90_000, "education": "university"})
    rows = [Counted({"repayment_status": n, "bill_twd": 100 * n, "paid_twd": n}) for n in range(6)]
    statements = [call(30 * (6 - n), n) for n in range(6)]
    events = [Event(one.occurred_at, one.event_number, row) for one, row in zip(statements, rows, strict=True)]
    assert np.isfinite(plan.compute_one(Facts(fields, {"statements": events}), AS_OF)).any()
    assert [set(row.reads.values()) for row in (fields, *rows)] == [{1}] * 7


@pytest.mark.parametrize("beside", [1, 0.5, None, -8])
def test_a_text_among_numbers_is_a_fault_wherever_it_stands(beside: float | None):
    window = {"window": {"table": "payments", "aggregate": "sum", "column": "late_days"}}
    for plan, table in (
        (FeatureSet.of(declared_portfolio({"n": window})), "payments"),
        (
            FeatureSet.of(
                declared_portfolio({"n": {"window": window["window"] | {"table": "calls", "column": "minutes"}}})
            ),
            "calls",
        ),
    ):
        events = [call(n, n, late_days=value, minutes=value) for n, value in enumerate((beside, "1", beside), 1)]
        with pytest.raises(TypeError):
            plan.compute_one(Facts({}, {table: events}), AS_OF)


AWKWARD = [
    "it's",
    'so "so"',
    "a\\",
    "a\nraise SystemExit",
    "');raise SystemExit#",
    "\u2028raise SystemExit",
    "{0}",
    "é",
]


@pytest.mark.parametrize("name", AWKWARD)
def test_names_and_texts_of_a_declaration_are_data_whatever_they_hold(name: str):
    def declared(**kind: Any) -> FeatureDeclaration:
        return FeatureDeclaration.model_validate(kind)

    category = Column.model_validate({"type": "category", "values": [name, "other"]})
    number = Column.model_validate({"type": "number", "special": {-1: "none"}})
    plan = FeatureSet(
        {
            name: declared(column=name),
            "met": declared(window={"table": name, "aggregate": "count", "where": {name: {"one_of": [name]}}}),
            "sum" + name: declared(window={"table": name, "aggregate": "sum", "column": "n" + name}),
            "ratio" + name: declared(ratio={"of": "sum" + name, "to": "n" + name}),
        },
        {name: category, "n" + name: number},
        {name: EventsTable.model_construct(columns={name: category, "n" + name: number}, known_at=None)},
    )
    events = [call(2, 0, **{name: name, "n" + name: 6}), call(1, 1, **{name: "other", "n" + name: 3})]
    found = plan.compute_one_exact(Facts({name: name, "n" + name: 2}, {name: events}), AS_OF)
    assert found == {name: 0.0, "met": 1.0, "sum" + name: 9.0, "ratio" + name: 4.5}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_not_written(value: float):
    with pytest.raises(ValueError, match="finite"):
        literal(value)


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-310, 2.0**70, 7, "a", "\x00\ud800"])
def test_what_is_written_is_read_as_it_was(value: float | str):
    read = eval(literal(value))  # noqa: S307 - what it is for
    assert read == value
    assert isinstance(value, str) or math.copysign(1, read) == math.copysign(1, value)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(1e38, 1e38), (3.5e38, math.nan), (-3.5e38, math.nan), (math.inf, math.nan), (None, math.nan), (1e-50, 0.0)],
)
def test_one_applicants_row_is_one_cast_of_its_values(minutes: float | None, expected: float):
    plan = FeatureSet.of(declared_portfolio({"less": {"difference": {"of": "x", "minus": "x"}}, "x": ONE}))
    row = plan.compute_one(Facts({}, {"calls": [call(1, minutes=minutes)]}), AS_OF)
    assert (row.shape, row.dtype, row.flags.c_contiguous) == ((1, 2), np.dtype(np.float32), True)
    less = 0.0 if minutes is not None and math.isfinite(minutes) else math.nan
    # To the bit: what infinity less infinity gives is another NaN than the one that means missing.
    assert row.tobytes() == np.array([less, expected], dtype=np.float32).tobytes()


def test_features_that_are_not_scored_serve_others_and_are_no_part_of_the_row():
    kinds: Mapping[str, Any] = {
        "hidden": ONE | {"scored": False},
        "per_head": {"ratio": {"of": "hidden", "to": "dependants"}},
        "dependants": {"column": "dependants"},
    }
    plan = FeatureSet.of(declared_portfolio(kinds))
    facts = Facts({"dependants": 2}, {"calls": [call(1, minutes=3)]})
    assert plan.compute_one(facts, AS_OF).tolist() == [[1.5, 2.0]]
    assert plan.compute_one_exact(facts, AS_OF) == {"hidden": 3.0, "per_head": 1.5, "dependants": 2.0}
    unscored = FeatureSet.of(declared_portfolio({"hidden": ONE | {"scored": False}}))
    assert unscored.compute_one(facts, AS_OF).shape == (1, 0)


def test_a_decision_told_in_another_time_zone_is_the_same_decision():
    plan = FeatureSet.of(declared_portfolio({"n": ONE, "ago": {"time_since": {"table": "calls"}}}))
    facts = Facts({}, {"calls": [call(0.25, minutes=3)]})
    there = datetime.fromisoformat("2020-06-01T09:00:00+09:00")
    assert plan.compute_one_exact(facts, there) == plan.compute_one_exact(facts, there.astimezone(UTC))
    assert plan.compute_one_exact(facts, there) == {"n": 3.0, "ago": 0.25}


def test_days_are_counted_through_a_change_of_the_clocks():
    plan = FeatureSet.of(declared_portfolio({"ago": {"time_since": {"table": "calls"}}}))
    berlin = ZoneInfo("Europe/Berlin")
    before, after = datetime(2020, 3, 28, 12, tzinfo=berlin), datetime(2020, 3, 29, 12, tzinfo=berlin)
    facts = Facts({}, {"calls": [Event(before, 0, {})]})
    assert plan.compute_one_exact(facts, after)["ago"] == pytest.approx(23 / 24)


def test_special_codes_and_dates_that_are_not_past_are_missing_in_what_is_computed():
    kinds: Mapping[str, Any] = {
        "income_eur": {"column": "income_eur"},
        "less": {"difference": {"of": "income_eur", "minus": "dependants"}},
        "of_shown": {"ratio": {"of": "income_eur", "to": "shown"}},
        "shown": {"column": "dependants"},
        "age": {"time_since": {"column": "born_on", "unit": "months"}},
    }
    plan = FeatureSet.of(declared_portfolio(kinds))
    fields = {"income_eur": 9, "dependants": 3, "born_on": "2020-03-03"}
    full = {"income_eur": 9.0, "less": 6.0, "of_shown": 3.0, "shown": 3.0, "age": pytest.approx(3.0)}
    assert plan.compute_one_exact(Facts(fields), AS_OF) == full
    refused = full | {"income_eur": -7.0, "less": None, "of_shown": None}
    assert plan.compute_one_exact(Facts(fields | {"income_eur": -7}), AS_OF) == refused
    for day in ("2020-06-01", "2020-06-02", None):
        assert plan.compute_one_exact(Facts(fields | {"born_on": day}), AS_OF) == full | {"age": None}
