"""``FeatureSet.compute`` against a row-by-row reading of its documentation in plain Python."""

import random
import struct
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from factories import AS_OF, DECLARATION, build_applicants, build_events, build_plan, build_portfolio
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_features import PlainReading

from credit_scoring.core.errors import MissingInputsError
from credit_scoring.core.features.feature_set import FeatureSet, to_matrix

Row = Mapping[str, Any]


def window(aggregate: str, column: str | None = None, **more: Any) -> dict[str, Any]:
    return {"window": {"table": "payments", "aggregate": aggregate} | ({"column": column} if column else {}) | more}


def since(**more: Any) -> dict[str, Any]:
    return {"time_since": {"table": "payments"} | more}


LATE = {"late_days": {"at_least": 1}}
WHERES: list[dict[str, Any]] = [
    {},
    LATE,
    {"late_days": {"at_least": 0, "at_most": 2}},
    {"late_days": {"one_of": [1, 3]}},
    {"channel": {"one_of": ["app"]}},
    {"channel": {"one_of": ["app", "branch"]}, "paid_eur": {"at_most": 0.5}},
]
AGGREGATES = ("sum", "mean", "min", "max", "last", "trend")
SPANS: list[dict[str, int]] = [{}, {"last": 1}, {"last": 2}, {"skip": 1}, {"last": 2, "skip": 1}]

EVERY_FEATURE: dict[str, dict[str, Any]] = {
    f"{aggregate}_{column}_{s}_{w}": window(aggregate, column, where=where, **span)
    for aggregate in AGGREGATES
    for column in ("paid_eur", "late_days")
    for s, span in enumerate(SPANS)
    for w, where in enumerate(WHERES)
}
EVERY_FEATURE |= {
    f"count_{s}_{w}": window("count", where=where, **span)
    for s, span in enumerate(SPANS)
    for w, where in enumerate(WHERES)
}
EVERY_FEATURE |= {
    f"share_{s}_{w}": window("share", where=where, **span)
    for s, span in enumerate(SPANS)
    for w, where in enumerate(WHERES)
    if where
}
EVERY_FEATURE |= {
    f"since_{unit}_{w}": since(where=where, unit=unit) for unit in ("days", "months") for w, where in enumerate(WHERES)
}
EVERY_FEATURE |= {
    "income_eur": {"column": "income_eur"},
    "dependants": {"column": "dependants"},
    "housing": {"column": "housing"},
    "per_head": {"ratio": {"of": "income_eur", "to": "dependants"}},
    "paid_share": {"ratio": {"of": "sum_paid_eur_0_0", "to": "income_eur"}},
    "share_of_share": {"ratio": {"of": "paid_share", "to": "per_head"}},
    "rest": {"difference": {"of": "income_eur", "minus": "sum_paid_eur_0_0"}},
    "rest_of_rest": {"difference": {"of": "rest", "minus": "late_less_heads"}},
    "late_less_heads": {"difference": {"of": "max_late_days_0_0", "minus": "dependants"}},
}
PLAN = build_plan(EVERY_FEATURE)
PLAINLY = PlainReading(
    build_portfolio(features={name: {"reason": "R1"} | feature for name, feature in EVERY_FEATURE.items()})
)


def compute(plan: FeatureSet, applicants: pl.DataFrame, events: pl.DataFrame | None) -> pl.DataFrame:
    return plan.compute(applicants, {} if events is None else {"payments": events})


