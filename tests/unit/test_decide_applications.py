from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost as xgb
from service_package import NOW, application, decider, facts

from credit_scoring.adapters.memory_decisions import InMemoryDecisionBook
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.errors import (
    ApplicationReusedError,
    InvalidApplicationError,
    RecordsError,
    ScoringError,
    UnknownApplicantError,
    UnknownDecisionError,
)
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.features.feature_set import to_matrix
from credit_scoring.core.owners import Owner
from credit_scoring.core.reasons import reasons
from credit_scoring.core.records import ApplicationKey, DecisionRecord
from credit_scoring.core.scoring import Floats, Matrix, ModelBundle, explain, score

OWNER = Owner("default", "taiwan_cards")


@pytest.fixture
def models(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> dict[Any, ModelBundle]:
    return {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}


class Broken:
    """A classifier that fails as told."""

    algorithm = "scorecard"

    def __init__(self, whole: Any, failure: Exception | float) -> None:
        self._whole = whole
        self._failure = failure

    @property
    def inputs(self) -> tuple[str, ...]:
        return self._whole.inputs

    @property
    def bias(self) -> float:
        return self._whole.bias

    def margin(self, features: Matrix) -> Floats:
        if isinstance(self._failure, Exception):
            raise self._failure
        return np.full(len(features), self._failure)

    def contributions(self, features: Matrix) -> Floats:
        return self._whole.contributions(features)

    def explained(self, features: Matrix) -> tuple[Floats, Floats]:
        return self.margin(features), self.contributions(features)

    def to_files(self) -> dict[str, bytes]:
        return self._whole.to_files()


FAILURES = [xgb.core.XGBoostError("no"), FloatingPointError("no"), KeyError("no"), float("nan"), float("inf")]


def broken(bundle: ModelBundle, failure: Exception | float) -> ModelBundle:
    return replace(bundle, classifier=Broken(bundle.classifier, failure))


def record_of(one: Any, application_id: str = "application-1") -> DecisionRecord:
    [found] = one.decisions.held([ApplicationKey(OWNER, application_id)])
    assert found is not None
    return found


def test_the_arm_decides_which_model_answers_with_its_own_reasons(models):
    answers = {arm: decider(models, arm).decide(application()) for arm in ("champion", "challenger")}
    for number, (arm, answer) in enumerate(answers.items(), 1):
        assert (answer.arm, answer.decider, answer.fallback) == (arm, arm, False)
        assert (answer.model.role, answer.model.version) == (arm, number)
        assert all(reason.points_lost > 0 for reason in answer.reasons)
    assert answers["champion"].points_exact != answers["challenger"].points_exact
    assert answers["champion"].reasons != answers["challenger"].reasons


@pytest.mark.parametrize("arm", ["champion", "challenger"])
def test_an_answer_is_what_batch_scoring_says_bit_for_bit(models, arm, taiwan_tables, taiwan_features):
    """Ten applicants whose facts are stored, against the features and scores of the whole portfolio."""
    applicants, events = taiwan_tables
    bundle = models[arm]
    names = bundle.plan.names
    for row in applicants.head(10).iter_rows(named=True):
        applicant_id = row["applicant_id"]
        stored = _stored(row, events["statements"].filter(pl.col("applicant_id") == applicant_id))
        one = decider(models, arm, facts=InMemoryFactsStore({(OWNER, applicant_id): stored}))
        answer = one.decide(application(applicant_id=applicant_id, inline=None))
        batch = to_matrix(taiwan_features.filter(pl.col("applicant_id") == applicant_id), names)
        scores = score(batch, bundle)
        told = reasons(batch[0], explain(batch, bundle).points[0], names, bundle.portfolio)
        assert answer.features_from == "store"
        assert (answer.points, answer.points_exact) == (scores.points[0], scores.points_exact[0])
        assert list(answer.reasons) == told


def _stored(row: dict[str, Any], events: pl.DataFrame) -> Facts:
    keys = ("applicant_id", "occurred_at", "event_number")
    happened = [
        Event(e["occurred_at"], e["event_number"], {k: v for k, v in e.items() if k not in keys})
        for e in events.iter_rows(named=True)
    ]
    return Facts({k: v for k, v in row.items() if k not in ("applicant_id", "as_of")}, {"statements": happened})


def test_the_record_holds_both_models_and_every_feature(models):
    one = decider(models)
    answer = one.decide(application())
    record = record_of(one)
    assert record.answer == answer
    assert record.decided_at == NOW
    assert record.scores["champion"].points_exact == answer.points_exact
    assert record.scores["challenger"].points_exact is not None
    assert list(record.features) == [answer.feature_set]
    values = record.features[answer.feature_set].values
    assert tuple(values) == models["champion"].plan.names
    assert values["months_since_2m_arrears"] is None


def test_recorded_contributions_add_up_from_the_recorded_base(models):
    one = decider(models)
    one.decide(application())
    record = record_of(one)
    for role, bundle in models.items():
        values = record.features[bundle.plan.version].values
        features = np.array([[np.nan if values[n] is None else values[n] for n in bundle.plan.names]], np.float32)
        total = record.scores[role].base_points + explain(features, bundle).points.sum()
        assert total == pytest.approx(record.scores[role].points_exact, abs=3e-4)


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_a_failing_challenger_never_changes_the_champions_answer(models, failure):
    expected = decider(models).decide(application())
    one = decider(models | {"challenger": broken(models["challenger"], failure)})
    assert one.decide(application()) == expected
    assert record_of(one).scores["challenger"].failure is not None
    assert record_of(one).scores["challenger"].points is None


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_the_champion_decides_in_the_arm_of_a_failing_challenger(models, failure):
    expected = decider(models).decide(application())
    answer = decider(models | {"challenger": broken(models["challenger"], failure)}, "challenger").decide(application())
    assert (answer.arm, answer.decider, answer.fallback, answer.model.role) == (
        "challenger",
        "champion",
        True,
        "champion",
    )
    assert (answer.points_exact, answer.reasons) == (expected.points_exact, expected.reasons)


def test_a_challenger_that_cannot_give_its_reasons_fails_as_a_whole(models):
    wordless = models["challenger"].portfolio.model_copy(update={"reasons": {}})
    answer = decider(models | {"challenger": replace(models["challenger"], portfolio=wordless)}, "challenger").decide(
        application(inline=facts(limit_twd=10_000, status=3))
    )
    assert (answer.decider, answer.fallback) == ("champion", True)


def test_a_champion_without_a_finite_score_decides_nothing(models):
    one = decider(models | {"champion": broken(models["champion"], float("nan"))})
    with pytest.raises(ScoringError):
        one.decide(application())
    assert one.decisions.held([ApplicationKey(OWNER, "application-1")]) == [None]


def test_features_are_computed_once_per_feature_set(models, monkeypatch):
    calls = []
    compute = type(models["champion"].plan).compute_one
    monkeypatch.setattr(
        type(models["champion"].plan), "compute_one", lambda self, *tables: calls.append(1) or compute(self, *tables)
    )
    decider(models).decide(application())
    assert len(calls) == 1


def test_a_repeated_application_gets_its_first_answer_also_after_a_role_swap(models):
    one = decider(models)
    first = one.decide(application())
    assert one.decide(application(request_id="request-2")) == first
    swapped = decider({"champion": models["challenger"], "challenger": models["champion"]}, decisions=one.decisions)
    assert swapped.decide(application()) == first


def test_an_application_id_with_another_body_is_refused(models):
    one = decider(models)
    one.decide(application())
    with pytest.raises(ApplicationReusedError):
        one.decide(application(received={"application_id": "application-1", "applicant_id": "other"}))


def test_the_same_application_arriving_at_once_is_decided_once(models):
    class Blind(InMemoryDecisionBook):
        """Nobody finds the record before everybody has decided."""

        def held(self, keys):
            return [None] * len(keys)

    one = decider(models, decisions=Blind())
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(one.decide, [application()] * 4))
    assert len({answer.decision_id for answer in answers}) == 1


