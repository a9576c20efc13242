from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from databases import KINDS, empty_database
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError

from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.direct import Direct, Step
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.schema import decisions, idempotency_keys
from credit_scoring.adapters.memory_decisions import InMemoryDecisionBook
from credit_scoring.api.decisions import DecidingModel, Decision, FeaturesUsed, GivenReason, ModelOutput
from credit_scoring.core.chains import GENESIS, link
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import (
    KEY_LIFETIME,
    ApplicationKey,
    DecisionQuery,
    DecisionRecord,
    Place,
    content_of,
)
from credit_scoring.ports import DecisionBook

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
OWNER = Owner("lender", "p")


def record(decision_id: str = "d-1", application_id: str = "a-1", **changes: Any) -> DecisionRecord:
    answer = Decision(
        decision_id=decision_id,
        application_id=application_id,
        applicant_id=changes.pop("applicant_id", "p-1"),
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
    values = {"a": float.fromhex("0x1.99999ap-4"), "b": None}
    whole = DecisionRecord(
        owner=OWNER,
        decided_at=AT,
        answer=answer,
        received={"application_id": application_id, "nested": [1, 2.5, None, "ü"]},
        received_digest="0" * 64,
        features={"fs-1": FeaturesUsed(source="cache", observed_at=AT, values=values)},
        scores={"champion": output, "challenger": output.model_copy(update={"points": None, "failure": "KeyError"})},
        roles_sequence=3,
        key_id="key-1",
    )
    return replace(whole, **changes)


@pytest.fixture(params=["memory", *KINDS])
def book(request: pytest.FixtureRequest) -> Iterator[DecisionBook]:
    if request.param == "memory":
        yield InMemoryDecisionBook(clock=lambda: AT)
        return
    with empty_database(request.param, request) as url:
        engine = open_database(url)
        yield DecisionRepository(engine, clock=lambda: AT)
        engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_database(database_url)
    yield opened
    opened.dispose()


def held(book: DecisionBook, application_id: str, key: str | None = None, owner: Owner = OWNER) -> Any:
    return book.held([ApplicationKey(owner, application_id, key)])[0]


def test_a_record_comes_back_as_it_was_added(book):
    assert book.add([record()]) == [record()]
    assert book.get(OWNER, "d-1") == record()
    assert held(book, "a-1") == record()


def test_what_was_not_decided_is_not_found(book):
    assert book.get(OWNER, "d-1") is None
    assert held(book, "a-1") is None
    assert book.held([]) == []
    assert book.find(OWNER, DecisionQuery()) == []


def test_many_are_added_and_held_in_the_order_asked_for(book):
    many = [record(f"d-{number}", f"a-{number}") for number in range(1_200)]
    assert book.add(many) == many
    asked = [ApplicationKey(OWNER, f"a-{number}") for number in (700, 5, 5_000, 1_199)]
    assert book.held(asked) == [many[700], many[5], None, many[1_199]]


def test_the_first_decision_on_an_application_holds_and_harms_no_other(book):
    book.add([record()])
    other = record("d-3", "a-3")
    assert book.add([record("d-2"), other]) == [record(), other]
    assert book.get(OWNER, "d-2") is None
    assert book.get(OWNER, "d-3") == other


@pytest.mark.parametrize("stranger", [Owner("lender", "q"), Owner("rival", "p")], ids=["portfolio", "tenant"])
def test_owners_do_not_see_each_others_decisions(book, stranger):
    book.add([record(idempotency_key="k")])
    other = record("d-2", owner=stranger, idempotency_key="k")
    assert book.add([other]) == [other]
    assert book.get(stranger, "d-1") is None
    assert held(book, "a-1", owner=stranger) == other
    assert held(book, "another", "k", stranger) == other
    assert book.find(stranger, DecisionQuery()) == [other]


def test_an_idempotency_key_names_the_first_decision_that_was_asked_for_with_it(book):
    kept = record(idempotency_key="k")
    book.add([kept])
    assert held(book, "a-1", "k") == kept
    assert held(book, "another", "k") == kept
    assert held(book, "another", "other") is None
    assert held(book, "another") is None


def test_an_idempotency_key_is_kept_for_thirty_days(book):
    old = record(idempotency_key="k", decided_at=AT - KEY_LIFETIME)
    book.add([old])
    assert held(book, "another", "k") is None
    new = record("d-2", "another", idempotency_key="k")
    assert book.add([new]) == [new]
    assert held(book, "third", "k") == new
    young = record("d-3", "a-3", idempotency_key="young", decided_at=AT - KEY_LIFETIME + timedelta(seconds=1))
    book.add([young])
    assert held(book, "fourth", "young") == young


def test_records_are_found_by_application_applicant_and_time_newest_first(book):
    days = [record(f"d-{day}", f"a-{day}", decided_at=AT + timedelta(days=day)) for day in range(4)]
    stranger = record("d-x", "a-x", applicant_id="p-2", decided_at=AT)
    book.add([*days, stranger])
    assert book.find(OWNER, DecisionQuery(applicant_id="p-1")) == days[::-1]
    assert book.find(OWNER, DecisionQuery(application_id="a-2")) == [days[2]]
    assert book.find(OWNER, DecisionQuery(since=days[1].decided_at, until=days[3].decided_at)) == [days[2], days[1]]
    assert book.find(OWNER, DecisionQuery(limit=1)) == [days[3]]


def test_pages_meet_without_gap_or_overlap_also_at_one_moment(book):
    many = [record(f"d-{number:02}", f"a-{number}") for number in range(7)]
    book.add(many)
    first = book.find(OWNER, DecisionQuery(limit=3))
    place = Place(first[-1].decided_at, first[-1].answer.decision_id)
    second = book.find(OWNER, DecisionQuery(limit=10, before=place))
    assert [*first, *second] == many[::-1]


def test_writers_that_decide_the_same_at_once_agree_on_one_record(engine):
    books = [DecisionRepository(engine) for _ in range(4)]

    def decide(number: int) -> list[DecisionRecord]:
        return books[number].add([record(f"d-{number}-{one}", f"a-{one}") for one in range(20)])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(decide, range(4)))
    assert answers[0] == answers[1] == answers[2] == answers[3]


