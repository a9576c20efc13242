"""Pushed events read back as tables, beside those of files: what batch reads is what decisions read."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from databases import migrate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loans import DECLARATION
from sqlalchemy import Engine, create_engine, inspect, text
from tenants import facts_of, owned

from credit_scoring.adapters.database import pushed_tables as reading
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.database.pushed_applicants import PushedApplicantRepository
from credit_scoring.adapters.database.pushed_tables import pushed_tables
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.parsing import MOMENT
from credit_scoring.core.portfolio import EventsTable, Portfolio
from credit_scoring.core.pushed import Message, PushedEvent
from credit_scoring.core.pushed_tables import pushed_schema, unfiled, with_pushed
from credit_scoring.usecases.accept_facts import FactsIntake, SentEvent

START = datetime(2020, 5, 1, tzinfo=UTC)
APPLICANTS = ("a", "b", "c")


def loans(*, with_id: bool = True, **columns: Any) -> Portfolio:
    declaration = copy.deepcopy(DECLARATION)
    declaration["events"]["movements"]["columns"] |= columns
    if not with_id:
        del declaration["events"]["movements"]["id"]
    return Portfolio.model_validate(declaration)


LOANS = loans()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def event(number: int, applicant: str = "a", day: int = 0, **told: Any) -> PushedEvent:
    """An event that was pushed as the ``number``-th, of its own id unless ``told`` otherwise."""
    message = Message(told.get("source", "s"), f"{10**12}-{number}", START, "movements", f'{{"n": {number}}}')
    moment = START + timedelta(days=day)
    values = told.get("values", {"eur": float(number), "kind": "in"})
    return PushedEvent(message, told.get("id", f"p{number}"), applicant, moment, told.get("known_at", moment), values)


def read(url: str, portfolio: Portfolio = LOANS, name: str = "loans") -> dict[str, pl.DataFrame]:
    return {table: rows.collect() for table, rows in pushed_tables(url, owned(name), portfolio.events).items()}


def test_pushed_events_are_typed_and_in_order_of_receipt(engine, database_url):
    late = START + timedelta(days=9, microseconds=5)
    inbox = PushedEventRepository(engine)
    inbox.take(owned("loans"), [event(10, known_at=late), event(3, "b", 5)], [])
    inbox.take(owned("loans"), [event(2, id="x")], [])
    inbox.take(owned("others"), [event(1)], [])
    inbox.take(Owner("other lender", "loans"), [event(1)], [])
    assert inbox.take(owned("loans"), [event(2, id="y", source="S"), event(2, id="z", source="r")], []).stored == 2
    found = read(database_url)
    assert found.keys() == {"movements"}
    rows = found["movements"]
    assert rows.schema == pushed_schema(LOANS.events["movements"])
    assert rows.columns == ["applicant_id", "occurred_at", "known_at", "event_id", "eur", "kind"]
    assert rows["event_id"].to_list() == ["y", "z", "x", "p3", "p10"]
    assert rows.row(4) == ("a", START, late, "p10", 10.0, "in")
    assert rows["occurred_at"].dtype == rows["known_at"].dtype == MOMENT


@pytest.mark.parametrize("rows_at_once", [1, 2, 7])
def test_they_are_read_a_batch_at_a_time(engine, database_url, rows_at_once, monkeypatch):
    PushedEventRepository(engine).take(owned("loans"), [event(number) for number in range(7)], [])
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", rows_at_once)
    lazy = pushed_tables(database_url, owned("loans"), LOANS.events)["movements"]
    assert lazy.collect()["eur"].to_list() == list(range(7))
    assert lazy.head(3).select("eur").collect()["eur"].to_list() == [0, 1, 2]
    assert lazy.filter(pl.col("eur") > 4).select("event_id").collect()["event_id"].to_list() == ["p5", "p6"]


def test_what_no_longer_fits_the_declaration_is_missing(engine, database_url):
    values = {"eur": 2.5, "kind": "in", "gone": 1, "due": "2020-05-02T01:00:00+00:00", "sex": "f"}
    other = {"eur": "much", "kind": 3, "due": "soon", "sex": "f"}
    PushedEventRepository(engine).take(
        owned("loans"), [event(1, values=values, known_at=None), event(2, values=other, known_at=None)], []
    )
    sex = {"type": "category", "values": ["f", "m"], "protected": True}
    portfolio = loans(due={"type": "date"}, sex=sex, new={"type": "integer"})
    first, second = read(database_url, portfolio)["movements"].rows(named=True)
    assert first["known_at"] == START
    due = datetime(2020, 5, 2, 1, tzinfo=UTC)
    assert [first[name] for name in ("eur", "kind", "due", "sex", "new")] == [2.5, "in", due, None, None]
    assert [second[name] for name in ("eur", "kind", "due", "sex", "new")] == [None] * 5
    counted = loans(eur={"source": "amount", "type": "integer"})
    assert read(database_url, counted)["movements"]["eur"].to_list() == [None, None]


def test_a_database_that_was_never_migrated_holds_no_events_and_stays_as_it_is(database_url):
    assert pushed_tables(database_url, owned("loans"), LOANS.events) == {}
    if database_url.startswith("sqlite"):
        path = Path(database_url.removeprefix("sqlite:///"))
        assert not path.exists()
        path.touch()
        assert pushed_tables(database_url, owned("loans"), LOANS.events) == {}
        assert path.read_bytes() == b""
        assert [found.name for found in path.parent.iterdir()] == [path.name]
    else:
        engine = create_engine(database_url)
        assert inspect(engine).get_table_names() == []
        engine.dispose()


def test_a_database_that_an_earlier_version_left_is_migrated(database_url):
    engine = create_engine(database_url)
    with engine.begin() as connection:
        migrate(connection, "0002")
        at = "2020-05-01 00:00:00" + (".000000" if engine.dialect.name == "sqlite" else "+00")
        row = f"'loans', 'movements', 'e1', 'a', '{at}', '{at}', '{{\"eur\": 7}}', 's', '1-0', 1, 0, '{at}'"
        names = "portfolio, event_table, event_id, applicant_id, occurred_at, known_at, facts, source, message_id"
        columns = f"{names}, sent_ms, sent_number, received_at"
        connection.execute(text(f"INSERT INTO pushed_events ({columns}) VALUES ({row})"))  # noqa: S608 - our own words
    engine.dispose()
    assert read(database_url)["movements"]["eur"].to_list() == [7]
    other = Owner("other lender", "loans")
    assert pushed_tables(database_url, other, LOANS.events) == {}


def test_a_database_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "credit.db").write_bytes(b"nothing that SQLite could read, and long enough to be a header" * 9)
    with pytest.raises(RecordsError, match="reading pushed events"):
        pushed_tables(f"sqlite:///{tmp_path}/credit.db", owned("loans"), LOANS.events)


NAMES = count()
SENT, MILLISECOND = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC), timedelta(milliseconds=1)  # 10**12 ms
ids = st.integers(0, 12)
rows = st.tuples(st.sampled_from(APPLICANTS), st.integers(0, 3), ids)
filed = st.lists(rows, max_size=8, unique_by=lambda row: row[2])
received = st.lists(st.tuples(rows, st.integers(0, 4), st.sampled_from(["r", "s", "api"])), max_size=12)


def frame(events: list[tuple[str, int, int]], declared: EventsTable) -> pl.DataFrame:
    """Events of a file: applicant, day, id; each row's amount tells it from all others."""
    moments = [START + timedelta(days=day) for _, day, _ in events]
    told = {
        "applicant_id": [applicant for applicant, *_ in events],
        "occurred_at": moments,
        "known_at": moments,
        "event_number": range(len(events)),
        "event_id": [f"e{number}" for *_, number in events],
        "eur": [float(place) for place in range(len(events))],
        "kind": ["out"] * len(events),
    }
    schema = {**pushed_schema(declared), "event_number": pl.Int32()}
    built = pl.DataFrame(told, schema={name: schema[name] for name in told})
    return built if declared.id else built.drop("event_id")


