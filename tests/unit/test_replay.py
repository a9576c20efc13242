import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from replayed import HALF, OWNER, ROUTINGS, History, Stored, challenger_hangs, deciding, sent, with_other_features
from service_package import NOW, facts

from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.api.replays import Replay
from credit_scoring.core.decisions import band, recommendation
from credit_scoring.core.errors import DamagedRecordError, RegistryError, UnknownDecisionError
from credit_scoring.core.owners import Applicant
from credit_scoring.core.records import DecisionQuery, DecisionRecord
from credit_scoring.core.roles import ChampionOnlyRouting
from credit_scoring.core.scoring import SCORER_VERSION, ModelBundle
from credit_scoring.core.training.development import Development

NAMES = [f"applicant-{number}" for number in range(12)]


@pytest.fixture
def models(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> dict[Any, ModelBundle]:
    return {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}


@pytest.fixture(scope="module")
def newer(development: Development) -> ModelBundle:
    return with_other_features(development)


@pytest.fixture
def history() -> History:
    return History()


def recorded(one: Any) -> list[DecisionRecord]:
    """What a decider has on record, the oldest first."""
    return list(reversed(one.decisions.find(OWNER, DecisionQuery(limit=1_000))))


def replayed(history: History, records: list[DecisionRecord]) -> list[Replay]:
    replayer = history.replayer(Stored(records))
    return [replayer.replay(OWNER, record.answer.decision_id) for record in records]


def decided_inline(history: History, models: Any, routing: Any = HALF) -> list[DecisionRecord]:
    assignment = history.assign(models, routing)
    one = deciding(assignment)
    one.decide_many([sent(assignment, f"application-{name}", applicant_id=name) for name in NAMES])
    return recorded(one)


def changed(record: DecisionRecord, **answer: Any) -> DecisionRecord:
    return replace(record, answer=record.answer.model_copy(update=answer))


@pytest.mark.parametrize("routing", ROUTINGS.values(), ids=ROUTINGS)
def test_decisions_of_every_strategy_come_out_bit_for_bit(history, models, routing):
    records = decided_inline(history, models, routing)
    assert len(records) == len(NAMES)
    for replay in replayed(history, records):
        assert replay.differences == ()
        assert (replay.matches, replay.exact, replay.link_valid, replay.not_checked) == (True, True, True, ())
        assert {"points_exact", "prob_default", "band", "recommendation", "reasons", "as_of"} <= set(replay.checked)
        assert {"arm", "arm_probability", "roles", "scores.champion.base_points"} <= set(replay.checked)
        scored = routing.strategy != "champion_only"
        assert ("scores.challenger.prob_default" in replay.checked) is scored


def test_features_are_computed_again_from_the_body_that_was_received(history, models):
    [record, *_] = decided_inline(history, models)
    assert f"features.{record.answer.feature_set}.facts" in replayed(history, [record])[0].checked
    told = record.received | {"application": {"limit_twd": 90_001, "education": "university"}}
    [other] = replayed(history, [replace(record, received=told)])
    named = [difference.name for difference in other.differences]
    assert named[0] == "received_digest"
    assert f"features.{record.answer.feature_set}.limit_twd" in named


def test_decisions_on_stored_and_cached_facts_are_computed_from_the_recorded_values(history, models):
    assignment = history.assign(models)
    one = deciding(assignment, facts=in_store("applicant-1"))
    one.decide(sent(assignment, "stored", application=None, events=None))
    [record] = recorded(one)
    [replay] = replayed(history, [record])
    assert (record.answer.features_from, replay.matches) == ("store", True)
    assert [(one.name, "store" in one.why) for one in replay.not_checked] == [
        (f"features.{record.answer.feature_set}.facts", True)
    ]


def in_store(applicant_id: str) -> InMemoryFactsStore:
    return InMemoryFactsStore({Applicant(OWNER, applicant_id): facts()})


def test_what_a_batch_gave_as_its_moment_is_not_taken_for_a_difference(history, models):
    assignment = history.assign(models)
    one = deciding(assignment, facts=in_store("applicant-1"))
    batch = replace(
        sent(assignment, "of-a-batch", application=None, events=None),
        as_of=datetime(2005, 8, 1, tzinfo=UTC),
        key_id=None,
    )
    one.decide(batch)
    [replay] = replayed(history, recorded(one))
    assert replay.matches
    assert "as_of" in [one.name for one in replay.not_checked]


@pytest.mark.parametrize("role", ["champion", "challenger"])
def test_a_decision_is_replayed_by_its_own_bundles_after_roles_and_features_changed(history, models, newer, role):
    records = decided_inline(history, models)
    history.assign({"champion": models["challenger"], "challenger": models["champion"]})
    swapped = {"champion": newer, "challenger": models["champion"]}
    history.assign(swapped if role == "champion" else dict(reversed(swapped.items())))
    assert all(replay.matches and not replay.not_checked for replay in replayed(history, records))


def test_models_of_two_feature_sets_are_replayed_each_by_its_own(history, models, newer):
    assignment = history.assign({"champion": models["champion"], "challenger": newer})
    one = deciding(assignment)
    fields = {"limit_twd": 90_000, "education": "university", "income_twd": 5}
    one.decide_many([sent(assignment, name, applicant_id=name, application=fields) for name in NAMES])
    records = recorded(one)
    assert {record.answer.decider for record in records} == {"champion", "challenger"}
    for record, replay in zip(records, replayed(history, records), strict=True):
        assert replay.matches
        assert {f"features.{version}.facts" for version in record.features} <= set(replay.checked)
        assert len(record.features) == 2


def test_a_field_of_a_challenger_that_was_not_scored_is_no_difference(history, models, newer):
    routing = ChampionOnlyRouting(strategy="champion_only")
    assignment = history.assign({"champion": models["champion"], "challenger": newer}, routing)
    one = deciding(assignment)
    fields = {"limit_twd": 90_000, "education": "university", "income_twd": 5}
    one.decide(sent(assignment, "with-more", application=fields))
    [replay] = replayed(history, recorded(one))
    assert replay.differences == ()


def test_a_challenger_that_failed_then_is_left_as_it_is_on_record(history, models):
    records = decided_inline(history, models)
    record = next(one for one in records if one.answer.decider == "challenger")
    assignment = history.assign(models)
    one = deciding(assignment)
    with challenger_hangs(assignment):
        one.decide_many([sent(assignment, "late", applicant_id=record.answer.applicant_id)])
    [late] = recorded(one)
    assert (late.answer.fallback, late.scores["challenger"].failure) == (True, "hung")
    [replay] = replayed(history, [late])
    assert replay.matches
    assert [(one.name, one.why) for one in replay.not_checked] == [
        ("scores.challenger", "the model failed then (hung)")
    ]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"points": 1}, "points"),
        ({"points_exact": 0.0}, "points_exact"),
        ({"prob_default": 0.5}, "prob_default"),
        ({"band": "none"}, "band"),
        ({"recommendation": "refer"}, "recommendation"),
        ({"reasons": ()}, "reasons"),
        ({"arm": ...}, "arm"),
        ({"arm_probability": 0.4}, "arm_probability"),
        ({"decider": ...}, "decider"),
        ({"fallback": True}, "fallback"),
        ({"policy_version": "x"}, "policy_version"),
        ({"feature_set": "x"}, "feature_set"),
        ({"features_from": "cache"}, "features_from"),
        ({"as_of": NOW}, "as_of"),
        ({"applicant_id": "somebody"}, "applicant_id"),
        ({"application_id": "else"}, "application_id"),
    ],
)
def test_an_answer_that_does_not_follow_from_its_record_is_named(history, models, change, named):
    record = decided_inline(history, models)[0]
    other = "challenger" if record.answer.arm == "champion" else "champion"
    change = {name: other if value is ... else value for name, value in change.items()}
    assert getattr(record.answer, named) != change[named]
    [replay] = replayed(history, [changed(record, **change)])
    assert not replay.matches
    assert named in [difference.name for difference in replay.differences]


