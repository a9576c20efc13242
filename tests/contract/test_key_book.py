from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from databases import empty_database
from sqlalchemy import text

from credit_scoring.adapters.database.engine import opened, writing
from credit_scoring.adapters.database.keys import KeyRepository
from credit_scoring.adapters.memory_keys import InMemoryKeyBook
from credit_scoring.core.api_keys import ApiKey, key_holder, new_key
from credit_scoring.core.callers import SCOPES
from credit_scoring.core.errors import RecordsError
from credit_scoring.ports import KeyBook

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def book(request: pytest.FixtureRequest) -> Iterator[KeyBook]:
    if request.param == "memory":
        yield InMemoryKeyBook()
        return
    with empty_database(request.param, request) as url, opened(url) as engine:
        yield KeyRepository(engine)


def a_key(number: int, **given: Any) -> ApiKey:
    holder = key_holder("Origination", "Länder & Söhne", "ana@example.com", SCOPES)
    return new_key(holder, NOON + timedelta(hours=number), lambda size: bytes([number]) * size, **given).key


def test_a_key_is_read_as_it_was_added(book):
    keys = [a_key(1), a_key(2, expires_at=NOON + timedelta(days=90)), a_key(3, development=True)]
    for key in keys:
        book.add(key)
    assert [book.get(key.key_id) for key in keys] == keys


def test_there_is_no_key_of_an_unknown_id(book):
    book.add(a_key(1))
    assert book.get(a_key(2).key_id) is None


def test_keys_are_listed_oldest_first(book):
    for number in (3, 1, 2):
        book.add(a_key(number))
    assert book.listed() == [a_key(1), a_key(2), a_key(3)]


def test_a_key_is_revoked_once_and_for_good(book):
    book.add(a_key(1))
    book.add(a_key(2))
    revoked = book.revoke(a_key(1).key_id, NOON)
    assert revoked.revoked_at == NOON
    assert book.revoke(a_key(1).key_id, NOON + timedelta(days=1)) == revoked
    assert book.get(a_key(1).key_id) == revoked
    assert book.get(a_key(2).key_id) == a_key(2)


def test_a_key_that_does_not_exist_cannot_be_revoked(book):
    assert book.revoke("0123456789abcdef", NOON) is None


def test_an_id_is_taken_once(book):
    book.add(a_key(1))
    with pytest.raises(RecordsError):
        book.add(a_key(1))


def test_a_database_that_fails_is_told_without_the_digest(database_url):
    with opened(database_url) as engine:
        book = KeyRepository(engine)
        with writing(engine).begin() as connection:
            connection.execute(text("DROP TABLE api_keys"))
        for ask in (book.listed, lambda: book.get("a"), lambda: book.add(a_key(1)), lambda: book.revoke("a", NOON)):
            with pytest.raises(RecordsError) as told:
                ask()
            assert a_key(1).secret_digest not in str(told.value)