def test_no_answer_leaves_when_its_record_cannot_be_kept(models):
    class Full(InMemoryDecisionBook):
        def add(self, *_records):
            raise RecordsError("disk full")

    with pytest.raises(RecordsError):
        decider(models, decisions=Full()).decide(application())


def test_inline_facts_serve_alone_and_an_absent_table_is_missing(models):
    stored = InMemoryFactsStore({(OWNER, "applicant-1"): facts(limit_twd=10_000)})
    one = decider(models, facts=stored)
    answer = one.decide(application(inline=Facts({"limit_twd": 500_000, "education": "university"})))
    values = record_of(one).features[answer.feature_set].values
    assert (answer.features_from, values["limit_twd"], values["bill_now"]) == ("request", 500_000, None)


def test_an_applicant_without_facts_is_unknown(models):
    with pytest.raises(UnknownApplicantError):
        decider(models).decide(application(inline=None))


def test_a_decision_nobody_made_is_unknown(models):
    with pytest.raises(UnknownDecisionError):
        decider(models).recorded(OWNER, "nowhere")


def test_as_of_is_the_requests_else_the_declared_constant(models):
    assert decider(models).decide(application()).as_of == datetime(2005, 10, 1, tzinfo=UTC)
    asked = decider(models).decide(application(as_of=datetime(2005, 8, 1, 23, 59, tzinfo=UTC)))
    assert asked.as_of == datetime(2005, 8, 1, tzinfo=UTC)


def test_facts_from_as_of_on_are_not_used(models):
    one = decider(models)
    early = one.decide(application(as_of=datetime(2005, 4, 28, tzinfo=UTC)))
    assert record_of(one).features[early.feature_set].values["bill_now"] is None


def test_an_as_of_in_the_future_is_refused(models):
    with pytest.raises(InvalidApplicationError) as refused:
        decider(models).decide(application(as_of=NOW + timedelta(seconds=1)))
    assert refused.value.pointer == "/as_of"


def test_a_rehearsal_makes_the_record_of_a_decision_and_leaves_none(models):
    one = decider(models)
    [rehearsed] = one.rehearsed([application()])
    assert isinstance(rehearsed, DecisionRecord)
    assert one.decisions.held([rehearsed.key]) == [None]
    assert rehearsed.answer == decider(models).decide(application())
