"""What every decision runs goes past the pool: the connections it keeps must fail and recover like the pool's."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from threading import Barrier
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from databases import empty_database
from sqlalchemy import Engine, bindparam, event, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from credit_scoring.adapters.database import direct as module
from credit_scoring.adapters.database.direct import MOST_IDLE, Direct, Prepared, PreparedInsert, Step
from credit_scoring.adapters.database.engine import direct, existing_database, open_database
from credit_scoring.adapters.database.schema import roles
from credit_scoring.core.errors import RecordsError

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def opened(engine: Engine) -> list[Any]:
    """Every connection that is made from now on."""
    made: list[Any] = []
    event.listen(engine, "connect", lambda connection, _record: made.append(connection))
    return made


def row(direct: Direct, sequence: int = 1) -> tuple[Any, ...]:
    return "p", sequence, direct.moment(AT), "test", "{}"


def added(direct: Direct, *sequences: int) -> Step:
    return PreparedInsert(roles, direct.dialect).step([row(direct, sequence) for sequence in sequences])


def sequences(direct: Direct) -> list[int]:
    return [found for (found,) in direct.rows(Step("SELECT sequence FROM roles ORDER BY sequence", ()))]


def is_closed(connection: Any) -> bool:
    try:
        connection.cursor().execute("SELECT 1")
    except (sqlite3.ProgrammingError, psycopg.OperationalError) as exc:
        return "closed" in str(exc)
    return False


def test_what_is_written_is_what_sqlalchemy_reads(engine):
    one = direct(engine)
    one.write([added(one, 1, 2)])
    with engine.connect() as connection:
        read = connection.execute(select(roles.c.portfolio, roles.c.sequence, roles.c.recorded_at)).all()
    assert sorted(tuple(found) for found in read) == [("p", 1, AT), ("p", 2, AT)]


def test_a_question_takes_its_parameters_by_name_each_as_often_as_it_occurs(engine):
    one = direct(engine)
    one.write([added(one, 1, 2, 3)])
    asked = select(roles.c.sequence).where(
        roles.c.sequence != bindparam("number"), roles.c.sequence >= bindparam("number"), roles.c.cause == "test"
    )
    question = Prepared(asked.order_by(roles.c.sequence), engine.dialect)
    assert one.rows(question.step({"number": 1})) == [(2,), (3,)]
    assert one.rows(question.step({"number": 2})) == [(3,)]


def test_one_connection_serves_statement_after_statement_and_everybody_who_asks_for_it(engine, opened):
    for _ in range(3):
        one = direct(engine)
        one.write([added(one, len(sequences(one)) + 1)])
    assert sequences(direct(engine)) == [1, 2, 3]
    assert len(opened) == 1


@pytest.mark.parametrize("steps", [1, 2])
def test_a_step_that_fails_undoes_all_and_leaves_the_connection_usable(engine, opened, steps):
    one = direct(engine)
    one.write([added(one, 1)])
    with pytest.raises(IntegrityError):
        one.write([added(one, 3), added(one, 2, 1)][-steps:])
    assert sequences(one) == [1]
    one.write([added(one, 2), added(one, 3)])
    assert sequences(one) == [1, 2, 3]
    assert len(opened) == 1


def test_a_connection_that_failed_is_given_up_for_a_new_one(engine, opened):
    one = direct(engine)
    with pytest.raises((OperationalError, ProgrammingError)):
        one.write([added(one, 1), Step("INSERT INTO nothing VALUES (1)", ())])
    assert sequences(one) == []
    assert len(opened) == 2
    assert [is_closed(connection) for connection in opened] == [True, False]


def test_a_connection_that_breaks_as_it_is_made_is_told_as_any_failure(engine, monkeypatch):
    gone = engine.dialect.loaded_dbapi.OperationalError("gone")
    monkeypatch.setattr(engine.dialect, "set_isolation_level", Mock(side_effect=gone))
    with pytest.raises(OperationalError, match="gone"):
        sequences(direct(engine))
    monkeypatch.undo()
    assert sequences(direct(engine)) == []


def test_a_connection_that_was_idle_is_asked_before_it_is_trusted(engine, opened, monkeypatch):
    one = direct(engine)
    one.write([added(one, 1)])
    opened[0].close()
    monkeypatch.setattr(module, "TRUSTED_S", 0.0)
    assert sequences(one) == [1]
    assert len(opened) == 2


def test_after_a_server_dropped_it_the_next_but_one_statement_is_answered(request):
    with empty_database("postgres", request) as url:
        engine = open_database(url)
        one = direct(engine)
        [(mine,)] = one.rows(Step("SELECT pg_backend_pid()", ()))
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:mine, 5000)"), {"mine": mine})
        with pytest.raises(OperationalError):
            one.rows(Step("SELECT 1", ()))
        assert one.rows(Step("SELECT 1", ())) == [(1,)]
        engine.dispose()


def test_threads_at_once_have_connections_of_their_own_and_few_are_kept(engine, opened):
    meetings: list[Barrier] = []
    one, threads = direct(engine), MOST_IDLE + 2
    event.listen(engine, "connect", lambda _connection, _record: [meeting.wait(20) for meeting in meetings])
    assert sequences(one) == []  # SQLAlchemy makes its first connection, and only that one, under a lock
    one.close()
    opened.clear()
    meetings.append(Barrier(threads))
    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(lambda _: sequences(one), range(threads))) == [[]] * threads
    assert len(opened) == threads
    assert sum(is_closed(connection) for connection in opened) == threads - MOST_IDLE
    assert sequences(one) == []
    assert len(opened) == threads


def test_disposing_of_the_engine_closes_its_connections_and_it_may_be_used_again(engine, opened):
    one = direct(engine)
    assert sequences(one) == []
    engine.dispose()
    assert is_closed(opened[0])
    assert sequences(one) == []


def test_a_file_that_was_deleted_is_refused_also_by_a_connection_that_is_open(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/credit.db")
    one = direct(engine)
    one.write([added(one, 1)])
    (tmp_path / "credit.db").unlink()
    with pytest.raises(RecordsError, match="is gone"):
        sequences(one)
    with pytest.raises(RecordsError, match="is gone"):
        one.write([added(one, 2)])
    engine.dispose()


def test_the_file_is_asked_to_make_every_write_durable(tmp_path):
    one = direct(open_database(f"sqlite:///{tmp_path}/credit.db"))
    assert one.rows(Step("PRAGMA synchronous", ())) == [(2,)]  # FULL
    assert one.rows(Step("PRAGMA foreign_keys", ())) == [(1,)]


@pytest.mark.parametrize("more", [0, 1])
def test_a_writer_waits_for_another_processs_lock_and_no_longer_than_it_may(tmp_path, more):
    url = f"sqlite:///{tmp_path}/credit.db"
    one = direct(open_database(url, busy_timeout_s=0.2))
    steps = [added(one, 1), added(one, 2)][: 1 + more]
    other = sqlite3.connect(tmp_path / "credit.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        one.write(steps)
    assert sequences(one) == []
    other.execute("COMMIT")
    other.close()
    one.write(steps)
    assert sequences(one) == list(range(1, 2 + more))


def test_a_writer_goes_on_as_soon_as_the_other_process_is_through(tmp_path):
    one = direct(open_database(f"sqlite:///{tmp_path}/credit.db", busy_timeout_s=30))
    assert sequences(one) == []
    other = sqlite3.connect(tmp_path / "credit.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO roles VALUES ('p', 1, '2026-01-01 00:00:00.000000', 'test', '{}')")
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(one.write, [added(one, 2)])
        assert wait([written], timeout=0.3).not_done
        other.execute("COMMIT")
        written.result(20)
    other.close()
    assert sequences(one) == [1, 2]


def test_a_database_that_is_only_read_is_read_directly_too(tmp_path):
    url = f"sqlite:///{tmp_path}/credit.db"
    open_database(url).dispose()
    engine = existing_database(url)
    assert engine is not None
    assert sequences(direct(engine)) == []
    engine.dispose()
