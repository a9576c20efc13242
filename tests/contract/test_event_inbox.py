from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from databases import KINDS, empty_database
from sqlalchemy import Engine, select
from tenants import facts_of, owned

from credit_scoring.adapters.database import schema
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.facts import Facts
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.parsing import MOMENT
from credit_scoring.core.pushed import Added, Message, PushedEvent, SetAside, Taken
from credit_scoring.ports import EventInbox, FactsStore

P, Q, OTHER = owned("p"), owned("q"), Owner("other lender", "p")
MAY = datetime(2020, 5, 1, tzinfo=UTC)
NOW = datetime(2020, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
APPLICANTS = pl.DataFrame({"applicant_id": ["a"], "income": [5]})


@dataclass(frozen=True)
class Stores:
    facts: FactsStore
    inbox: EventInbox

    def paid(self, applicant_id: str = "a") -> list[Any]:
        """What is known of the payments, from the oldest to the newest."""
        found = facts_of(self.facts, P, applicant_id)
        return [event.values["paid"] for event in found.events.get("payments", [])] if found else []


@pytest.fixture(params=["memory", *KINDS])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        both = InMemoryFactsStore({Applicant(P, "a"): Facts({"income": 5})})
        yield Stores(both, both)
        return
    with empty_database(request.param, request) as url:
        engine = open_database(url)
        facts = FactsRepository(engine)
        facts.replace_all(P, "hash", APPLICANTS, {})
        yield Stores(facts, PushedEventRepository(engine))
        engine.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def message(number: int, received: str = "{}", source: str = "s") -> Message:
    return Message(source, f"1600000000000-{number}", NOW, "payments", received)


def pushed(number: int, paid: float, event_id: str | None = None, **overrides: Any) -> PushedEvent:
    came = message(number, f'{{"paid": {paid}}}')
    event = PushedEvent(came, event_id or f"e{number}", "a", MAY, None, {"paid": paid})
    return replace(event, **overrides)


def broken(number: int, received: str = '{"paid": "x"}', event_id: str | None = None) -> SetAside:
    came = message(number, received)
    return SetAside(came, event_id or came.name, "paid", "type", "paid must be of type number")


def test_a_pushed_event_is_known_of_its_applicant(stores):
    event = pushed(1, 2.5, known_at=NOW)
    assert stores.inbox.take(P, [event], []) == Taken(stored=1)
    found = facts_of(stores.facts, P, "a").events["payments"][0]
    assert (found.occurred_at, found.known_at, found.values) == (MAY, NOW, {"paid": 2.5})
    assert facts_of(stores.facts, Q, "a") is None


def test_an_event_is_stored_once_however_often_it_comes(stores):
    twice = [pushed(1, 1, "e"), pushed(2, 1, "e")]
    assert stores.inbox.take(P, twice, []) == Taken(stored=1, copies=1)
    assert stores.inbox.take(P, [pushed(3, 1, "e", known_at=NOW)], []) == Taken(copies=1)
    assert stores.paid() == [1]
    assert list(stores.inbox.set_aside(P)) == []


def test_the_same_id_in_another_table_or_portfolio_is_another_event(stores):
    event = pushed(1, 1)
    loan = replace(event, message=replace(event.message, table="loans"))
    assert stores.inbox.take(P, [event, loan], []) == Taken(stored=2)
    assert stores.inbox.take(Q, [event], []) == Taken(stored=1)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("other", [{"values": {"paid": 2.0}}, {"applicant_id": "b"}, {"occurred_at": NOW}])
def test_an_event_that_contradicts_its_id_is_set_aside_and_the_first_stays(stores, other, together):
    first = pushed(1, 1, "e")
    second = replace(pushed(2, 1, "e"), **other, message=message(2, '{"other": 1}'))
    if together:
        assert stores.inbox.take(P, [first, second], []) == Taken(stored=1, set_aside=1)
    else:
        stores.inbox.take(P, [first], [])
        assert stores.inbox.take(P, [second], []) == Taken(set_aside=1)
    assert stores.inbox.take(P, [second], []) == Taken(copies=1)
    assert stores.paid() == [1]
    [found] = stores.inbox.set_aside(P)
    assert (found.rule, found.event_id, found.message) == ("unique", "e", second.message)


def test_events_of_one_moment_are_ordered_by_receipt_in_the_stream(stores):
    stores.inbox.take(P, [pushed(3, 3)], [])
    stores.inbox.take(P, [pushed(10, 10), pushed(2, 2)], [])
    stores.inbox.take(P, [pushed(1, 1, occurred_at=MAY + timedelta(days=1))], [])
    assert stores.paid() == [2, 3, 10, 1]


def test_a_set_aside_message_is_kept_as_it_came_and_once(stores):
    first, second = broken(1), broken(2)
    assert stores.inbox.take(P, [], [second, first, first]) == Taken(set_aside=2, copies=1)
    assert stores.inbox.take(P, [], [first]) == Taken(copies=1)
    assert list(stores.inbox.set_aside(P)) == [first, second]


def test_the_same_event_sent_again_is_set_aside_once_and_another_version_too(stores):
    versions = [broken(1, "1", "e"), broken(2, "1", "e"), broken(3, "2", "e")]
    assert stores.inbox.take(P, [], versions) == Taken(set_aside=2, copies=1)


def test_what_is_set_aside_can_be_asked_by_table(stores):
    loan = replace(broken(1), message=replace(message(1), table="loans"))
    stores.inbox.take(P, [], [broken(2), loan])
    assert list(stores.inbox.set_aside(P, table="loans")) == [loan]
    assert list(stores.inbox.set_aside(P)) == [loan, broken(2)]
    assert list(stores.inbox.set_aside(Q)) == []


def test_a_readmitted_message_is_stored_and_no_longer_set_aside(stores):
    mended, other = broken(1), broken(2)
    stores.inbox.take(P, [pushed(3, 3)], [mended, other])
    told = stores.inbox.readmit(P, [(mended, pushed(1, 7))])
    assert (told.stored, told.copies, told.refused) == (1, 0, ())
    assert list(stores.inbox.set_aside(P)) == [other]
    assert stores.paid() == [7, 3]
    assert stores.inbox.take(P, [], [mended]) == Taken(copies=1)
    assert list(stores.inbox.set_aside(P)) == [other]


def test_a_message_whose_event_came_meanwhile_is_readmitted_as_a_copy_and_never_against_another(stores):
    copy, contradicting = broken(1, event_id="e1"), broken(2, event_id="e2")
    stores.inbox.take(P, [pushed(3, 1, "e1"), pushed(4, 1, "e2")], [copy, contradicting])
    told = stores.inbox.readmit(P, [(copy, pushed(1, 1, "e1")), (contradicting, pushed(2, 9, "e2"))])
    assert (told.stored, told.copies) == (0, 1)
    assert [found.rule for found in told.refused] == ["unique"]
    assert list(stores.inbox.set_aside(P)) == [contradicting]
    assert stores.paid() == [1, 1]


def filed(*events: tuple[str, float], day: datetime = MAY) -> dict[str, pl.DataFrame]:
    """Payments of one file: event ids and amounts."""
    frame = pl.DataFrame(
        {
            "applicant_id": ["a"] * len(events),
            "occurred_at": [day] * len(events),
            "event_number": list(range(len(events))),
            "event_id": [name for name, _ in events],
            "paid": [paid for _, paid in events],
        },
        schema_overrides={"applicant_id": pl.String, "occurred_at": MOMENT, "event_id": pl.String, "paid": pl.Float64},
    )
    return {"payments": frame}


def test_a_load_neither_deletes_nor_doubles_what_was_pushed(engine):
    stores = Stores(facts := FactsRepository(engine), PushedEventRepository(engine))
    stores.inbox.take(P, [pushed(1, 1, "e1"), pushed(2, 2, "e2")], [])
    assert stores.paid() == []
    facts.replace_all(P, "1", APPLICANTS, {})
    assert stores.paid() == [1, 2]
    facts.replace_all(P, "2", APPLICANTS, filed(("e0", 0), ("e2", 2)))
    assert stores.paid() == [0, 2, 1]
    assert [event.event_number for event in facts_of(facts, P, "a").events["payments"]] == [0, 1, 2]
    facts.replace_all(P, "3", APPLICANTS, filed(("e2", 5)))
    assert stores.paid() == [5, 1]
    facts.replace_all(P, "4", APPLICANTS, {})
    assert stores.paid() == [1, 2]


def test_an_event_that_a_file_brought_first_counts_once_and_may_not_be_contradicted(engine):
    stores = Stores(facts := FactsRepository(engine), PushedEventRepository(engine))
    facts.replace_all(P, "1", APPLICANTS, filed(("e1", 1), ("e2", 2)))
    same, other = pushed(1, 1, "e1"), pushed(2, 9, "e2")
    assert stores.inbox.take(P, [same, other], []) == Taken(stored=1, set_aside=1)
    assert stores.paid() == [1, 2]
    facts.replace_all(P, "2", APPLICANTS, {})
    assert stores.paid() == [1]


def test_writers_at_the_same_time_store_each_event_once(engine):
    inbox = PushedEventRepository(engine)
    events = [pushed(number, number) for number in range(300)]
    refused = [broken(number) for number in range(100)]

    def push(writer: int) -> Taken:
        shift = writer * 37
        turned = events[shift:] + events[:shift]
        parts = [inbox.take(P, turned[i : i + 60], refused[i // 3 : i // 3 + 20]) for i in range(0, 300, 60)]
        return sum(parts, Taken())

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(push, range(8)))
    assert sum(told, Taken()) == Taken(stored=300, copies=7 * 400, set_aside=100)


def test_a_readmission_stays_on_the_audit_trail(engine):
    inbox = PushedEventRepository(engine, clock=lambda: NOW)
    inbox.take(P, [], [broken(1), broken(2)])
    inbox.readmit(P, [(broken(1), pushed(1, 1))])
    with engine.connect() as connection:
        rows = connection.execute(select(schema.quarantine).order_by("sent_number")).all()
    assert [row.readmitted_at for row in rows] == [NOW, None]
    assert [row.received_at for row in rows] == [NOW, NOW]


def revisions(stores: Stores, *applicants: str) -> list[str | None]:
    return stores.facts.revisions([Applicant(P, one) for one in applicants or ("a",)])


def test_every_event_that_is_stored_changes_the_revision_and_what_is_not_leaves_it(stores):
    seen = revisions(stores)
    stores.inbox.take(P, [pushed(1, 1, "e")], [])
    seen += revisions(stores)
    stores.inbox.take(P, [pushed(2, 1, "e"), pushed(3, 9, "e")], [broken(4)])
    stores.inbox.take(Q, [pushed(5, 5)], [])
    stores.inbox.take(OTHER, [pushed(5, 5)], [])
    stores.inbox.take(P, [pushed(6, 6, applicant_id="b")], [])
    assert revisions(stores) == [seen[-1]]
    stores.inbox.readmit(P, [(broken(4), pushed(4, 7))])
    seen += revisions(stores)
    stores.inbox.add(P, [pushed(7, 7)])
    seen += revisions(stores)
    assert len(set(seen)) == 4
    assert revisions(stores, "b", "nobody") == [None, None]


def test_what_is_pushed_for_another_tenant_is_never_seen(stores):
    stores.inbox.take(OTHER, [pushed(1, 1, "e")], [broken(2)])
    assert stores.paid() == []
    assert list(stores.inbox.set_aside(P)) == []
    assert stores.inbox.take(P, [pushed(3, 3, "e")], [broken(2)]) == Taken(stored=1, set_aside=1)
    stores.inbox.readmit(OTHER, [(broken(2), pushed(2, 2))])
    assert list(stores.inbox.set_aside(P)) == [broken(2)]
    assert list(stores.inbox.set_aside(OTHER)) == []
    assert stores.paid() == [3]


def test_added_events_are_stored_once_and_all_or_none(stores):
    assert stores.inbox.add(P, [pushed(1, 1, "e"), pushed(2, 2)]) == Added(stored=2)
    assert stores.inbox.add(P, [pushed(3, 1, "e"), pushed(4, 4)]) == Added(stored=1, copies=1)
    before = revisions(stores)
    contradicting = pushed(6, 9, "e")
    assert stores.inbox.add(P, [pushed(5, 5), contradicting]) == Added(refused=(contradicting,))
    assert (stores.paid(), revisions(stores)) == ([1, 2, 4], before)
    assert list(stores.inbox.set_aside(P)) == []
    assert stores.inbox.add(P, [pushed(5, 5)]) == Added(stored=1)


def test_writers_for_the_same_applicants_in_any_order_never_wait_for_each_other(engine):
    inbox, facts = PushedEventRepository(engine), FactsRepository(engine)
    names = [f"a{number}" for number in range(20)]
    facts.replace_all(P, "hash", pl.DataFrame({"applicant_id": names}), {})

    def push(writer: int) -> None:
        for number in range(10):
            turned = names[writer:] + names[:writer]
            some = [pushed(n, n, f"{writer}/{number}/{n}", applicant_id=one) for n, one in enumerate(turned)]
            inbox.take(P, some if writer % 2 else some[::-1], [])

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(push, range(6))) == [None] * 6
    assert set(facts.revisions([Applicant(P, one) for one in names])) == {"hash.60"}
