import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from credit_scoring.core.hashing import salted_draw
from credit_scoring.core.roles import Experiment, RampStep, StickySplitRouting
from credit_scoring.core.routing import (
    RoutingStrategy,
    ScheduledRamp,
    StickySplit,
    challenger_share,
    first_lower_day,
    strategy_of,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRAWS = [0.8148787367831488, 0.3044833773241339, 0.35482585800744815]
STRATEGIES = {
    "champion_only": {"strategy": "champion_only"},
    "shadow": {"strategy": "shadow"},
    "sticky_split": {"strategy": "sticky_split", "challenger_share": 0.3},
    "scheduled_ramp": {
        "strategy": "scheduled_ramp",
        "steps": [{"from": "2026-01-01", "challenger_share": 0.1}, {"from": "2026-03-02", "challenger_share": 0.6}],
    },
}

shares = st.floats(0, 1)
applicants = st.text(min_size=1, max_size=40)
salts = st.text(min_size=1, max_size=20)
moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@st.composite
def ramps(draw):
    days = sorted(draw(st.sets(st.dates(date(2025, 6, 1), date(2027, 6, 1)), min_size=1, max_size=5)))
    levels = sorted(draw(st.lists(shares, min_size=len(days), max_size=len(days))))
    steps = [{"from": day, "challenger_share": share} for day, share in zip(days, levels, strict=True)]
    return experiment({"strategy": "scheduled_ramp", "steps": steps}).routing


routings = st.one_of(
    st.sampled_from(
        [experiment_routing for name, experiment_routing in STRATEGIES.items() if name != "scheduled_ramp"]
    ).map(lambda given: experiment(given).routing),
    shares.map(lambda share: StickySplitRouting(challenger_share=share)),
    ramps(),
)


def experiment(routing, salt="salt") -> Experiment:
    return Experiment.model_validate({"id": "e", "salt": salt, "routing": routing})


def strategy(name: str, salt: str = "salt") -> RoutingStrategy:
    return strategy_of(experiment(STRATEGIES[name], salt))


@given(salts, applicants, shares, shares)
def test_widening_the_split_never_moves_anyone_back_to_the_champion(salt, applicant, one, other):
    narrow, wide = sorted((one, other))
    if StickySplit(salt, narrow).route(applicant, NOON).arm == "challenger":
        assert StickySplit(salt, wide).route(applicant, NOON).arm == "challenger"


@given(ramps(), applicants, moments, moments)
def test_a_ramp_never_moves_anyone_back_to_the_champion(routing, applicant, one, other):
    earlier, later = sorted((one, other))
    ramp = ScheduledRamp("salt", routing.steps)
    if ramp.route(applicant, earlier).arm == "challenger":
        assert ramp.route(applicant, later).arm == "challenger"


@given(routings, routings, applicants, moments, st.timedeltas(timedelta(), timedelta(days=900)))
def test_routing_that_lowers_no_share_moves_nobody_back_when_it_takes_over(held, new, applicant, at, later):
    assume(first_lower_day(held, new, at.date()) is None)
    before, after = (strategy_of(experiment(routing)) for routing in (held, new))
    if before.route(applicant, at).arm == "challenger":
        assert after.route(applicant, at + later).arm == "challenger"


@given(routings, routings, st.dates(date(2025, 1, 1), date(2027, 12, 31)))
def test_the_first_lower_day_is_the_first_and_lower(held, new, today):
    found = first_lower_day(held, new, today)
    days = [today + timedelta(days=number) for number in range(1000)]
    lower = [day for day in days if challenger_share(new, day) < challenger_share(held, day)]
    assert found == (lower[0] if lower else None)


@given(routings, salts, applicants, moments)
def test_an_arm_comes_with_the_probability_of_falling_into_it(routing, salt, applicant, at):
    route = strategy_of(experiment(routing, salt)).route(applicant, at)
    share = challenger_share(routing, at.date())
    assert route.arm_probability == (share if route.arm == "challenger" else 1 - share)
    assert route.arm_probability > 0, "who fell into an arm could fall into it"


@pytest.mark.parametrize("name", ["sticky_split", "scheduled_ramp"])
def test_every_process_puts_an_applicant_into_the_same_arm(name):
    asked = (
        "import json, sys; from datetime import UTC, datetime; from credit_scoring.core.roles import Experiment;"
        "from credit_scoring.core.routing import strategy_of;"
        "s = strategy_of(Experiment.model_validate_json(sys.argv[1])); at = datetime(2026, 3, 1, 12, tzinfo=UTC);"
        "print([s.route(f'applicant-ü-{n}', at).arm for n in range(500)])"
    )
    given = experiment(STRATEGIES[name]).model_dump_json(by_alias=True)
    told = [
        subprocess.run(
            [sys.executable, "-c", asked, given],
            env={"PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Pacific/Auckland"))
    ]
    here = [strategy(name).route(f"applicant-ü-{n}", NOON).arm for n in range(500)]
    assert told == [f"{here}\n"] * 2


def test_draws_are_those_of_all_earlier_versions():
    """Were they to change, running experiments would move applicants."""
    drawn = [salted_draw("experiment", "taiwan_cards-1", applicant) for applicant in ("1", "2", "ü")]
    assert drawn == pytest.approx(DRAWS, abs=1e-15)


def test_the_champion_alone_decides_without_a_challenger_and_with_one_in_its_shadow():
    for name, scores_challenger in (("champion_only", False), ("shadow", True)):
        chosen = strategy(name)
        assert chosen.scores_challenger == scores_challenger
        assert {chosen.route(str(n), NOON).arm for n in range(200)} == {"champion"}


@given(applicants)
def test_a_share_of_nothing_or_everything_leaves_no_choice(applicant):
    assert StickySplit("salt", 0).route(applicant, NOON).arm == "champion"
    assert StickySplit("salt", 1).route(applicant, NOON).arm == "challenger"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("salt", ["a", "taiwan_cards-1"])
def test_the_share_is_kept_within_chance(share, salt):
    size = 20_000
    challengers = sum(StickySplit(salt, share).route(str(n), NOON).arm == "challenger" for n in range(size))
    assert abs(challengers - size * share) < 4 * (size * share * (1 - share)) ** 0.5


def test_another_salt_draws_anew():
    arms = [[StickySplit(salt, 0.5).route(str(n), NOON).arm for n in range(1000)] for salt in ("a", "b")]
    assert 400 < sum(one == other for one, other in zip(*arms, strict=True)) < 600


def test_arms_are_independent_of_the_parts_that_models_were_fitted_on_also_under_one_salt():
    size = 20_000
    names = [str(n) for n in range(size)]
    developed = {name for name in names if salted_draw("split", "salt", name) < 0.6}
    decided = {name for name in names if StickySplit("salt", 0.3).route(name, NOON).arm == "challenger"}
    expected = size * 0.6 * 0.3
    assert abs(len(developed & decided) - expected) < 4 * (expected * (1 - 0.18)) ** 0.5


def test_a_ramp_goes_by_the_day_in_utc_of_the_decision():
    ramp = strategy("scheduled_ramp")
    shares = {
        datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC): 0.0,
        datetime(2026, 1, 1, tzinfo=UTC): 0.1,
        datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC): 0.1,
        datetime(2026, 3, 2, tzinfo=UTC): 0.6,
        datetime(2026, 3, 2, 5, tzinfo=timezone(timedelta(hours=9))): 0.1,  # still the first of March in UTC
        datetime(2026, 3, 1, 20, tzinfo=timezone(-timedelta(hours=9))): 0.6,
        datetime(2036, 1, 1, tzinfo=UTC): 0.6,
    }
    for at, share in shares.items():
        routes = [ramp.route(str(n), at) for n in range(2000)]
        assert {r.arm_probability for r in routes if r.arm == "champion"} == {1 - share}
        assert {r.arm_probability for r in routes if r.arm == "challenger"} == ({share} if share else set())


