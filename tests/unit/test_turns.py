"""What holds of applications that are decided together, of the feature cache, and of a challenger that misbehaves."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from cached_features import SetClock
from service_package import NOW, FixedArm, application, decider, facts

from credit_scoring.adapters.feature_cache.in_process import InProcessFeatureCache
from credit_scoring.adapters.memory_decisions import InMemoryDecisionBook
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.api.decisions import Decision
from credit_scoring.core.cached_features import Lifetime
from credit_scoring.core.errors import (
    ApplicationReusedError,
    IdempotencyKeyReusedError,
    InvalidApplicationError,
    RequestInProgressError,
    UnknownApplicantError,
)
from credit_scoring.core.facts import Facts, KnownFacts
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.records import ApplicationKey
from credit_scoring.core.roles import Experiment, StickySplitRouting
from credit_scoring.core.routing import strategy_of
from credit_scoring.core.scoring import ModelBundle

OWNER = Owner("default", "taiwan_cards")
HOUR = Lifetime(timedelta(hours=1))
HALF = strategy_of(Experiment(id="e", salt="half", routing=StickySplitRouting(challenger_share=0.5)))


@pytest.fixture
def models(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> dict[Any, ModelBundle]:
    return {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}


def many(size: int) -> list[Any]:
    """Applications of many applicants, no two alike."""
    return [
        application(
            f"application-{number}",
            applicant_id=f"applicant-{number}",
            received={"number": number},
            inline=facts(limit_twd=10_000 * (1 + number), status=number % 4),
        )
        for number in range(size)
    ]


def told(answer: Any) -> Any:
    """An answer without what is new in every one."""
    return answer.model_dump(exclude={"decision_id"}) if isinstance(answer, Decision) else type(answer)


def record_of(one: Any, application_id: str) -> Any:
    [found] = one.decisions.held([ApplicationKey(OWNER, application_id)])
    return found


def test_an_application_is_decided_the_same_in_any_company(models):
    alone = [decider(models, routing=HALF).decide(one) for one in many(40)]
    together = decider(models, routing=HALF).decide_many(many(40))
    assert [told(answer) for answer in together] == [told(answer) for answer in alone]
    assert {answer.arm for answer in together} == {"champion", "challenger"}


def test_each_application_of_a_turn_has_its_own_arm(models):
    answers = decider(models, routing=HALF).decide_many(many(200))
    assert [answer.arm for answer in answers] == [HALF.route(f"applicant-{n}", NOW).arm for n in range(200)]


def test_one_bad_application_never_fails_the_others(models):
    turn = many(5)
    turn[1] = replace(turn[1], as_of=NOW + timedelta(days=1))
    turn[3] = replace(turn[3], inline=None)
    answers = decider(models).decide_many(turn)
    assert [type(answer) for answer in answers] == [
        Decision,
        InvalidApplicationError,
        Decision,
        UnknownApplicantError,
        Decision,
    ]
    assert [answers[place].application_id for place in (0, 2, 4)] == [turn[place].application_id for place in (0, 2, 4)]


def test_an_application_that_comes_twice_in_a_turn_is_decided_once(models):
    one = decider(models)
    turn = [*many(3), *many(3), replace(many(1)[0], received={"number": "other"})]
    answers = one.decide_many(turn)
    assert answers[:3] == answers[3:6]
    assert isinstance(answers[6], ApplicationReusedError)


def test_what_comes_twice_and_cannot_be_decided_fails_alike_and_another_body_is_told_to_come_again(models):
    other = application(inline=None, received={"another": "body"})
    answers = decider(models).decide_many([application(inline=None), application(inline=None), other])
    assert [type(answer) for answer in answers] == [
        UnknownApplicantError,
        UnknownApplicantError,
        RequestInProgressError,
    ]


def test_an_idempotency_key_gets_its_first_answer_and_no_other_body(models):
    one, (first, second) = decider(models), many(2)
    answer = one.decide(replace(first, idempotency_key="k"))
    assert one.decide(replace(first, idempotency_key="k")) == answer
    assert one.decide(first) == answer
    with pytest.raises(IdempotencyKeyReusedError):
        one.decide(replace(second, idempotency_key="k"))
    assert record_of(one, second.application_id) is None
    in_one_turn = decider(models).decide_many([replace(one, idempotency_key="k") for one in (first, second)])
    assert [type(answer) for answer in in_one_turn] == [Decision, IdempotencyKeyReusedError]


def test_tenants_are_decided_apart(models):
    one = decider(models)
    ours, theirs = one.decide_many([application(), application(tenant="rival", received={"other": 1})])
    assert ours.decision_id != theirs.decision_id
    assert record_of(one, "application-1").owner == OWNER


class CountingStore(InMemoryFactsStore):
    """Counts the applicants whose facts are read."""

    def __init__(self, facts: Mapping[Applicant, Facts]) -> None:
        super().__init__(facts)
        self.reads: list[str] = []

    def facts_of(self, applicants: Sequence[Applicant]) -> list[KnownFacts | None]:
        self.reads += [one.applicant_id for one in applicants]
        return super().facts_of(applicants)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore({Applicant(OWNER, "applicant-1"): facts()})


def stored(number: int, **changes: Any) -> Any:
    return application(f"application-{number}", received={"number": number}, inline=None, **changes)


def test_the_second_decision_on_an_applicant_reads_the_cache(models, store):
    one = decider(models, facts=store, cache=InProcessFeatureCache(HOUR, lambda: NOW))
    cold, warm = one.decide(stored(1)), one.decide(stored(2))
    assert (cold.features_from, warm.features_from) == ("store", "cache")
    assert (warm.points_exact, warm.reasons) == (cold.points_exact, cold.reasons)
    assert store.reads == ["applicant-1"]
    used = record_of(one, "application-2").features[warm.feature_set]
    assert used == record_of(one, "application-1").features[cold.feature_set].model_copy(update={"source": "cache"})
    assert used.observed_at == NOW


def test_inline_facts_never_touch_the_cache(models, store):
    cache = InProcessFeatureCache(HOUR, lambda: NOW)
    one = decider(models, facts=store, cache=cache)
    one.decide(application("inline-1", inline=facts(limit_twd=10_000)))
    cold = one.decide(stored(1))
    inline = one.decide(application("inline-2", received={"i": 2}, inline=facts(limit_twd=500_000)))
    assert (cold.features_from, inline.features_from) == ("store", "request")
    values = record_of(one, "inline-2").features[inline.feature_set].values
    assert values["limit_twd"] == 500_000
    assert one.decide(stored(2)).points_exact == cold.points_exact


def test_new_facts_count_at_once_whatever_the_cache_holds(models, store):
    one = decider(models, facts=store, cache=InProcessFeatureCache(HOUR, lambda: NOW))
    one.decide(stored(1))
    store.put_applicant(OWNER, "applicant-1", {"limit_twd": 500_000, "education": "university"}, NOW)
    answer = one.decide(stored(2))
    assert answer.features_from == "store"
    assert record_of(one, "application-2").features[answer.feature_set].values["limit_twd"] == 500_000
    assert one.decide(stored(3)).features_from == "cache"


def test_features_of_yesterday_do_not_serve_another_as_of(models, store):
    one = decider(models, facts=store, cache=InProcessFeatureCache(HOUR, lambda: NOW))
    one.decide(stored(1))
    assert one.decide(stored(2, as_of=datetime(2005, 8, 1, tzinfo=UTC))).features_from == "store"


def test_features_that_outlived_their_time_are_computed_anew(models, store):
    clock = SetClock(NOW)
    one = decider(models, facts=store, cache=InProcessFeatureCache(HOUR, clock), clock=clock)
    one.decide(stored(1))
    clock.now = NOW + timedelta(hours=1)
    assert one.decide(stored(2)).features_from == "store"


def test_one_tenants_cache_never_answers_another(models):
    both = InMemoryFactsStore(
        {
            Applicant(OWNER, "applicant-1"): facts(limit_twd=10_000),
            Applicant(Owner("rival", "taiwan_cards"), "applicant-1"): facts(limit_twd=500_000),
        }
    )
    one = decider(models, facts=both, cache=InProcessFeatureCache(HOUR, lambda: NOW))
    ours = one.decide(stored(1))
    theirs = one.decide(stored(2, tenant="rival"))
    assert theirs.features_from == "store"
    assert theirs.points_exact != ours.points_exact


def test_an_applicant_who_applies_often_at_once_is_read_and_computed_once(models, store, monkeypatch):
    calls = []
    plan = type(models["champion"].plan)
    compute = plan.compute_one
    monkeypatch.setattr(plan, "compute_one", lambda self, *given: calls.append(1) or compute(self, *given))
    one = decider(models, facts=store, cache=InProcessFeatureCache(HOUR, lambda: NOW))
    answers = one.decide_many([stored(number) for number in range(50)])
    assert len({answer.points_exact for answer in answers}) == 1
    assert (len(calls), len(store.reads)) == (1, 1)


def other_features(bundle: ModelBundle) -> ModelBundle:
    """The same model under another feature set: a feature more, which it does not read."""
    plan = bundle.portfolio
    feature = plan.features["limit_twd"].model_copy(update={"scored": False})
    renamed = plan.model_copy(update={"features": plan.features | {"limit_again": feature}})
    return replace(bundle, portfolio=renamed)


def test_models_of_two_feature_sets_are_both_served_and_cached(models, store):
    both = models | {"challenger": other_features(models["challenger"])}
    one = decider(both, facts=store, cache=InProcessFeatureCache(HOUR, lambda: NOW))
    one.decide_many([stored(1)])
    warm = one.decide(stored(2))
    assert warm.features_from == "cache"
    used = record_of(one, "application-2").features
    assert set(used) == {bundle.plan.version for bundle in both.values()}
    assert {features.source for features in used.values()} == {"cache"}


def test_without_a_challenger_only_the_champion_is_scored(models):
    one = decider(models, routing=FixedArm("champion", scores_challenger=False))
    answer = one.decide(application())
    assert set(record_of(one, "application-1").scores) == {"champion"}
    assert (answer.arm, answer.fallback) == ("champion", False)


class Hanging:
    """A classifier that hangs in its margin until it is released."""

    algorithm = "scorecard"

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self.released = threading.Event()
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def margin(self, features: Any) -> Any:
        self.calls += 1
        self.released.wait(30)
        return self._whole.margin(features)

    def explained(self, features: Any) -> Any:
        return self.margin(features), self._whole.contributions(features)


def test_a_challenger_that_hangs_holds_up_nobody_and_is_recorded(models):
    hanging = Hanging(models["challenger"].classifier)
    hung = models | {"challenger": replace(models["challenger"], classifier=hanging)}
    one = decider(hung, "challenger", challenger_budget_s=lambda _applications: 0.05)
    expected = decider(models).decide(application())
    began = time.monotonic()
    answer = one.decide(application())
    again = one.decide_many(many(5)[2:])
    took_s = time.monotonic() - began
    hanging.released.set()
    assert took_s < 10, "the champion waited for a challenger that hangs"
    assert (answer.arm, answer.decider, answer.fallback) == ("challenger", "champion", True)
    assert (answer.points_exact, answer.reasons) == (expected.points_exact, expected.reasons)
    assert record_of(one, "application-1").scores["challenger"].failure == "hung"
    assert all(later.fallback for later in again)
    assert hanging.calls == 1, "work is not piled up behind what hangs"


def test_a_challenger_that_comes_back_decides_again(models):
    hanging = Hanging(models["challenger"].classifier)
    hung = models | {"challenger": replace(models["challenger"], classifier=hanging)}
    one = decider(hung, "challenger", challenger_budget_s=lambda _applications: 0.05)
    assert one.decide(application()).fallback
    hanging.released.set()
    deadline = time.monotonic() + 10
    while one.assignment().challenger_thread.is_busy and time.monotonic() < deadline:
        time.sleep(0.01)
    later = replace(one, challenger_budget_s=lambda _applications: 30.0).decide(many(1)[0])
    assert (later.decider, later.fallback) == ("challenger", False)


class BadRow:
    """A classifier that raises for one row, or gives no number for it, told by the credit limit."""

    algorithm = "scorecard"

    def __init__(self, whole: Any, place: int, failure: Exception | None) -> None:
        self._whole = whole
        self._place = place
        self._failure = failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def margin(self, features: Any) -> Any:
        bad = features[:, self._place] == 30_000
        if self._failure is not None and bad.any():
            raise self._failure
        return np.where(bad, np.nan, self._whole.margin(features))

    def explained(self, features: Any) -> Any:
        return self.margin(features), self._whole.contributions(features)


@pytest.mark.parametrize("failure", [None, ValueError("no"), KeyError("no")], ids=str)
def test_a_challenger_fails_for_the_row_that_it_fails_on_and_no_other(models, failure):
    place = models["challenger"].plan.names.index("limit_twd")
    bad = replace(models["challenger"], classifier=BadRow(models["challenger"].classifier, place, failure))
    turn, whole = many(5), decider(models, "challenger").decide_many(many(5))
    answers = decider(models | {"challenger": bad}, "challenger").decide_many(turn)
    assert [answer.fallback for answer in answers] == [False, False, True, False, False]
    assert [told(answer) for answer in answers[:2]] == [told(answer) for answer in whole[:2]]


def test_features_that_cannot_be_computed_fail_their_application_alone(models, monkeypatch):
    plan = type(models["champion"].plan)
    compute = plan.compute_one

    def failing(self: Any, given: Facts, as_of: datetime) -> Any:
        if given.fields["limit_twd"] == 30_000:
            raise ZeroDivisionError
        return compute(self, given, as_of)

    monkeypatch.setattr(plan, "compute_one", failing)
    book = InMemoryDecisionBook()
    answers = decider(models, decisions=book).decide_many(many(4))
    assert [isinstance(answer, Decision) for answer in answers] == [True, True, False, True]
    assert book.held([ApplicationKey(OWNER, "application-2")]) == [None]