def test_the_last_bit_counts(history, models):
    record = decided_inline(history, models)[0]
    nearest = math.nextafter(record.answer.prob_default, 1)
    [replay] = replayed(history, [changed(record, prob_default=nearest)])
    [difference] = replay.differences
    assert (difference.name, difference.recorded, difference.recomputed) == (
        "prob_default",
        nearest,
        record.answer.prob_default,
    )


def test_a_recorded_feature_must_be_a_float32(history, models):
    record = decided_inline(history, models)[0]
    used = record.features[record.answer.feature_set]
    values = used.values | {"limit_twd": math.nextafter(used.values["limit_twd"], math.inf)}
    features = {record.answer.feature_set: used.model_copy(update={"values": values})}
    [replay] = replayed(history, [replace(record, features=features)])
    assert {difference.name for difference in replay.differences} == {f"features.{record.answer.feature_set}.limit_twd"}


def test_features_that_no_model_reads_or_that_are_absent_are_named(history, models):
    record = decided_inline(history, models)[0]
    used = record.features[record.answer.feature_set]
    [replay] = replayed(history, [replace(record, features={"fs-none": used})])
    assert {"features.fs-none", "features_from", "scores.champion.failure"} <= {d.name for d in replay.differences}


def test_other_roles_than_those_on_record_are_named(history, models):
    record = decided_inline(history, models)[0]
    history.assign({"champion": models["challenger"], "challenger": models["champion"]})
    [replay] = replayed(history, [replace(record, roles_sequence=2)])
    assert {difference.name for difference in replay.differences} == {"roles.champion", "roles.challenger"}
    [gone] = replayed(history, [replace(record, roles_sequence=9)])
    assert [(d.name, d.recorded, d.recomputed) for d in gone.differences] == [("roles_sequence", 9, None)]


