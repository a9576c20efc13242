from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.memory import InMemoryDecisionBook
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.reasons import GivenReason
from credit_scoring.core.records import DecidingModel, Decision, DecisionRecord, ModelOutput
from credit_scoring.ports import DecisionBook

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def record(decision_id: str = "d-1", application_id: str = "a-1", **changes: Any) -> DecisionRecord:
    answer = Decision(
        decision_id=decision_id,
        application_id=application_id,
        applicant_id="p-1",
        points=580,
        points_exact=0.1 + 0.2,
        prob_default=1e-17,
        band="A",
        recommendation="approve",
        reasons=(GivenReason("R01", "Größe", "limit_twd", 1 / 3),),
        model=DecidingModel(name="m", version=1, role="champion"),
        arm="champion",
        arm_probability=0.9,
        decider="champion",
        fallback=False,
        policy_version="1",
        feature_set="fs-1",
        scorer_version="1",
        features_from="store",
        as_of=AT,
        request_id="r-1",
    )
    output = ModelOutput(model="m", version=1, algorithm="scorecard", digest="d", feature_set="fs-1", points=580)
    whole = DecisionRecord(
        portfolio="p",
        decided_at=AT,
        answer=answer,
        received={"application_id": application_id, "nested": [1, 2.5, None, "ü"]},
        received_digest="0" * 64,
        feature_values={"fs-1": {"a": float.fromhex("0x1.99999ap-4"), "b": None}},
        scores={"champion": output, "challenger": output.model_copy(update={"points": None, "failure": "KeyError"})},
    )
    return replace(whole, **changes)


@pytest.fixture(params=["memory", "sqlite"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> DecisionBook:
    if request.param == "memory":
        return InMemoryDecisionBook()
    return DecisionRepository(open_database(f"sqlite:///{tmp_path}/credit.db"))


def test_a_record_comes_back_as_it_was_added(book):
    assert book.add(record()) == record()
    assert book.get("p", "d-1") == record()
    assert book.by_application("p", "a-1") == record()


def test_what_was_not_decided_is_not_found(book):
    assert book.get("p", "d-1") is None
    assert book.by_application("p", "a-1") is None


def test_the_first_decision_on_an_application_holds(book):
    book.add(record())
    assert book.add(record("d-2")) == record()
    assert book.get("p", "d-2") is None


def test_portfolios_do_not_see_each_others_decisions(book):
    book.add(record())
    other = record("d-2", portfolio="q")
    assert book.add(other) == other
    assert book.get("q", "d-1") is None
    assert book.by_application("q", "a-1") == other


def test_a_decision_id_that_is_taken_is_refused_by_the_database(tmp_path):
    book = DecisionRepository(open_database(f"sqlite:///{tmp_path}/credit.db"))
    book.add(record())
    with pytest.raises(RecordsError, match="id is taken"):
        book.add(record(application_id="a-2"))


def test_a_database_that_was_deleted_is_not_written_into_the_void(tmp_path):
    book = DecisionRepository(open_database(f"sqlite:///{tmp_path}/credit.db"))
    book.add(record())
    (tmp_path / "credit.db").unlink()
    with pytest.raises(RecordsError, match="is gone"):
        book.add(record("d-2", "a-2"))


def test_a_database_that_was_replaced_is_not_written(tmp_path):
    book = DecisionRepository(open_database(f"sqlite:///{tmp_path}/credit.db"))
    (tmp_path / "credit.db").rename(tmp_path / "old.db")
    open_database(f"sqlite:///{tmp_path}/credit.db")
    with pytest.raises(RecordsError, match="replaced"):
        book.add(record())