def test_the_columns_repeat_what_the_record_says(engine):
    kept = record(idempotency_key="k", applicant_id="p-7")
    DecisionRepository(engine).add([kept])
    with engine.connect() as connection:
        row = connection.execute(select(decisions)).one()._asdict()
        key = connection.execute(select(idempotency_keys)).one()._asdict()
    chain = {name: row.pop(name) for name in ("writer", "sequence", "previous_hash", "hash")}
    whose = {"tenant": "lender", "portfolio": "p"}
    ids = {"decision_id": "d-1", "application_id": "a-1", "applicant_id": "p-7"}
    assert row == whose | ids | {"decided_at": AT, "content": content_of(kept)}
    assert chain == asdict(link(chain["writer"], 1, GENESIS, content_of(kept)))
    named = {"route": "/v1/decisions", "key": "k", "body_digest": "0" * 64, "claim": "d-1", "claimed_at": AT}
    assert key == whose | named | {"status": 200, "answer": b"d-1"}


def test_two_books_on_one_database_see_each_others_decisions_at_once(database_url):
    engines = [open_database(database_url) for _ in range(2)]
    one, other = (DecisionRepository(engine) for engine in engines)
    for number in range(3):
        kept = record(f"d-{number}", f"a-{number}", idempotency_key=f"k-{number}", decided_at=utc_now())
        assert held(other, f"a-{number}") is None
        one.add([kept])
        assert held(other, f"a-{number}") == held(other, "another", f"k-{number}") == kept
        one, other = other, one
    for engine in engines:
        engine.dispose()