def bits(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    """Rows whose floats are compared bit for bit."""
    return [
        tuple(struct.pack("f", value) if isinstance(value, float) else value for value in row)
        for row in frame.iter_rows()
    ]


QUARTERS = st.integers(-40, 400).map(lambda number: number / 4)
MOMENTS = st.integers(-8, 400).map(lambda quarter: AS_OF - timedelta(hours=6 * quarter))
EVENT = st.fixed_dictionaries(
    {
        "applicant_id": st.sampled_from(["a", "b", "c", "nobody"]),
        "occurred_at": st.one_of(
            st.sampled_from([AS_OF, AS_OF - timedelta(days=1), AS_OF - timedelta(days=2)]), MOMENTS
        ),
        "paid_eur": st.one_of(st.none(), QUARTERS),
        "late_days": st.one_of(st.none(), st.integers(-1, 4)),
        "channel": st.sampled_from([None, "app", "branch"]),
    }
)
APPLICANT = st.fixed_dictionaries(
    {
        "income_eur": st.one_of(st.none(), st.just(0.0), QUARTERS.map(abs)),
        "dependants": st.one_of(st.none(), st.integers(0, 5)),
        "housing": st.sampled_from([None, "owner", "tenant", "other"]),
    }
)
APPLICANTS = st.tuples(APPLICANT, APPLICANT, APPLICANT).map(
    lambda rows: [row | {"applicant_id": name} for name, row in zip("abc", rows, strict=True)]
)
EVENTS = st.lists(EVENT, max_size=14).map(
    lambda rows: [row | {"event_number": number} for number, row in enumerate(rows)]
)


BY_THEMSELVES = [
    name for name, feature in EVERY_FEATURE.items() if "ratio" not in feature and "difference" not in feature
]
FEW_FEATURES = st.lists(st.sampled_from(BY_THEMSELVES), min_size=5, max_size=8, unique=True).map(
    lambda names: build_plan({name: EVERY_FEATURE[name] for name in names})
)


def assert_plainly_right(plan: FeatureSet, applicants: Sequence[Row], events: Sequence[Row]) -> None:
    computed = compute(plan, build_applicants(applicants), build_events(events))
    assert computed["applicant_id"].to_list() == [applicant["applicant_id"] for applicant in applicants]
    for applicant, got in zip(applicants, computed.iter_rows(named=True), strict=True):
        own = [event for event in events if event["applicant_id"] == applicant["applicant_id"]]
        for name in plan.names:
            expected = PLAINLY.feature(name, applicant | {"as_of": AS_OF}, {"payments": own})
            assert got[name] == (None if expected is None else float(np.float32(expected))), name


@settings(max_examples=40)
@given(plan=FEW_FEATURES, applicants=APPLICANTS, events=EVENTS)
def test_some_features_are_what_a_plain_reading_gives(plan: FeatureSet, applicants: list[Row], events: list[Row]):
    assert_plainly_right(plan, applicants, events)


def test_every_kind_of_feature_is_what_a_plain_reading_gives():
    draw = random.Random(11)  # noqa: S311 - not for secrets
    applicants = [
        {
            "applicant_id": f"a{number}",
            "income_eur": draw.choice([None, 0.0, 0.25, 1000.5]),
            "dependants": draw.choice([None, 0, 2, 3]),
            "housing": draw.choice([None, "owner", "tenant", "other"]),
        }
        for number in range(120)
    ]
    events = [
        {
            "applicant_id": applicant["applicant_id"],
            "occurred_at": AS_OF - timedelta(hours=6 * draw.choice([-4, 0, 1, 4, 4, 8, draw.randrange(1, 900)])),
            "paid_eur": draw.choice([None, -1.25, 0.0, 0.5, draw.randrange(400) / 4]),
            "late_days": draw.choice([None, -1, 0, 1, 2, 3, 4]),
            "channel": draw.choice([None, "app", "branch"]),
        }
        for applicant in applicants
        for _ in range(draw.choice([0, 1, 2, 3, 5, 9]))
    ]
    numbered = [event | {"event_number": number} for number, event in enumerate(events)]
    draw.shuffle(numbered)
    assert_plainly_right(PLAN, applicants, numbered)


@settings(max_examples=15)
@given(plan=FEW_FEATURES, applicants=APPLICANTS, events=EVENTS, seed=st.integers(0, 9))
def test_one_applicant_alone_or_in_any_order_equals_the_batch_bit_for_bit(
    plan: FeatureSet, applicants: list[Row], events: list[Row], seed: int
):
    batch = compute(plan, build_applicants(applicants), build_events(events))
    shuffled = build_applicants(applicants).sample(fraction=1, shuffle=True, seed=seed)
    again = compute(plan, shuffled, build_events(events).sample(fraction=1, shuffle=True, seed=seed))
    assert again["applicant_id"].to_list() == shuffled["applicant_id"].to_list()
    assert bits(again.sort("applicant_id")) == bits(batch)
    for number, applicant in enumerate(applicants):
        own = [event for event in events if event["applicant_id"] == applicant["applicant_id"]]
        alone = compute(plan, build_applicants([applicant]), build_events(own))
        assert bits(alone) == bits(batch[number])


def test_sums_of_fractions_do_not_depend_on_the_order_or_the_company_of_events():
    plan = build_plan(
        {a: window(a, "paid_eur") for a in ("sum", "mean", "trend")}
        | {"last_9": window("sum", "paid_eur", last=9)}
        | {"ratio": {"ratio": {"of": "income_eur", "to": "sum"}}}
    )
    generator = np.random.default_rng(3)
    amounts = [0.1, 0.2, 0.3, -0.3, -0.6, 0.7, -0.7, None]  # what is left of them depends on their order
    names = [f"a{number}" for number in range(150)]
    events = [
        {
            "applicant_id": name,
            "occurred_at": AS_OF - timedelta(seconds=int(generator.integers(1, 10**7))),
            "event_number": event,
            "paid_eur": amounts[generator.integers(len(amounts))],
        }
        for number, name in enumerate(names)
        for event in range(int(generator.integers(1, 300 if number % 20 == 0 else 9)))
    ]
    applicants = build_applicants([{"applicant_id": name, "income_eur": 9.9} for name in names])
    batch = compute(plan, applicants, build_events(events))
    shuffled = [events[position] for position in generator.permutation(len(events))]
    assert bits(compute(plan, applicants, build_events(shuffled))) == bits(batch)
    for number in range(0, len(names), 5):
        own = [event for event in shuffled if event["applicant_id"] == names[number]]
        assert bits(compute(plan, applicants[number], build_events(own))) == bits(batch[number])


@settings(max_examples=20)
@given(
    plan=FEW_FEATURES,
    applicants=APPLICANTS,
    events=EVENTS,
    later=st.lists(EVENT, max_size=5),
    delay=st.integers(0, 400).map(lambda hours: timedelta(hours=hours)),
)
def test_events_at_or_after_as_of_never_change_anything(
    plan: FeatureSet, applicants: list[Row], events: list[Row], later: list[Row], delay: timedelta
):
    table = build_applicants(applicants)
    before = [event for event in events if event["occurred_at"] < AS_OF]
    future = [event | {"occurred_at": AS_OF + delay, "event_number": 99 + n} for n, event in enumerate(later)]
    assert bits(compute(plan, table, build_events([*before, *future]))) == bits(
        compute(plan, table, build_events(before))
    )


def test_each_applicant_has_an_as_of_of_its_own():
    plan = build_plan({"n": window("count"), "newest": window("last", "late_days"), "ago": since()})
    applicants = pl.concat(
        [
            build_applicants([{"applicant_id": "a"}]),
            build_applicants([{"applicant_id": "b"}], AS_OF - timedelta(days=5)),
        ]
    )
    events = build_events([{"applicant_id": who, "days_ago": d, "late_days": d} for who in "ab" for d in (1, 5, 9)])
    assert compute(plan, applicants, events).rows() == [("a", 3.0, 1.0, 1.0), ("b", 1.0, 9.0, 4.0)]


def test_an_event_a_microsecond_before_as_of_counts_and_one_at_as_of_does_not():
    plan = build_plan({"n": window("count")})
    for offset, expected in ((timedelta(microseconds=1), 1.0), (timedelta(0), None)):
        events = build_events([{"occurred_at": AS_OF - offset}])
        assert compute(plan, build_applicants([{"applicant_id": "a"}]), events)["n"].item() == expected


def test_without_events_everything_of_the_table_is_missing_never_zero():
    windowed = [name for name, feature in EVERY_FEATURE.items() if "window" in feature or "time_since" in feature]
    applicants = build_applicants([{"applicant_id": "a", "income_eur": 5.0, "dependants": 1}])
    for events in (None, build_events([]), build_events([{"applicant_id": "b", "late_days": 1}])):
        got = compute(PLAN, applicants, events).row(0, named=True)
        assert [got[name] for name in windowed] == [None] * len(windowed)
        assert (got["income_eur"], got["rest"], got["paid_share"]) == (5.0, None, None)


def test_a_count_of_no_match_is_zero_where_events_are_known():
    plan = build_plan({"n": window("count", where=LATE), "sum": window("sum", "late_days", where=LATE)})
    got = compute(plan, build_applicants([{"applicant_id": "a"}]), build_events([{"late_days": 0}]))
    assert got.row(0) == ("a", 0.0, None)


def test_events_of_one_moment_are_ordered_by_their_number():
    plan = build_plan({"newest": window("last", "late_days"), "before": window("last", "late_days", skip=1)})
    events = [
        {"event_number": 7, "late_days": 1},
        {"event_number": 9, "late_days": 2},
        {"event_number": 8, "late_days": 3},
    ]
    assert compute(plan, build_applicants([{"applicant_id": "a"}]), build_events(events)).row(0) == ("a", 2.0, 3.0)


def test_a_trend_over_one_moment_is_missing_whatever_the_moment():
    plan = build_plan({"trend": window("trend", "paid_eur")})
    moments = {f"a{n}": AS_OF - timedelta(seconds=977 * n) for n in range(1, 400)}
    events = build_events(
        [
            {"applicant_id": name, "occurred_at": moment, "paid_eur": amount}
            for name, moment in moments.items()
            for amount in (1.1, 5.3, 7.7)
        ]
    )
    applicants = build_applicants([{"applicant_id": name} for name in moments])
    assert compute(plan, applicants, events)["trend"].null_count() == len(moments)


def test_a_trend_of_one_value_is_exactly_zero():
    plan = build_plan({"trend": window("trend", "paid_eur")})
    events = build_events([{"days_ago": days / 7, "paid_eur": 0.1} for days in range(1, 12)])
    assert compute(plan, build_applicants([{"applicant_id": "a"}]), events)["trend"].item() == 0.0


def test_a_trend_rises_with_time():
    plan = build_plan({"trend": window("trend", "paid_eur")})
    events = build_events([{"days_ago": 60 - month * 30 + 1, "paid_eur": 100.0 + 7 * month} for month in range(3)])
    assert compute(plan, build_applicants([{"applicant_id": "a"}]), events)["trend"].item() == pytest.approx(7)


def test_an_old_trend_keeps_its_digits():
    plan = build_plan({"trend": window("trend", "paid_eur")})
    old = AS_OF - timedelta(days=7000, seconds=11)
    events = build_events(
        [{"occurred_at": old + timedelta(minutes=minute), "paid_eur": 1e6 + 3.0 * minute} for minute in range(5)]
    )
    got = compute(plan, build_applicants([{"applicant_id": "a"}]), events)["trend"].item()
    assert got == pytest.approx(3 * 24 * 60 * 30, rel=1e-6)


def test_features_whose_names_resemble_inner_columns_do_not_meet():
    features = {
        "x": window("last", "late_days"),
        "x__at": window("sum", "paid_eur"),
        "x__rank": window("max", "paid_eur"),
        "x__n": window("count"),
        "late_days": window("mean", "paid_eur"),
        "t": window("trend", "paid_eur"),
        "t__tx": window("min", "paid_eur"),
    }
    plan = build_plan(features)
    events = [{"days_ago": 3 - n, "event_number": n, "late_days": n, "paid_eur": 10.0 + n} for n in range(3)]
    got = compute(plan, build_applicants([{"applicant_id": "a"}]), build_events(events)).row(0, named=True)
    assert [got[name] for name in ("x", "x__at", "x__rank", "x__n", "late_days", "t__tx")] == [2, 33, 12, 3, 11, 10]


@pytest.mark.parametrize(("of", "to"), [(1.0, 0.0), (1.0, None), (None, 1.0), (0.0, 0.0)])
def test_a_ratio_that_is_not_defined_is_missing(of: float | None, to: float | None):
    plan = build_plan({"r": {"ratio": {"of": "income_eur", "to": "paid"}}, "paid": window("sum", "paid_eur")})
    applicants = build_applicants([{"applicant_id": "a", "income_eur": of}])
    assert compute(plan, applicants, build_events([{"paid_eur": to}]))["r"].item() is None


def test_what_float32_cannot_hold_is_missing_not_infinite():
    plan = build_plan({"r": {"ratio": {"of": "income_eur", "to": "paid"}}, "paid": window("sum", "paid_eur")})
    applicants = build_applicants([{"applicant_id": "a", "income_eur": 1e6}])
    assert compute(plan, applicants, build_events([{"paid_eur": 1e-40}]))["r"].item() is None


def test_values_are_cast_once_after_all_arithmetic():
    plan = build_plan({"d": {"difference": {"of": "income_eur", "minus": "paid"}}, "paid": window("sum", "paid_eur")})
    applicants = build_applicants([{"applicant_id": "a", "income_eur": 16_777_217.0}])
    assert compute(plan, applicants, build_events([{"paid_eur": 16_777_216.0}]))["d"].item() == 1.0


def test_absent_columns_are_told_with_their_table():
    applicants, events = build_applicants([{"applicant_id": "a"}]), build_events([])
    plan = build_plan({"x": window("mean", "paid_eur", where=LATE), "income_eur": {"column": "income_eur"}})
    with pytest.raises(MissingInputsError, match="'payments' lacks") as caught:
        compute(plan, applicants, events.drop("paid_eur", "late_days", "event_number"))
    assert caught.value.missing == ("event_number", "late_days", "paid_eur")
    with pytest.raises(MissingInputsError, match=r"'applicants' lacks column\(s\) \['as_of', 'income_eur'\]"):
        compute(plan, applicants.drop("income_eur", "as_of"), events)


def test_a_column_that_no_feature_reads_may_be_absent():
    plan = build_plan({"income_eur": {"column": "income_eur"}})
    assert compute(plan, build_applicants([{"applicant_id": "a"}]).drop("housing", "dependants"), None).height == 1


def test_no_applicants_give_no_rows_and_all_columns():
    got = compute(PLAN, build_applicants([]), build_events([]))
    assert got.shape == (0, 1 + len(PLAN.names))
    assert to_matrix(got, PLAN.names).shape == (0, len(PLAN.names))


def test_the_matrix_is_float32_in_the_order_asked_for_with_nan_for_missing():
    plan = build_plan({"income_eur": {"column": "income_eur"}, "housing": {"column": "housing"}})
    got = compute(plan, build_applicants([{"applicant_id": "a", "housing": "tenant"}]), None)
    matrix = to_matrix(got, ("housing", "income_eur"))
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[1, np.nan]])


