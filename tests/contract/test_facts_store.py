from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import polars as pl
import pytest
from databases import KINDS, empty_database
from sqlalchemy import event, text
from tenants import facts_of, owned

from credit_scoring.adapters.database.direct import Direct
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.parsing import MOMENT
from credit_scoring.core.pushed import Message, PushedEvent
from credit_scoring.ports import FactsStore

P, Q = owned("p"), owned("q")
APRIL, MAY = datetime(2005, 4, 30, tzinfo=UTC), datetime(2005, 5, 31, 12, 30, tzinfo=UTC)
APPLICANTS = pl.DataFrame({"applicant_id": ["1", "2"], "limit": [5, None], "rate": [0.1, 2.0], "job": ["clerk", None]})
STATEMENTS = pl.DataFrame(
    {
        "applicant_id": ["1", "1", "1"],
        "occurred_at": [MAY, APRIL, MAY],
        "event_number": [2, 0, 1],
        "bill": [3, 1, None],
    },
    schema_overrides={"occurred_at": MOMENT},
)
FACTS = {
    Applicant(P, "1"): Facts(
        {"limit": 5, "rate": 0.1, "job": "clerk"},
        {
            "statements": [
                Event(APRIL, 0, {"bill": 1}),
                Event(MAY, 1, {"bill": None}),
                Event(MAY, 2, {"bill": 3}),
            ]
        },
    ),
    Applicant(P, "2"): Facts({"limit": None, "rate": 2.0, "job": None}),
}


@pytest.fixture
def repository(database_url: str) -> Iterator[FactsRepository]:
    engine = open_database(database_url)
    yield FactsRepository(engine)
    engine.dispose()


@pytest.fixture(params=["memory", *KINDS])
def store(request: pytest.FixtureRequest) -> Iterator[FactsStore]:
    if request.param == "memory":
        yield InMemoryFactsStore(FACTS)
        return
    with empty_database(request.param, request) as url:
        engine = open_database(url)
        found = FactsRepository(engine)
        assert found.replace_all(P, "hash-1", APPLICANTS, {"statements": STATEMENTS})
        yield found
        engine.dispose()


def test_facts_come_back_typed_and_from_the_oldest_event_to_the_newest(store):
    assert facts_of(store, P, "1") == FACTS[P, "1"]
    assert facts_of(store, P, "2") == FACTS[P, "2"]


def test_an_unknown_applicant_or_portfolio_has_no_facts(store):
    assert facts_of(store, P, "3") is None
    assert facts_of(store, Q, "1") is None


def test_the_same_content_is_loaded_once(repository):
    assert repository.loaded_content(P) is None
    assert repository.replace_all(P, "hash-1", APPLICANTS, {"statements": STATEMENTS})
    assert not repository.replace_all(P, "hash-1", APPLICANTS.head(0), {})
    assert repository.loaded_content(P) == "hash-1"
    assert facts_of(repository, P, "2") is not None


def test_other_content_replaces_the_portfolios_facts_and_no_others(repository):
    for owner in (P, Q):
        repository.replace_all(owner, "hash-1", APPLICANTS, {"statements": STATEMENTS})
    assert repository.replace_all(P, "hash-2", APPLICANTS.tail(1), {"statements": STATEMENTS.head(0)})
    assert facts_of(repository, P, "1") is None
    assert facts_of(repository, Q, "1") == FACTS[P, "1"]


def test_a_load_that_fails_leaves_the_facts_as_they_were(repository):
    repository.replace_all(P, "hash-1", APPLICANTS, {"statements": STATEMENTS})
    twice = pl.concat([STATEMENTS, STATEMENTS])
    with pytest.raises(RecordsError):
        repository.replace_all(P, "hash-2", APPLICANTS, {"statements": twice})
    assert facts_of(repository, P, "1") == FACTS[P, "1"]
    assert repository.loaded_content(P) == "hash-1"


def test_events_of_applicants_who_are_not_there_count_once_they_are(repository):
    repository.replace_all(P, "hash-1", APPLICANTS.tail(1), {"statements": STATEMENTS})
    assert facts_of(repository, P, "1") is None
    repository.replace_all(P, "hash-2", APPLICANTS, {"statements": STATEMENTS})
    assert facts_of(repository, P, "1") == FACTS[P, "1"]


def test_times_of_knowledge_and_dates_come_back(repository):
    known = STATEMENTS.with_columns(
        known_at=pl.Series([MAY, None, APRIL], dtype=MOMENT),
        event_id=pl.Series(["c", "a", "b"]),
        due=pl.Series([APRIL, None, MAY], dtype=MOMENT),
    )
    repository.replace_all(P, "hash-1", APPLICANTS, {"statements": known})
    assert facts_of(repository, P, "1").events["statements"] == [
        Event(APRIL, 0, {"bill": 1, "due": None}),
        Event(MAY, 1, {"bill": None, "due": "2005-05-31T12:30:00+00:00"}, known_at=APRIL),
        Event(MAY, 2, {"bill": 3, "due": "2005-04-30T00:00:00+00:00"}, known_at=MAY),
    ]