def test_a_server_looks_for_held_decisions_by_their_own_index_before_it_has_counted_them(request):
    with empty_database("postgres", request) as url:
        engine = open_database(url)
        book, plans = DecisionRepository(engine), []
        for turn in range(12):  # of them the first ten planned for their parameters
            many = [record(f"d-{turn}-{number}", f"a-{turn}-{number}") for number in range(200)]
            book.held([one.key for one in many])
            book.add(many)
        rows = Direct.rows

        def explained(direct: Direct, step: Step) -> list[Any]:
            plans.extend(rows(direct, Step(f"EXPLAIN {step.sql}", step.parameters)))
            return []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Direct, "rows", explained)
            book.held([one.key for one in many])
        told = "\n".join(line for (line,) in plans)
        assert "Index Scan using one_decision_per_application" in told
        assert "application_id" in next(line for (line,) in plans if "Index Cond" in line)
        engine.dispose()


def test_each_writers_records_are_chained_in_order(engine):
    books = DecisionRepository(engine), DecisionRepository(engine)
    for number in range(6):
        books[number % 2].add([record(f"d-{number}-{one}", f"a-{number}-{one}") for one in range(number % 3 + 1)])
    with engine.connect() as connection:
        rows = connection.execute(select(decisions).order_by(decisions.c.writer, decisions.c.sequence)).all()
    for writer in {row.writer for row in rows}:
        previous = GENESIS
        for sequence, row in enumerate((row for row in rows if row.writer == writer), 1):
            assert link(writer, sequence, previous, row.content).hash == row.hash
            assert row.previous_hash == previous
            previous = row.hash


def test_what_lost_against_another_writer_leaves_no_gap_in_the_chain(engine):
    first, second = DecisionRepository(engine), DecisionRepository(engine)
    first.add([record()])
    second.add([record("d-2"), record("d-3", "a-3")])
    second.add([record("d-4", "a-4")])
    with engine.connect() as connection:
        rows = connection.execute(select(decisions.c.writer, decisions.c.sequence)).all()
    assert sorted(sequence for _, sequence in rows) == [1, 1, 2]


def test_after_a_failure_a_new_chain_is_begun(engine, monkeypatch):
    book = DecisionRepository(engine)
    book.add([record()])
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE decisions RENAME TO elsewhere"))
    with pytest.raises(RecordsError, match="recording decisions"):
        book.add([record("d-2", "a-2")])
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO decisions"))
    book.add([record("d-3", "a-3")])
    with engine.connect() as connection:
        rows = connection.execute(select(decisions.c.writer, decisions.c.sequence)).all()
    assert len({writer for writer, _ in rows}) == 2
    assert {sequence for _, sequence in rows} == {1}


@pytest.mark.parametrize("change", ["UPDATE decisions SET content = ''", "DELETE FROM decisions"])
def test_the_database_itself_refuses_to_change_records(engine, change):
    DecisionRepository(engine).add([record()])
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))


def test_a_decision_id_that_is_taken_is_refused_by_the_database(engine):
    book = DecisionRepository(engine)
    book.add([record()])
    with pytest.raises(RecordsError, match="id is taken"):
        book.add([record(application_id="a-2")])


def test_a_database_that_was_deleted_is_not_written_into_the_void(tmp_path):
    book = DecisionRepository(open_database(f"sqlite:///{tmp_path}/credit.db"))
    book.add([record()])
    (tmp_path / "credit.db").unlink()
    with pytest.raises(RecordsError, match="is gone"):
        book.add([record("d-2", "a-2")])


def test_a_database_that_was_replaced_is_not_written(tmp_path):
    book = DecisionRepository(open_database(f"sqlite:///{tmp_path}/credit.db"))
    (tmp_path / "credit.db").rename(tmp_path / "old.db")
    open_database(f"sqlite:///{tmp_path}/credit.db")
    with pytest.raises(RecordsError, match="replaced"):
        book.add([record()])