def test_applicants_of_an_earlier_step_are_those_of_a_split_of_its_share():
    ramp, split = strategy("scheduled_ramp"), StickySplit("salt", 0.1)
    assert all(ramp.route(str(n), NOON) == split.route(str(n), NOON) for n in range(2000))


REFUSED = {
    "unknown strategy": ({"strategy": "coin"}, "expected tags"),
    "no strategy": ({"challenger_share": 0.1}, "strategy"),
    "share above one": ({"strategy": "sticky_split", "challenger_share": 10}, "less than or equal to 1"),
    "negative share": ({"strategy": "sticky_split", "challenger_share": -0.1}, "greater than or equal to 0"),
    "NaN": ({"strategy": "sticky_split", "challenger_share": float("nan")}, "finite|greater than or equal"),
    "share as text": ({"strategy": "sticky_split", "challenger_share": "0.1"}, "valid number"),
    "share as truth": ({"strategy": "sticky_split", "challenger_share": True}, "valid number"),
    "no share": ({"strategy": "sticky_split"}, "Field required"),
    "share in the shadow": ({"strategy": "shadow", "challenger_share": 0.1}, "Extra inputs"),
    "no steps": ({"strategy": "scheduled_ramp", "steps": []}, "at least one step"),
    "a falling share": (
        {
            "strategy": "scheduled_ramp",
            "steps": [
                {"from": "2026-01-01", "challenger_share": 0.2},
                {"from": "2026-02-01", "challenger_share": 0.1},
            ],
        },
        "may not fall, as it does on 2026-02-01",
    ),
    "days out of order": (
        {
            "strategy": "scheduled_ramp",
            "steps": [
                {"from": "2026-02-01", "challenger_share": 0.1},
                {"from": "2026-01-01", "challenger_share": 0.2},
            ],
        },
        "in order of their days, but 2026-01-01 is not later",
    ),
    "a day as a number": (
        {"strategy": "scheduled_ramp", "steps": [{"from": 20260101, "challenger_share": 0.1}]},
        "a day such as 2026-01-31",
    ),
    "no such day": (
        {"strategy": "scheduled_ramp", "steps": [{"from": "2026-02-30", "challenger_share": 0.1}]},
        "valid date",
    ),
}


@pytest.mark.parametrize(("routing", "told"), REFUSED.values(), ids=REFUSED)
def test_routing_that_makes_no_sense_is_refused_with_the_reason(routing, told):
    with pytest.raises(ValidationError, match=told):
        experiment(routing)


def test_rows_from_when_there_was_one_strategy_are_read():
    old = Experiment.model_validate({"id": "e", "salt": "s", "challenger_share": 0.1})
    assert old.routing == StickySplitRouting(challenger_share=0.1)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Experiment.model_validate({"id": "e", "salt": "s", "challenger_share": 0.1, "routing": STRATEGIES["shadow"]})


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("by_alias", [True, False])
def test_an_experiment_is_the_same_after_it_was_stored(name, by_alias):
    given = experiment(STRATEGIES[name])
    assert Experiment.model_validate_json(given.model_dump_json(by_alias=by_alias)) == given


def test_steps_rise_in_every_ramp_that_is_accepted():
    steps = experiment(STRATEGIES["scheduled_ramp"]).routing.steps
    assert all(isinstance(step, RampStep) for step in steps)
    assert all(one.challenger_share <= other.challenger_share for one, other in pairwise(steps))