def test_a_record_from_before_the_roles_were_recorded_says_what_was_not_checked(history, models):
    record = decided_inline(history, models)[0]
    [replay] = replayed(history, [replace(record, roles_sequence=None)])
    assert replay.matches
    assert [one.name for one in replay.not_checked] == ["roles", "arm", "arm_probability"]


def decided_under_version_1(history: History, models: Any) -> list[DecisionRecord]:
    """Decisions of applicants as version 1 of the scorer made them; the bundles are kept as they are scored now."""
    former = {role: bundle.under("1") for role, bundle in models.items()}
    records = [
        changed(one, scorer_version="1", decision_id=f"former-{one.answer.decision_id}")
        for one in decided_inline(history, former)
    ]
    history.bundles = {digest: bundle.under(SCORER_VERSION) for digest, bundle in history.bundles.items()}
    return records


def test_decisions_of_the_first_scorer_come_out_bit_for_bit_under_it(history, models):
    records = decided_under_version_1(history, models)
    assert {record.answer.decider for record in records} == {"champion", "challenger"}
    for replay in replayed(history, records):
        assert replay.differences == ()
        assert (replay.matches, replay.exact, replay.not_checked) == (True, True, ())
        assert (replay.scorer_version, replay.present_scorer_version) == ("1", SCORER_VERSION)
        assert {"points_exact", "prob_default", "reasons", "scores.challenger.base_points"} <= set(replay.checked)


def test_the_recorded_scorer_version_counts(history, models):
    """Trees score otherwise in the last digits under each version, and scorecards do not."""
    records = decided_under_version_1(history, models)
    for replay in replayed(history, [changed(record, scorer_version=SCORER_VERSION) for record in records]):
        differing = {difference.name for difference in replay.differences}
        assert "scores.challenger.points_exact" in differing
        assert not {name for name in differing if name.startswith("scores.champion")}


