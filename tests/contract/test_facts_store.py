from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from databases import KINDS, empty_database
from tenants import facts_of, owned

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.owners import Applicant
from credit_scoring.core.parsing import MOMENT
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
