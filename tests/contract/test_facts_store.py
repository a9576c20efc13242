from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.memory import InMemoryFactsStore
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.tables import MOMENT
from credit_scoring.ports import FactsStore

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
    ("p", "1"): Facts(
        {"limit": 5, "rate": 0.1, "job": "clerk"},
        {
            "statements": [
                Event(APRIL, 0, {"bill": 1}),
                Event(MAY, 1, {"bill": None}),
                Event(MAY, 2, {"bill": 3}),
            ]
        },
    ),
    ("p", "2"): Facts({"limit": None, "rate": 2.0, "job": None}),
}


@pytest.fixture
def repository(tmp_path: Path) -> FactsRepository:
    return FactsRepository(open_database(f"sqlite:///{tmp_path}/credit.db"))


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> FactsStore:
    if request.param == "memory":
        return InMemoryFactsStore(FACTS)
    found: FactsRepository = request.getfixturevalue("repository")
    assert found.replace_all("p", "hash-1", APPLICANTS, {"statements": STATEMENTS})
    return found


def test_facts_come_back_typed_and_from_the_oldest_event_to_the_newest(store):
    assert store.facts_of("p", "1") == FACTS["p", "1"]
    assert store.facts_of("p", "2") == FACTS["p", "2"]


def test_an_unknown_applicant_or_portfolio_has_no_facts(store):
    assert store.facts_of("p", "3") is None
    assert store.facts_of("q", "1") is None


def test_the_same_content_is_loaded_once(repository):
    assert repository.loaded_content("p") is None
    assert repository.replace_all("p", "hash-1", APPLICANTS, {"statements": STATEMENTS})
    assert not repository.replace_all("p", "hash-1", APPLICANTS.head(0), {})
    assert repository.loaded_content("p") == "hash-1"
    assert repository.facts_of("p", "2") is not None


def test_other_content_replaces_the_portfolios_facts_and_no_others(repository):
    for portfolio in ("p", "q"):
        repository.replace_all(portfolio, "hash-1", APPLICANTS, {"statements": STATEMENTS})
    assert repository.replace_all("p", "hash-2", APPLICANTS.tail(1), {"statements": STATEMENTS.head(0)})
    assert repository.facts_of("p", "1") is None
    assert repository.facts_of("q", "1") == FACTS["p", "1"]


def test_a_load_that_fails_leaves_the_facts_as_they_were(repository):
    repository.replace_all("p", "hash-1", APPLICANTS, {"statements": STATEMENTS})
    stranger = STATEMENTS.with_columns(applicant_id=pl.lit("nobody"))
    with pytest.raises(RecordsError):
        repository.replace_all("p", "hash-2", APPLICANTS, {"statements": stranger})
    assert repository.facts_of("p", "1") == FACTS["p", "1"]
    assert repository.loaded_content("p") == "hash-1"
