from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from loans import DECLARATION
from tenants import facts_of, owned

from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.pushed import date_as_text, dates_as_text
from credit_scoring.usecases.accept_facts import AcceptedEvents, FactsIntake, SentEvent

LOANS = Portfolio.model_validate(DECLARATION)
P = owned("loans")
ANNA = Applicant(P, "anna")
NOON = datetime(2021, 4, 1, 12, tzinfo=UTC)
DAY = datetime(2021, 3, 1, tzinfo=UTC)


def declared(**told: object) -> Portfolio:
    """The loans, whose movements declare this too; None takes it away."""
    movements = {**DECLARATION["events"]["movements"], **told}
    kept = {name: value for name, value in movements.items() if value is not None}
    return Portfolio.model_validate({**DECLARATION, "events": {"movements": kept}})


@pytest.fixture
def store() -> InMemoryFactsStore:
    return InMemoryFactsStore()


def intake(store: InMemoryFactsStore, *portfolios: Portfolio) -> FactsIntake:
    return FactsIntake(portfolios or (LOANS,), store, store)


def movement(name: str | None, eur: float = 10.0, **told: datetime) -> SentEvent:
    return SentEvent(told.get("occurred_at", DAY), {"eur": eur, "kind": "in"}, told.get("known_at"), name)


def known(store: InMemoryFactsStore, applicant: Applicant = ANNA) -> list[tuple[object, object]]:
    store.put_applicant(applicant.owner, applicant.applicant_id, {}, NOON)
    events = facts_of(store, applicant.owner, applicant.applicant_id).events.get("movements", [])
    return [(event.values["eur"], event.known_at) for event in events]


def test_an_applicant_is_put_under_the_declarations_dates(store):
    assert intake(store).put(ANNA, {"score": 7, "customer_since": "2001-02-03", "district": None}, NOON)
    fields = facts_of(store, P, "anna").fields
    assert fields == {"score": 7, "customer_since": "2001-02-03T00:00:00+00:00", "district": None}
    assert not intake(store).put(ANNA, {"score": 8}, NOON)


def test_an_event_is_known_from_its_receipt_unless_it_tells_when(store):
    rows = [movement("a", 1), movement("b", 2, known_at=DAY)]
    assert intake(store).add(ANNA, {"movements": rows}, "key", NOON) == AcceptedEvents(stored=2, copies=0)
    assert known(store) == [(1, NOON), (2, DAY)]


def test_an_event_of_a_table_without_times_of_knowledge_is_known_from_when_it_occurred(store):
    intake(store, declared(known_at=None)).add(ANNA, {"movements": [movement("a", 1)]}, "key", NOON)
    assert known(store) == [(1, None)]


def test_a_declared_id_counts_once_whoever_sends_it_and_however_often(store):
    for sender in ("one", "one", "two"):
        done = intake(store).add(ANNA, {"movements": [movement("a"), movement("b")]}, sender, NOON)
    assert done == AcceptedEvents(stored=0, copies=2)
    assert len(known(store)) == 2


def test_a_contradiction_is_told_by_its_place_and_nothing_is_stored(store):
    intake(store).add(ANNA, {"movements": [movement("a", 1)]}, "one", NOON)
    rows = [movement("b", 2), movement("a", 9), movement("c", 3), movement("c", 4)]
    told = intake(store).add(ANNA, {"movements": rows}, "two", NOON)
    assert told == AcceptedEvents(stored=0, copies=0, contradictions=(("movements", 1), ("movements", 3)))
    assert known(store) == [(1, NOON)]
    assert intake(store).add(Applicant(P, "bob"), {"movements": [movement("a", 1)]}, "3", NOON).contradictions


def test_without_a_declared_id_a_retry_stores_nothing_twice_and_another_request_does(store):
    taker = intake(store, declared(id=None))
    rows = {"movements": [movement(None), movement(None)]}
    assert taker.add(ANNA, rows, "key", NOON) == AcceptedEvents(stored=2, copies=0)
    assert taker.add(ANNA, rows, "key", NOON + timedelta(hours=1)) == AcceptedEvents(stored=0, copies=2)
    assert taker.add(ANNA, rows, "other key", NOON) == AcceptedEvents(stored=2, copies=0)
    assert taker.add(ANNA, {"movements": [movement(None, 5)]}, "key", NOON).contradictions == (("movements", 0),)


def test_a_senders_long_name_still_names_its_events(store):
    taker = intake(store, declared(id=None))
    for last in ("1", "2", "1"):
        taker.add(ANNA, {"movements": [movement(None)]}, "k" * 127 + last, NOON)
    assert len(known(store)) == 2


def test_another_tenants_event_of_the_same_id_is_another_event(store):
    other = Applicant(Owner("other lender", "loans"), "anna")
    for applicant, eur in ((ANNA, 1), (other, 2)):
        assert intake(store).add(applicant, {"movements": [movement("a", eur)]}, "key", NOON).stored == 1
    assert (known(store), known(store, other)) == ([(1, NOON)], [(2, NOON)])


def test_events_of_one_moment_count_in_the_order_in_which_they_were_sent(store):
    taker = intake(store)
    taker.add(ANNA, {"movements": [movement("z", 3), movement("y", 4)]}, "late", NOON + timedelta(milliseconds=1))
    taker.add(ANNA, {"movements": [movement(f"{9 - n}", n) for n in range(3)]}, "early", NOON)
    assert [eur for eur, _ in known(store)] == [0, 1, 2, 3, 4]


def test_a_table_that_one_of_two_declarations_lacks_is_taken(store):
    other = Portfolio.model_validate({**DECLARATION, "events": {}, "features": {}} | {"reasons": {}})
    assert intake(store, other, LOANS).add(ANNA, {"movements": [movement("a", 1)]}, "key", NOON).stored == 1
    assert known(store) == [(1, NOON)]


@pytest.mark.parametrize("microsecond", [0, 500_000, 26_490, 7, 123_000])
def test_a_moment_is_told_as_files_tell_it(microsecond):
    moment = DAY.replace(microsecond=microsecond)
    frame = dates_as_text(pl.DataFrame({"at": [moment]}))
    assert date_as_text(moment) == frame["at"].item()
