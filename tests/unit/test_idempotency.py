from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.adapters.memory_idempotency import InMemoryIdempotencyBook
from credit_scoring.core.errors import IdempotencyKeyReusedError, RequestInProgressError
from credit_scoring.core.idempotency import TAKEN_OVER_AFTER, KeptAnswer, RequestKey
from credit_scoring.core.owners import Owner
from credit_scoring.usecases.idempotency import OpenClaim, RepeatedRequests, content_digest

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = RequestKey(Owner("lender", "cards"), "/v1/outcomes", "key-1")
ANSWER = KeptAnswer(201, b"{}")
CONTENTS = st.dictionaries(
    st.text(), st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(), st.lists), max_size=5
)


class Surroundings:
    """Keys in memory, and a clock that is set."""

    def __init__(self) -> None:
        ids = count(1)
        self.now = NOON
        self.requests = RepeatedRequests(InMemoryIdempotencyBook(), lambda: self.now, lambda: f"claim-{next(ids)}")

    def begin(self, **content: object) -> OpenClaim | KeptAnswer:
        return self.requests.begin(KEY, content)

    def claimed(self, **content: object) -> OpenClaim:
        begun = self.begin(**content)
        assert isinstance(begun, OpenClaim)
        return begun


@pytest.fixture
def around() -> Surroundings:
    return Surroundings()


def test_what_was_answered_is_answered_again_whatever_the_order(around):
    around.claimed(a=1, b=2).keep(ANSWER)
    assert around.begin(b=2, a=1) == ANSWER


def test_what_is_being_done_is_waited_for(around):
    around.claimed(a=1)
    with pytest.raises(RequestInProgressError):
        around.begin(a=1)


def test_other_content_is_refused(around):
    around.claimed(a=1).keep(ANSWER)
    with pytest.raises(IdempotencyKeyReusedError):
        around.begin(a=2)


def test_a_released_key_is_new_for_any_content(around):
    around.claimed(a=1).release()
    around.claimed(a=2)


def test_a_claim_of_the_dead_is_taken_over_and_its_late_answer_is_nobodys(around):
    dead = around.claimed(a=1)
    around.now += TAKEN_OVER_AFTER
    alive = around.claimed(a=1)
    dead.keep(KeptAnswer(200, b"late"))
    dead.release()
    alive.keep(ANSWER)
    assert around.begin(a=1) == ANSWER


def test_an_answer_outlives_the_time_of_a_claim(around):
    around.claimed(a=1).keep(ANSWER)
    around.now += timedelta(days=29)
    assert around.begin(a=1) == ANSWER


@given(CONTENTS, CONTENTS)
def test_contents_have_one_digest_when_they_are_one(one, other):
    def told(content: object) -> str:
        return repr(sorted(content.items())) if isinstance(content, dict) else repr(content)

    assert content_digest(one) == content_digest(dict(reversed(one.items())))
    assert (content_digest(one) == content_digest(other)) == (told(one) == told(other))


@pytest.mark.parametrize("value", [2**70, -(2**64), [[[2**65]]]])
def test_integers_of_any_size_have_a_digest(value):
    assert content_digest({"a": value, "b": 1}) == content_digest({"b": 1, "a": value})
    assert content_digest({"a": value}) != content_digest({"a": 1})