PAYMENTS = DECLARATION["events"]["payments"]["columns"]


def version(**overrides: Any) -> str:
    return FeatureSet.of(build_portfolio(**overrides)).version


@pytest.mark.parametrize(
    "overrides",
    [
        {"title": "Another"},
        {"reasons__R1": {"text": "Another"}},
        {"policy__approve_from": 610},
        {"split__salt": "other"},
        {"features__late_now__description": "words"},
        {"features__late_now__reason": "R1"},
        {"features__late_now__higher_is": None},
        {"features__late_now__special": {-1: "other words"}},
        {"features__late_now__unit": "days"},
        {"applicants__columns__sex__values": ["x", "y"]},
        {"applicants__columns__city": {"type": "category", "values": ["x", "y"]}},
        {"applicants__columns__income_eur__max": 5},
        {"applicants__columns__housing__source": "H"},
        {"events__payments__columns__paid_eur__special": {-9: "in dispute"}},  # which no feature reads
        {"applicants__columns__dependants__special": {}},
    ],
)
def test_the_version_stays_while_no_value_can_move(overrides: dict[str, Any]):
    assert version(**overrides) == version()


@pytest.mark.parametrize(
    "overrides",
    [
        {"features__late_now__window__skip": 1},
        {"features__late_now__window__last": 2},
        {"features__late_now__window__aggregate": "max"},
        {"features__late_now__window__column": "paid_eur"},
        {"features__late_now__window__where": LATE},
        {"features__income_per_head__ratio": {"of": "dependants", "to": "income_eur"}},
        {"features__late_now__scored": False},
        {"features__more": {"column": "dependants", "reason": "R2"}},
        {"features__housing": ...},
        {"applicants__columns__housing__values": {"2": "tenant", "1": "owner", "3": "other"}},
        {"features__late_now__window__days": 30},
        {"features__late_now__window__where": {"late_days": {"above": 1}}},
        {"applicants__columns__dependants__special": {-9: "not asked"}},
        {"events__payments__columns__late_days__special": {-8: "no bill"}},
        {"events__payments": {"columns": PAYMENTS, "occurred_at": "AT", "known_at": "KNOWN"}},
        {"features__late_now": {"python": {"reads": ["income_eur"], "source": "0"}, "reason": "R1"}},
    ],
)
def test_the_version_changes_when_a_value_can_move(overrides: dict[str, Any]):
    assert version(**overrides) != version()


