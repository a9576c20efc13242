from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from databases import empty_database
from sqlalchemy import func, select, text

from credit_scoring.adapters.database.engine import opened, writing
from credit_scoring.adapters.database.idempotency import IdempotencyRepository
from credit_scoring.adapters.database.schema import idempotency_keys
from credit_scoring.adapters.memory_idempotency import InMemoryIdempotencyBook
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.idempotency import TAKEN_OVER_AFTER, Claim, KeptAnswer, RequestKey
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import KEY_LIFETIME
from credit_scoring.ports import IdempotencyBook

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY = RequestKey(Owner("lender", "cards"), "/v1/outcomes", "key-1")
MOMENT = timedelta(microseconds=1)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def book(request: pytest.FixtureRequest) -> Iterator[IdempotencyBook]:
    if request.param == "memory":
        yield InMemoryIdempotencyBook()
        return
    with empty_database(request.param, request) as url, opened(url) as engine:
        yield IdempotencyRepository(engine)


def claim(book: IdempotencyBook, claim_id: str = "a", body: str = "body", at: datetime = NOON) -> Claim:
    return book.claim(KEY, body, claim_id, at)


def test_a_key_is_claimed_once_and_in_progress_for_others(book):
    assert claim(book, "a") == Claim("new")
    assert claim(book, "b") == Claim("in_progress")


@pytest.mark.parametrize("body", [b"", b"{}", b"z", b'{"a": "\xc3\xa4"}' * 1000, bytes(range(256)) * 40])
def test_an_answer_is_kept_to_the_byte(book, body):
    claim(book)
    book.answer(KEY, "a", KeptAnswer(201, body))
    assert claim(book, "b") == Claim("answered", KeptAnswer(201, body))


def test_another_body_is_refused_before_and_after_the_answer(book):
    claim(book)
    assert claim(book, "b", "other") == Claim("other_body")
    book.answer(KEY, "a", KeptAnswer(200, b"{}"))
    assert claim(book, "b", "other") == Claim("other_body")


@pytest.mark.parametrize(
    "other",
    [
        KEY._replace(owner=Owner("another", "cards")),
        KEY._replace(owner=Owner("lender", "loans")),
        KEY._replace(route="/v1/promotions"),
        KEY._replace(key="key-2"),
    ],
)
def test_a_key_is_its_lenders_and_its_routes_own(book, other):
    claim(book)
    book.answer(KEY, "a", KeptAnswer(200, b"{}"))
    assert book.claim(other, "body", "b", NOON) == Claim("new")


def test_a_released_key_leaves_nothing_behind(book):
    claim(book)
    book.release(KEY, "a")
    assert claim(book, "b", "other") == Claim("new")


def test_only_the_holder_answers_and_releases(book):
    claim(book)
    book.release(KEY, "b")
    book.answer(KEY, "b", KeptAnswer(200, b"b"))
    assert claim(book, "c") == Claim("in_progress")


def test_an_answer_stays_whoever_answers_or_releases_afterwards(book):
    claim(book)
    book.answer(KEY, "a", KeptAnswer(200, b"first"))
    book.answer(KEY, "a", KeptAnswer(200, b"second"))
    book.release(KEY, "a")
    assert claim(book, "b") == Claim("answered", KeptAnswer(200, b"first"))


def test_a_claim_whose_process_died_is_taken_over_and_no_longer_its_own(book):
    claim(book, "dead")
    assert claim(book, "b", at=NOON + TAKEN_OVER_AFTER - MOMENT) == Claim("in_progress")
    assert claim(book, "b", "other", at=NOON + TAKEN_OVER_AFTER) == Claim("other_body")
    assert claim(book, "b", at=NOON + TAKEN_OVER_AFTER) == Claim("new")
    book.answer(KEY, "dead", KeptAnswer(200, b"dead"))
    book.release(KEY, "dead")
    assert claim(book, "c", at=NOON + TAKEN_OVER_AFTER) == Claim("in_progress")
    book.answer(KEY, "b", KeptAnswer(200, b"alive"))
    assert claim(book, "c", at=NOON + TAKEN_OVER_AFTER) == Claim("answered", KeptAnswer(200, b"alive"))


def test_an_answer_is_kept_thirty_days_and_then_the_key_is_new(book):
    claim(book)
    book.answer(KEY, "a", KeptAnswer(200, b"{}"))
    assert claim(book, "b", at=NOON + KEY_LIFETIME - MOMENT).state == "answered"
    assert claim(book, "b", "other", at=NOON + KEY_LIFETIME) == Claim("new")
    assert claim(book, "c", "other", at=NOON + KEY_LIFETIME) == Claim("in_progress")


def test_of_many_at_once_exactly_one_claims(book):
    together = Barrier(8)

    def one(number: int) -> str:
        together.wait()
        return claim(book, str(number)).state

    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            states = list(pool.map(one, range(8)))
            assert sorted(states) == ["in_progress"] * 7 + ["new"]
            book.release(KEY, str(states.index("new")))


def test_of_many_at_once_exactly_one_takes_over(book):
    claim(book, "dead")
    together = Barrier(8)

    def one(number: int) -> str:
        together.wait()
        return claim(book, str(number), at=NOON + TAKEN_OVER_AFTER).state

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(8))) == ["in_progress"] * 7 + ["new"]


def test_claims_that_are_released_at_once_find_out_in_the_end(book):
    def one(number: int) -> str:
        state = claim(book, str(number)).state
        book.release(KEY, str(number))
        return state

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(100))) <= {"new", "in_progress"}
    assert claim(book, "last") == Claim("new")


def test_old_keys_are_removed_in_passing_some_at_a_time(database_url):
    with opened(database_url) as engine:
        book = IdempotencyRepository(engine)
        for number in range(120):
            book.claim(KEY._replace(key=f"old-{number}"), "body", "a", NOON)

        def left() -> int:
            with engine.begin() as connection:
                return connection.scalar(select(func.count()).select_from(idempotency_keys)) or 0

        counts = []
        for number in range(4):
            book.claim(KEY._replace(key=f"new-{number}"), "body", "a", NOON + KEY_LIFETIME)
            counts.append(left())
        assert counts == [71, 22, 3, 4]


def test_a_large_answer_takes_little_room(database_url):
    with opened(database_url) as engine:
        book = IdempotencyRepository(engine)
        book.claim(KEY, "body", "a", NOON)
        body = b'{"decision_id": "0123", "points": 512, "band": "B"}' * 10_000
        book.answer(KEY, "a", KeptAnswer(200, body))
        with engine.begin() as connection:
            kept = connection.scalar(select(idempotency_keys.c.answer))
        assert len(kept) < len(body) / 50
        assert book.claim(KEY, "body", "b", NOON).answer == KeptAnswer(200, body)


def test_a_database_that_fails_is_told(database_url):
    with opened(database_url) as engine:
        book = IdempotencyRepository(engine)
        with writing(engine).begin() as connection:
            connection.execute(text("DROP TABLE idempotency_keys"))
        for ask in (
            lambda: claim(book),
            lambda: book.answer(KEY, "a", KeptAnswer(200, b"")),
            lambda: book.release(KEY, "a"),
        ):
            with pytest.raises(RecordsError):
                ask()