def test_an_event_id_occurs_once_in_a_table(repository):
    named = STATEMENTS.with_columns(event_id=pl.Series(["a", "b", "a"]))
    with pytest.raises(RecordsError):
        repository.replace_all(P, "hash-1", APPLICANTS, {"statements": named})
    other = named.with_columns(event_id=pl.Series(["a", "b", "c"]))
    assert repository.replace_all(P, "hash-1", APPLICANTS, {"statements": other, "loans": other})


def test_the_same_applicant_of_another_tenant_is_somebody_else(repository):
    other = Owner("other lender", "p")
    repository.replace_all(P, "hash-1", APPLICANTS, {"statements": STATEMENTS})
    assert facts_of(repository, other, "1") is None
    assert repository.revisions([Applicant(other, "1")]) == [None]
    assert repository.loaded_content(other) is None
    repository.replace_all(other, "hash-2", APPLICANTS.tail(1), {"statements": STATEMENTS.head(1)})
    assert facts_of(repository, P, "1") == FACTS[P, "1"]
    assert facts_of(repository, other, "1") is None
    assert facts_of(repository, other, "2") == FACTS[P, "2"]
    assert repository.revisions([Applicant(owner, "2") for owner in (P, other)]) == ["hash-1.0", "hash-2.0"]


def test_facts_of_many_come_in_the_order_in_which_they_are_asked_for(store):
    asked = [Applicant(P, "2"), Applicant(Q, "1"), Applicant(P, "3"), Applicant(P, "1"), Applicant(P, "2")]
    found = store.facts_of(asked)
    assert [known and known.facts for known in found] == [FACTS.get(one) for one in asked]
    assert [known and known.revision for known in found] == store.revisions(asked)
    assert store.facts_of([]) == store.revisions([]) == []


def test_a_load_of_other_content_changes_the_revision_of_everybody(repository):
    both = [Applicant(P, "1"), Applicant(P, "2")]
    repository.replace_all(P, "a" * 64, APPLICANTS, {})
    assert repository.revisions(both) == [f"{'a' * 16}.0"] * 2
    repository.replace_all(P, "b" * 64, APPLICANTS, {})
    assert repository.revisions(both) == [f"{'b' * 16}.0"] * 2


def test_many_applicants_are_asked_for_in_as_many_statements_as_one(database_url, monkeypatch):
    engine = open_database(database_url)
    repository, statements = FactsRepository(engine), []
    repository.replace_all(P, "hash-1", APPLICANTS, {"statements": STATEMENTS})
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    rows = Direct.rows
    monkeypatch.setattr(Direct, "rows", lambda self, step: [statements.append(step.sql), *rows(self, step)][1:])
    many = [Applicant(P, str(number)) for number in range(40_000)]  # more than either database takes parameters
    for asked in ([Applicant(P, "1")], many):
        statements.clear()
        assert next(known.facts for known in repository.facts_of(asked) if known) == FACTS[P, "1"]
        repository.revisions(asked)
        assert len([told for told in statements if told.startswith("SELECT")]) == 3
    engine.dispose()


def test_a_revision_is_never_newer_than_the_facts_it_comes_with(database_url):
    reader, writer = open_database(database_url), open_database(database_url)
    facts, inbox = FactsRepository(reader), PushedEventRepository(writer)
    facts.replace_all(P, "hash-1", APPLICANTS, {})
    pushed = count()

    def push(*_: Any) -> None:
        number = next(pushed)
        came = Message("s", f"1-{number}", MAY, "statements", "{}")
        inbox.take(P, [PushedEvent(came, f"e{number}", "1", MAY, None, {"bill": number})], [])

    event.listen(reader, "after_cursor_execute", push)  # between any two questions of the reader
    for _ in range(3):
        [known] = facts.facts_of([Applicant(P, "1")])
        assert known.revision == f"hash-1.{len(known.facts.events.get('statements', []))}"
        assert [known.revision] != facts.revisions([Applicant(P, "1")])
    reader.dispose()
    writer.dispose()


def test_readers_beside_writers_see_facts_that_are_as_new_as_their_revision(database_url):
    engine = open_database(database_url)
    facts, inbox = FactsRepository(engine), PushedEventRepository(engine)
    facts.replace_all(P, "hash-1", APPLICANTS, {})

    def push(writer: int) -> None:
        for number in range(30):
            came = Message("s", f"{writer}-{number}", MAY, "statements", "{}")
            inbox.take(P, [PushedEvent(came, f"{writer}-{number}", "1", MAY, None, {"bill": number})], [])

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(push, writer) for writer in range(3)]
        while not all(one.done() for one in writing):
            [known] = facts.facts_of([Applicant(P, "1")])
            assert known.revision == f"hash-1.{len(known.facts.events.get('statements', []))}"
    assert [one.result() for one in writing] == [None] * 3
    assert facts.revisions([Applicant(P, "1")]) == ["hash-1.90"]
    engine.dispose()


def test_a_server_knows_at_once_how_many_rows_a_load_brought(request):
    with empty_database("postgres", request) as url:
        engine = open_database(url)
        FactsRepository(engine).replace_all(P, "hash-1", APPLICANTS, {"statements": STATEMENTS})
        counted = text("SELECT reltuples FROM pg_class WHERE relname IN ('applicants', 'events') ORDER BY relname")
        with engine.connect() as connection:
            assert connection.scalars(counted).all() == [2, 3]
        engine.dispose()
