"""Facts with their times, read by the rules by which decisions read them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from sqlalchemy import Engine, text

from credit_scoring.adapters.database.engine import opened, writing
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.database.pushed_applicants import PushedApplicantRepository
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.pushed import Message, PushedEvent
from credit_scoring.core.timed_facts import TimedFacts, TimedFields

LENDER = Owner("lender", "loans")
ANNA = Applicant(LENDER, "anna")
NOON = datetime(2021, 4, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    with opened(database_url) as engine:
        yield engine


def load(engine: Engine, at: datetime, fields: int | None = 1, events: Any = ()) -> None:
    """Load a file with Anna's fields, if any, and these events: days after noon, and their ids."""
    applicants = pl.DataFrame({"applicant_id": ["anna"], "x": [fields]} if fields is not None else {"applicant_id": []})
    rows = [
        {"applicant_id": "anna", "occurred_at": NOON + day * DAY, "event_number": n, "event_id": name, "eur": n}
        for n, (day, name) in enumerate(events)
    ]
    tables = {"movements": pl.DataFrame(rows)} if rows else {}
    FactsRepository(engine, clock=lambda: at).replace_all(LENDER, f"{at}{fields}{events}", applicants, tables)


def push(engine: Engine, name: str, day: int, eur: float, table: str = "movements", **told: Any) -> None:
    number, applicant, known_at = told.get("number", 0), told.get("applicant", ANNA), told.get("known_at")
    message = Message("api", f"{number}-0", NOON, table, "")
    event = PushedEvent(message, name, applicant.applicant_id, NOON + day * DAY, known_at, {"eur": eur})
    PushedEventRepository(engine).add(applicant.owner, [event])


def told(engine: Engine, most: int = 10) -> TimedFacts:
    return FactsRepository(engine).timed_facts(ANNA, most)


def movements(engine: Engine, most: int = 10) -> list[float]:
    return [event.values["eur"] for event in told(engine, most).events["movements"].newest]


def test_of_nobody_nothing_is_told(engine):
    push(engine, "a", 1, 1, applicant=Applicant(LENDER, "bob"))
    push(engine, "a", 1, 1, applicant=Applicant(Owner("other", "loans"), "anna"))
    assert told(engine) == TimedFacts()
    assert told(engine).is_empty


def test_fields_are_told_with_what_brought_those_that_hold(engine):
    put = PushedApplicantRepository(engine).put_applicant
    load(engine, NOON)
    assert told(engine).fields == TimedFields({"x": 1}, NOON, "files")
    put(LENDER, "anna", {"x": 2}, NOON + DAY)
    assert told(engine).fields == TimedFields({"x": 2}, NOON + DAY, "api")
    load(engine, NOON + 2 * DAY, 3)
    assert told(engine).fields == TimedFields({"x": 3}, NOON + 2 * DAY, "files")
    load(engine, NOON + 3 * DAY, None)
    assert told(engine).fields == TimedFields({"x": 2}, NOON + DAY, "api")


def test_events_are_told_without_fields(engine):
    push(engine, "a", 1, 5)
    assert told(engine).fields is None
    assert not told(engine).is_empty
    assert movements(engine) == [5]


def test_the_newest_events_of_each_table_come_first_and_all_are_counted(engine):
    load(engine, NOON, events=[(1, "f0"), (3, "f1"), (3, "f2")])
    push(engine, "p1", 3, 10, number=1)
    push(engine, "p2", 3, 11, number=2)
    push(engine, "p3", 2, 12, number=3)
    push(engine, "o1", 9, 13, table="others", known_at=NOON)
    assert movements(engine) == [11, 10, 2, 1, 12, 0]
    assert movements(engine, most=2) == [11, 10]
    facts = told(engine, most=1)
    assert {table: (events.count, len(events.newest)) for table, events in facts.events.items()} == {
        "movements": (6, 1),
        "others": (1, 1),
    }
    [other] = facts.events["others"].newest
    assert (other.occurred_at, other.known_at) == (NOON + 9 * DAY, NOON)


def test_an_event_that_both_brought_counts_once_as_files_have_it(engine):
    push(engine, "same", 1, 99)
    load(engine, NOON, events=[(1, "same")])
    assert movements(engine) == [0]
    assert told(engine).events["movements"].count == 1


def test_a_database_that_fails_is_told(engine):
    with writing(engine).begin() as connection:
        connection.execute(text("DROP TABLE pushed_events"))
    with pytest.raises(RecordsError):
        told(engine)