def deliver(
    engine: Engine, portfolio: Portfolio, owner: Owner, place: int, came: tuple[tuple[str, int, int], int, str]
) -> None:
    """Have the ``place``-th event come on a stream, as its message ``sent``, or by the API in that millisecond.

    Without a declared id, an event is named by its message or request, and never by what a file could hold.
    """
    (applicant, day, number), sent, source = came
    inbox, values = PushedEventRepository(engine), {"eur": 100.0 + place, "kind": "in"}
    declared_id = f"e{number}" if portfolio.events["movements"].id else None
    if source == "api":
        rows = [SentEvent(START + timedelta(days=day), values, START + timedelta(days=day), declared_id)]
        taker = FactsIntake([portfolio], PushedApplicantRepository(engine), inbox)
        taker.add(
            Applicant(owner, applicant), {"movements": rows}, f"request {place}", SENT + MILLISECOND * (sent // 3)
        )
    else:
        pushed = event(sent, applicant, day, id=declared_id or f"{source}/{place}", source=source, values=values)
        inbox.take(owner, [pushed], [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(filed=filed, received=received, with_id=st.booleans())
def test_batch_holds_for_everybody_what_decisions_read_in_the_same_order(
    engine, database_url, filed, received, with_id
):
    """``received``: the event, the number of its message and the stream; events of one moment tie all the time."""
    name, portfolio = f"p{next(NAMES)}", loans(with_id=with_id)
    files = {"movements": frame(filed, portfolio.events["movements"])}
    store = FactsRepository(engine)
    for place, came in enumerate(received):
        deliver(engine, portfolio, owned(name), place, came)
    store.replace_all(owned(name), "hash", pl.DataFrame({"applicant_id": APPLICANTS}), files)
    lazy = {table: rows.lazy() for table, rows in files.items()}
    new = unfiled(pushed_tables(database_url, owned(name), portfolio.events), lazy, portfolio)
    batch = with_pushed(lazy, new)["movements"].collect()
    assert batch.drop("pushed").schema == files["movements"].schema
    assert batch["event_number"].to_list() == list(range(batch.height))
    assert batch.filter(~pl.col("pushed")).drop("pushed").equals(files["movements"])
    if with_id:
        assert batch["event_id"].is_unique().all()
    for applicant in APPLICANTS:
        mine = batch.filter(applicant_id=applicant).sort("occurred_at", "event_number")
        online = facts_of(store, owned(name), applicant).events.get("movements", [])
        assert [(one.occurred_at, one.known_at, one.values["eur"], one.values["kind"]) for one in online] == list(
            mine.select("occurred_at", "known_at", "eur", "kind").iter_rows()
        )
