"""A feature for a decision reads only what occurred, and was known, strictly before it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from random_features import AS_OF, MICROSECOND, Case, cases, declared_portfolio, features, seeded

from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.features.feature_set import FeatureSet

Rows = Sequence[Mapping[str, Any]]
AFTER = [timedelta(), MICROSECOND, timedelta(hours=1), timedelta(days=1), timedelta(days=99)]


def is_past(event: Mapping[str, Any], as_of: datetime) -> bool:
    return event["occurred_at"] < as_of and event.get("known_at", event["occurred_at"]) < as_of


def with_another_future(draw: Random, case: Case) -> Case:
    """The same pasts with other futures: what was not known yet is removed, changed, or joined by more.

    Late files are among them: events that occurred long before a decision and became known at or after it.
    """
    as_of = {applicant["applicant_id"]: applicant["as_of"] for applicant in case.applicants} | {"nobody": AS_OF}
    events: dict[str, Rows] = {}
    for table, rows in case.events.items():
        kept = [row for row in rows if is_past(row, as_of[row["applicant_id"]])]
        added = [_unknown(draw, row, as_of[row["applicant_id"]]) for row in rows if draw.random() < 0.5]
        events[table] = draw.sample([*kept, *added], len(kept) + len(added))
    return replace(case, events=events)


def _unknown(draw: Random, row: Mapping[str, Any], as_of: datetime) -> dict[str, Any]:
    moment = as_of + draw.choice(AFTER)
    numbers = {name: draw.randint(-1, 9) for name in ("paid_eur", "minutes", "late_days") if name in row}
    changed = dict(row) | numbers | {"event_number": draw.randint(-50, 50)}
    if "known_at" not in row:
        return changed | {"occurred_at": moment}
    late = draw.random() < 0.5
    return changed | {"known_at": moment, "occurred_at": row["occurred_at"] if late else moment}


@settings(max_examples=30)
@given(features=features(most=8), case=cases(), draw=seeded(lambda draw: draw))
def test_what_occurred_or_became_known_at_or_after_as_of_never_changes_a_feature(
    features: dict[str, Any], case: Case, draw: Random
):
    plan = FeatureSet.of(declared_portfolio(features))
    other = with_another_future(draw, case)
    before, after = (plan.compute_exact(*either.frames()) for either in (case, other))
    assert after.equals(before)
    pandas = [
        plan.compute(frame.to_pandas(), {table: rows.to_pandas() for table, rows in events.items()})
        for frame, events in (case.frames(), other.frames())
    ]
    assert pandas[0].equals(pandas[1])
    for applicant in case.applicants:
        one, another = (plan.compute_one_exact(c.facts(applicant), applicant["as_of"]) for c in (case, other))
        assert one == another


@pytest.mark.parametrize(
    ("occurred_before", "known_before", "counted"),
    [
        (timedelta(days=9), MICROSECOND, 1),
        (timedelta(days=9), timedelta(), None),
        (timedelta(days=9), -timedelta(days=1), None),
        (MICROSECOND, MICROSECOND, 1),
        (timedelta(), timedelta(), None),
        (timedelta(), MICROSECOND, None),
    ],
)
def test_an_event_counts_from_the_moment_it_is_known(
    occurred_before: timedelta, known_before: timedelta, counted: int | None
):
    plan = FeatureSet.of(declared_portfolio({"n": {"window": {"table": "payments", "aggregate": "count"}}}))
    applicant = {"applicant_id": "a", "as_of": AS_OF} | dict.fromkeys(
        ("income_eur", "dependants", "housing", "born_on")
    )
    payment = {
        "applicant_id": "a",
        "occurred_at": AS_OF - occurred_before,
        "known_at": AS_OF - known_before,
        "event_number": 0,
    } | dict.fromkeys(("paid_eur", "late_days", "channel"))
    case = Case([applicant], {"payments": [payment]})
    assert plan.compute(*case.frames())["n"].item() == counted
    assert plan.compute_one_exact(case.facts(applicant), AS_OF)["n"] == counted


def test_a_late_event_takes_no_rank():
    window = {"table": "payments", "aggregate": "last", "column": "paid_eur", "last": 1, "skip": 1}
    plan = FeatureSet.of(declared_portfolio({"x": {"window": window}}))
    moments = {1.0: (3, 3), 2.0: (2, 0), 3.0: (1, 1)}  # days before the decision: occurred, known
    events = [
        Event(AS_OF - timedelta(days=ago), number, {"paid_eur": paid}, AS_OF - timedelta(days=known))
        for number, (paid, (ago, known)) in enumerate(moments.items())
    ]
    assert plan.compute_one_exact(Facts({}, {"payments": events}), AS_OF)["x"] == 1.0


def test_without_a_knowledge_time_an_event_is_known_when_it_occurred():
    plan = FeatureSet.of(declared_portfolio({"n": {"window": {"table": "payments", "aggregate": "count"}}}))
    events = [Event(AS_OF - timedelta(days=1), 0, {}), Event(AS_OF, 1, {})]
    assert plan.compute_one_exact(Facts({}, {"payments": events}), AS_OF)["n"] == 1


@pytest.mark.parametrize(("shift", "counted"), [(timedelta(), 1), (MICROSECOND, 0), (-MICROSECOND, 1)])
def test_an_event_of_exactly_n_days_ago_is_within_n_days(shift: timedelta, counted: int):
    plan = FeatureSet.of(declared_portfolio({"n": {"window": {"table": "calls", "aggregate": "count", "days": 30}}}))
    call = Event(AS_OF - timedelta(days=30) - shift, 0, {"minutes": 1.0})
    assert plan.compute_one_exact(Facts({}, {"calls": [call]}), AS_OF)["n"] == counted


def test_the_days_of_a_window_are_counted_among_the_events_its_rank_takes():
    window = {"table": "calls", "aggregate": "count", "days": 7, "last": 2, "skip": 1}
    plan = FeatureSet.of(declared_portfolio({"n": {"window": window}}))
    calls = [Event(AS_OF - timedelta(days=ago), ago, {}) for ago in (1, 3, 9, 2, 5)]
    assert plan.compute_one_exact(Facts({}, {"calls": calls}), AS_OF)["n"] == 2