def test_records_of_two_scorer_versions_are_replayed_together_as_one_by_one(history, models):
    newer = decided_inline(history, models)
    records = [*decided_under_version_1(history, models), *newer]
    stored = Stored(records)
    assert history.replayer(stored).replay_many(stored.chained_records) == replayed(history, records)
    assert all(replay.matches and replay.exact for replay in replayed(history, records))


@pytest.mark.parametrize(("shift", "matches"), [(5e-7, True), (2e-6, False)])
def test_under_another_scorer_version_probabilities_may_differ_by_a_millionth(history, models, shift, matches):
    record = decided_inline(history, models)[0]
    other = changed(record, scorer_version="0", prob_default=record.answer.prob_default + shift)
    [replay] = replayed(history, [other])
    assert (replay.matches, replay.exact) == (matches, False)
    assert (replay.scorer_version, replay.present_scorer_version) == ("0", SCORER_VERSION)
    assert "reasons" in [one.name for one in replay.not_checked]


@pytest.mark.parametrize(("shift", "matches"), [(1, True), (-1, True), (2, False), (-2, False)])
def test_under_another_scorer_version_points_may_differ_by_one(history, models, shift, matches):
    record = decided_inline(history, models)[0]
    policy = models[record.answer.decider].portfolio.policy
    points = record.answer.points + shift
    other = changed(
        record,
        scorer_version="0",
        points=points,
        band=band(points, policy),
        recommendation=recommendation(points, policy),
    )
    assert replayed(history, [other])[0].matches is matches


def test_a_decision_that_nobody_made_is_unknown(history, models):
    with pytest.raises(UnknownDecisionError):
        history.replayer(Stored([])).replay(OWNER, "nowhere")


def test_a_bundle_that_cannot_be_fetched_is_told_and_harms_no_other_record(history, models):
    records = decided_inline(history, models)[:2]
    lost = {role: output.model_copy(update={"digest": "0" * 64}) for role, output in records[0].scores.items()}
    replayer = history.replayer(stored := Stored([replace(records[0], scores=lost), records[1]]))
    with pytest.raises(RegistryError):
        replayer.replay(OWNER, records[0].answer.decision_id)
    found = replayer.replay_many(stored.chained_records)
    assert isinstance(found[0], RegistryError)
    assert isinstance(found[1], Replay)


def test_what_is_not_a_record_cannot_be_replayed(history, models):
    stored = Stored(decided_inline(history, models)[:1])
    [one] = stored.chained_records
    for content in (b"{}", b"[]", b"null", b"\xff", b""):
        stored.chained_records = [one._replace(entry=one.entry._replace(content=content))]
        with pytest.raises(DamagedRecordError):
            history.replayer(stored).replay(OWNER, one.entry.decision_id)


def test_a_record_whose_link_is_broken_says_so(history, models):
    stored = Stored(decided_inline(history, models)[:2])
    [first, second] = stored.chained_records
    stored.chained_records = [first._replace(entry=first.entry._replace(hash="0" * 64)), second._replace(before=None)]
    for chained in stored.chained_records:
        replay = history.replayer(stored).replay(OWNER, chained.entry.decision_id)
        assert (replay.matches, replay.link_valid) == (True, False)


def test_a_body_that_its_models_refuse_is_told_without_its_values(history, models):
    record = decided_inline(history, models)[0]
    told = record.received | {"application": {"limit_twd": "a-secret-value", "education": "university"}}
    [replay] = replayed(history, [replace(record, received=told)])
    [fault] = [one for one in replay.differences if one.name == "received"]
    assert fault.recomputed == "refused: int_type at /application/limit_twd"
    assert "a-secret-value" not in replay.model_dump_json()


def test_records_are_replayed_together_as_one_by_one(history, models):
    records = decided_inline(history, models)
    stored = Stored(records)
    assert history.replayer(stored).replay_many(stored.chained_records) == replayed(history, records)