def test_the_version_changes_with_the_order_of_features():
    features = dict(reversed(build_portfolio().features.items()))
    assert FeatureSet(features, build_portfolio().application_columns).version != version()


def test_the_shipped_features_hold_for_one_applicant_as_for_all(
    taiwan_tables: tuple[pl.DataFrame, dict[str, pl.DataFrame]], taiwan_features: pl.DataFrame, taiwan: Any
):
    applicants, events = taiwan_tables
    plan = FeatureSet.of(taiwan)
    for row in range(0, applicants.height, 1500):
        one = applicants[row]
        own = events["statements"].filter(pl.col("applicant_id") == one["applicant_id"].item())
        got = plan.compute(one, {"statements": own})
        assert bits(got) == bits(taiwan_features[row])


def test_the_version_changes_with_the_source_of_a_function():
    function = {"python": {"reads": ["income_eur"], "source": "0"}, "reason": "R1"}
    other = {"python": {"reads": ["income_eur"], "source": "1"}, "reason": "R1"}
    assert version(features__late_now=function) != version(features__late_now=other)


def test_the_version_changes_with_a_type_that_a_function_sees():
    function = {"python": {"reads": ["dependants"], "source": "0"}, "reason": "R1"}
    as_number = version(features__late_now=function, applicants__columns__dependants__type="number")
    assert as_number != version(features__late_now=function)


def test_events_table_without_a_knowledge_time_keeps_the_version_of_one_in_the_applicants_rows():
    own_table = {"columns": PAYMENTS, "occurred_at": "AT"}
    assert version(events__payments=own_table) == version()
