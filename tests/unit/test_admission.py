import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from credit_scoring.adapters.memory_keys import InMemoryKeyBook
from credit_scoring.adapters.rate_limits import RateLimiter, route_limits
from credit_scoring.core.api_keys import ApiKey, NewKey, key_holder, new_key, presented_key
from credit_scoring.core.callers import Accepted, Caller
from credit_scoring.core.errors import (
    ApiKeyError,
    CreditScoringError,
    ForbiddenError,
    IssuerUnavailableError,
    RateLimitedError,
    RecordsError,
    UnauthenticatedError,
)
from credit_scoring.serving.admission import Guard
from credit_scoring.usecases.admission import REMEMBERED_S, KeyCheck, RecentChecks

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROUTE = "POST /v1/decisions"
LOOPBACK, ELSEWHERE = ("127.0.0.1", 40000), ("198.51.100.7", 40000)


class CountingBook(InMemoryKeyBook):
    """A book that can be down, waits if it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    def get(self, key_id: str) -> ApiKey | None:
        self.asked += 1
        assert self.may_answer.wait(10)
        if self.is_down:
            raise RecordsError("The database failed.")
        return super().get(key_id)


@dataclass
class Service:
    """A guard on a book of keys, with clocks that are moved by hand."""

    limits: str = "none"
    development: bool = True
    tokens: Callable[[str], Accepted | None] | None = None
    book: CountingBook = field(default_factory=CountingBook)
    passed_s: float = 0.0
    made: int = 0

    def __post_init__(self) -> None:
        check = KeyCheck(self.book, self.now, self.development)
        limiter = RateLimiter(route_limits(self.limits), clock=lambda: self.now().timestamp())
        self.guard = Guard(check, limiter, self.now, tokens=self.tokens, monotonic=lambda: self.passed_s)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.passed_s)

    def key(self, scopes: str = "decide", **given: Any) -> NewKey:
        self.made += 1
        holder = key_holder(f"key {self.made}", "lender", "ana", scopes.split(","))
        made = new_key(holder, NOON, lambda size: bytes([self.made]) * size, **given)
        self.book.add(made.key)
        return made

    def ask(self, *headers: bytes, **given: Any) -> Caller:
        return run(self.admit(request(*headers, **given)))

    async def admit(self, asked: Request, scope: Any = "decide", route: str = ROUTE) -> Caller:
        return await self.guard.admit(asked, scope, route)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def request(*authorization: bytes, client: Any = LOOPBACK, others: list[tuple[bytes, bytes]] | None = None) -> Request:
    headers = [(b"host", b"x"), *((b"authorization", value) for value in authorization), *(others or [])]
    return Request({"type": "http", "headers": headers, "client": client, "state": {}})


def bearer(made: NewKey) -> bytes:
    return f"Bearer {made.text}".encode()


def other_secret(made: NewKey) -> bytes:
    return f"Bearer cs_{made.key.key_id}_{'f' * 64}".encode()


def test_the_holder_of_a_key_passes_and_is_named():
    service = Service()
    made, asked = service.key(), request(bearer(service.key("decide,read")))
    caller = run(service.admit(asked))
    assert caller == Caller("0202020202020202", "lender", "ana", frozenset({"decide", "read"}))
    assert asked.scope["state"]["key_id"] == caller.key_id == asked.state.key_id
    assert service.ask(b"bEARER  " + made.text.encode()).key_id == made.key.key_id


def test_a_key_is_checked_once_for_a_moment_and_then_again():
    service = Service()
    made = service.key()
    for _ in range(5):
        service.ask(bearer(made))
    assert service.book.asked == 1
    service.passed_s = REMEMBERED_S
    service.ask(bearer(made))
    assert service.book.asked == 2


def test_a_revoked_key_is_refused_soon_though_it_is_used_all_the_time():
    service = Service()
    made = service.key()
    service.ask(bearer(made))
    service.book.revoke(made.key.key_id, NOON)
    service.passed_s = 1.9
    service.ask(bearer(made))
    service.passed_s = 2.1
    with pytest.raises(UnauthenticatedError):
        service.ask(bearer(made))


def test_a_slow_database_does_not_stretch_the_time_in_which_a_revoked_key_passes():
    service = Service()
    made = service.key()

    async def slowly() -> None:
        service.book.may_answer.clear()
        asking = asyncio.create_task(service.admit(request(bearer(made))))
        while not service.book.asked:
            await asyncio.sleep(0)
        service.passed_s = REMEMBERED_S
        service.book.may_answer.set()
        await asking

    run(slowly())
    service.book.revoke(made.key.key_id, NOON)
    with pytest.raises(UnauthenticatedError):
        service.ask(bearer(made))


def test_a_key_is_refused_from_the_moment_it_expires_also_if_it_was_just_used():
    service = Service()
    made = service.key(expires_at=NOON + timedelta(seconds=1))
    service.passed_s = 0.9
    service.ask(bearer(made))
    service.passed_s = 1.0
    with pytest.raises(UnauthenticatedError):
        service.ask(bearer(made))


def bad_headers(service: Service) -> dict[str, tuple[bytes, ...]]:
    good, expired, revoked = service.key(), service.key(expires_at=NOON), service.key()
    service.book.revoke(revoked.key.key_id, NOON)
    return {
        "none": (),
        "empty": (b"",),
        "no scheme": (good.text.encode(),),
        "other scheme": (b"Basic " + good.text.encode(),),
        "twice": (bearer(good), bearer(good)),
        "twice, once empty": (b"", bearer(good)),
        "two keys": (bearer(good) + b", " + bearer(good),),
        "no space": (b"Bearer" + good.text.encode(),),
        "tab": (b"Bearer\t" + good.text.encode(),),
        "too long": (b"Bearer " + b"a" * 10_000,),
        "malformed": (bearer(good)[:-1],),
        "upper case": (b"Bearer " + good.text.upper().encode(),),
        "a newline behind it": (bearer(good) + b"\n",),
        "unknown": (b"Bearer cs_0123456789abcdef_" + b"0" * 64,),
        "no digest": (b"Bearer cs_0000000000000000_" + b"0" * 64,),
        "wrong secret": (other_secret(good),),
        "expired": (bearer(expired),),
        "revoked": (bearer(revoked),),
        "a token, where none are taken": (b"Bearer eyJh.eyJh.c2ln",),
        "not ASCII": ("Bearer größe".encode(),),
    }


@pytest.mark.parametrize("wrong", bad_headers(Service()))
def test_whatever_is_wrong_with_a_key_costs_one_look_up_and_gets_the_same_answer(wrong):
    service = Service()
    headers = bad_headers(service)[wrong]
    asked = request(*headers)
    with pytest.raises(UnauthenticatedError) as told:
        run(service.admit(asked))
    assert service.book.asked == 1
    assert str(told.value) == str(UnauthenticatedError())
    assert "key_id" not in asked.scope["state"]
    with pytest.raises(UnauthenticatedError):
        service.ask(*headers)
    assert service.book.asked == 1


@given(headers=st.lists(st.binary(max_size=200) | st.from_regex(rb"(?i:bearer) .{0,100}"), max_size=3))
def test_nothing_that_strangers_send_gets_another_answer_than_unauthenticated(headers):
    with pytest.raises(UnauthenticatedError):
        Service(tokens=lambda _token: None).ask(*headers)


@given(text=st.text() | st.from_regex(r"cs_[0-9a-f]{16}_[0-9a-f]{64}") | st.from_regex(r"cs_\w{16}_\w{64}\Z"))
def test_a_text_is_a_key_of_one_id_and_one_secret_or_none(text):
    found = presented_key(text)
    assert found is None or f"cs_{found.key_id}_{found.secret}" == text


def test_a_route_is_closed_to_a_key_without_its_scope():
    service = Service()
    made = service.key("read,outcomes")
    with pytest.raises(ForbiddenError, match="'decide'"):
        service.ask(bearer(made))
    assert run(service.admit(request(bearer(made)), "read")).scopes == {"read", "outcomes"}


def test_while_the_database_is_down_only_a_key_that_was_just_checked_passes():
    service = Service()
    known, new = service.key(), service.key()
    service.ask(bearer(known))
    service.book.is_down = True
    service.passed_s = 1.9
    service.ask(bearer(known))
    for key in (new, known):
        with pytest.raises(RecordsError):
            service.ask(bearer(key))
        service.passed_s = REMEMBERED_S
    with pytest.raises(UnauthenticatedError):
        service.ask(b"Bearer nonsense")
    service.book.is_down = False
    service.ask(bearer(known))


def test_requests_that_come_at_once_share_one_look_up_whoever_gives_up():
    service = Service()
    made = service.key()

    async def at_once() -> list[Any]:
        service.book.may_answer.clear()
        asking = [asyncio.create_task(service.admit(request(bearer(made)))) for _ in range(50)]
        while not service.book.asked:
            await asyncio.sleep(0)
        asking[0].cancel()
        service.book.may_answer.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    first, *others = run(at_once())
    assert isinstance(first, asyncio.CancelledError)
    assert {caller.key_id for caller in others} == {made.key.key_id}
    assert service.book.asked == 1


def test_made_up_keys_neither_grow_the_memory_nor_drive_out_an_accepted_one():
    recent = RecentChecks(most=8)
    accepted = Accepted(Caller("a", "lender", "ana", frozenset()))
    recent.remember(b"good", accepted, 0.0, NOON)
    for number in range(1000):
        recent.remember(b"%d" % number, None, 0.0, NOON)
    assert [number for number in range(1000) if recent.find(b"%d" % number, 1.0)] == list(range(992, 1000))
    assert recent.find(b"good", 1.0).accepted == accepted
    for number in range(8):
        recent.remember(b"good %d" % number, accepted, 0.0, NOON)
    assert recent.find(b"good", 1.0) is None


def test_the_development_key_is_for_clients_on_this_machine():
    service = Service()
    made = service.key(development=True)
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert service.ask(bearer(made), client=(address, 1)).key_id == made.key.key_id
    for client in (ELSEWHERE, ("::2", 1), ("10.0.0.1", 1), ("testclient", 1), ("", 0), None):
        with pytest.raises(UnauthenticatedError):
            service.ask(bearer(made), client=client)
    for header in (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"):
        with pytest.raises(UnauthenticatedError):
            service.ask(bearer(made), others=[(header, b"127.0.0.1")])
    assert service.ask(bearer(made)).person == "ana"


def test_other_keys_come_from_anywhere():
    service = Service()
    made = service.key()
    assert service.ask(bearer(made), client=ELSEWHERE, others=[(b"x-forwarded-for", b"1.2.3.4")]).tenant == "lender"


def test_the_development_key_is_refused_outside_the_embedded_mode():
    service = Service(development=False)
    with pytest.raises(UnauthenticatedError):
        service.ask(bearer(service.key(development=True)))


def test_a_caller_is_told_what_is_left_and_refused_beyond_it():
    service = Service("2/minute")
    made, other = service.key(), service.key()
    service.passed_s = 15.5
    told = []
    for _ in range(2):
        asked = request(bearer(made))
        run(service.admit(asked))
        told.append(asked.scope["state"]["rate_limit_headers"])
    common = {"RateLimit-Limit": "2", "RateLimit-Reset": "45", "RateLimit-Policy": "2;w=60"}
    assert told == [common | {"RateLimit-Remaining": left} for left in ("1", "0")]
    asked = request(bearer(made))
    with pytest.raises(RateLimitedError) as refused:
        run(service.admit(asked))
    assert refused.value.retry_after_s == 45
    assert asked.scope["state"]["rate_limit_headers"] == told[-1]
    assert asked.scope["state"]["key_id"] == made.key.key_id
    service.ask(bearer(other))
    run(service.admit(request(bearer(made)), route="GET /v1/decisions"))
    service.passed_s = 60
    service.ask(bearer(made))


def test_requests_that_a_scope_refuses_count_too():
    service = Service("1/minute")
    made = service.key("read")
    with pytest.raises(ForbiddenError):
        service.ask(bearer(made))
    with pytest.raises(RateLimitedError):
        service.ask(bearer(made))


def refusals(service: Service, count: int, **given: Any) -> list[type[CreditScoringError]]:
    found = []
    for number in range(count):
        with pytest.raises(CreditScoringError) as told:
            service.ask(b"Bearer guess%d" % number, **given)
        found.append(type(told.value))
    return found


def test_strangers_are_slowed_down_by_client_address_without_a_look_up():
    service = Service("unauthenticated=5/minute")
    assert refusals(service, 9, client=ELSEWHERE) == [UnauthenticatedError] * 5 + [RateLimitedError] * 4
    assert service.book.asked == 6
    assert refusals(service, 1) == [UnauthenticatedError]
    service.passed_s = 60
    assert refusals(service, 1, client=ELSEWHERE) == [UnauthenticatedError]


def test_a_key_that_passed_before_is_not_locked_out_by_strangers_of_its_address():
    service = Service("unauthenticated=5/minute")
    made = service.key()
    service.ask(bearer(made))
    refusals(service, 9)
    service.passed_s = 30
    assert service.ask(bearer(made)).key_id == made.key.key_id


def test_an_ipv6_client_is_counted_by_its_network():
    service = Service("unauthenticated=3/minute")
    addresses = [(f"2001:db8:0:1::{number:x}", 1) for number in range(5)]
    found = [refusals(service, 1, client=address)[0] for address in addresses]
    assert found == [UnauthenticatedError] * 3 + [RateLimitedError] * 2
    assert refusals(service, 1, client=("2001:db8:0:2::1", 1)) == [UnauthenticatedError]


def test_a_token_is_checked_as_a_token_and_remembered_like_a_key():
    asked = []

    def tokens(token: str) -> Accepted:
        asked.append(token)
        return Accepted(Caller("oidc:1", "lender", "ana", frozenset({"decide"})), NOON + timedelta(seconds=1))

    service = Service(tokens=tokens)
    for passed_s in (0.0, 0.9, 1.0):
        service.passed_s = passed_s
        assert service.ask(b"Bearer a.b.c", client=ELSEWHERE).key_id == "oidc:1"
    assert asked == ["a.b.c"] * 2
    assert service.book.asked == 0
    assert service.ask(bearer(service.key())).key_id == "0101010101010101"


def test_an_issuer_that_is_silent_is_told_as_such():
    def silent(_token: str) -> Accepted:
        raise IssuerUnavailableError(5.0)

    with pytest.raises(IssuerUnavailableError):
        Service(tokens=silent).ask(b"Bearer a.b.c")


def test_no_key_is_shown_where_it_is_printed_or_logged(caplog):
    caplog.set_level(logging.DEBUG)
    service = Service("unauthenticated=1/minute")
    made = service.key()
    service.ask(bearer(made))
    told = [repr(made), repr(made.key), repr(presented_key(made.text)), repr(service.guard._recent)]
    for _ in range(3):
        with pytest.raises(CreditScoringError) as refused:
            service.ask(other_secret(made))
        told.append(repr(refused.value))
    shown = "".join([*told, caplog.text])
    assert made.text.split("_")[2] not in shown
    assert made.key.secret_digest not in shown
    assert "f" * 64 not in shown


def test_a_secret_has_256_bits_and_is_not_what_is_kept():
    sizes: list[int] = []

    def random_bytes(size: int) -> bytes:
        sizes.append(size)
        return bytes(range(size))

    made = new_key(key_holder("a", "b", None, ["read"]), NOON, random_bytes)
    assert max(sizes) * 8 == 256
    assert made.text == f"cs_{bytes(range(8)).hex()}_{bytes(range(32)).hex()}"
    assert made.key.secret_digest not in made.text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scopes": ["decide", "raed"]}, "Did you mean 'read'"),
        ({"scopes": []}, "no scope"),
        ({"scopes": ["promote"], "person": None}, "--person"),
        ({"scopes": ["decide", "approve"], "person": None}, "--person"),
        ({"tenant": ""}, "tenant"),
        ({"tenant": "a\n"}, "tenant"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a" * 129}, "name"),
        ({"person": " ana"}, "person"),
    ],
)
def test_a_key_that_cannot_be_made_is_told_why(change, told):
    given = {"name": "a", "tenant": "t", "person": "p", "scopes": ["decide"]} | change
    with pytest.raises(ApiKeyError, match=told):
        key_holder(**given)


def test_the_state_of_a_key():
    key = Service().key(expires_at=NOON + timedelta(days=1)).key
    assert [key.state(NOON + timedelta(hours=hours)) for hours in (0, 23.9, 24)] == ["active", "active", "expired"]
    assert replace(key, revoked_at=NOON).state(NOON) == "revoked"
