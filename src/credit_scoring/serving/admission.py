"""Who may pass: every route asks the guard before it reads a request's body."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from math import ceil

import anyio
from starlette.requests import Request
from starlette.types import Scope

from credit_scoring.adapters.rate_limits import RateLimiter
from credit_scoring.core.callers import Accepted, AccessScope, Caller
from credit_scoring.core.errors import ForbiddenError, RateLimitedError, UnauthenticatedError
from credit_scoring.core.rate_limits import Allowance
from credit_scoring.ports import Clock, CredentialCheck
from credit_scoring.usecases.admission import Checked, RecentChecks

_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")
_LONGEST_HEADER = 8192
_PROXIES = re.compile(rb"via|.*forwarded.*|.*(client|real|connecting|remote|originating)[-_](ip|addr).*")
"""What headers are called that a proxy adds: the client is then not who is connected."""

_LOOK_UPS = 8  # at once; so many threads, at most, can strangers with made-up keys keep busy


class Guard:
    """Lets the holders of accepted keys and tokens pass, each as often as it may. For one event loop.

    What was found about a key is used again for ``REMEMBERED_S``: then a request costs no thread and no query, also
    while the database is down. Whatever is wrong with a key, the answer is the same.
    """

    def __init__(
        self,
        keys: CredentialCheck,
        limiter: RateLimiter,
        clock: Clock,
        *,
        tokens: CredentialCheck | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._limiter = limiter
        self._clock = clock
        self._monotonic = monotonic
        self._recent = RecentChecks()
        self._running: dict[bytes, asyncio.Task[Checked]] = {}
        self._threads = anyio.CapacityLimiter(_LOOK_UPS)
        self._token_threads = anyio.CapacityLimiter(_LOOK_UPS)  # an issuer that hangs holds up no key

    async def admit(self, request: Request, scope: AccessScope, route: str) -> Caller:
        """Return who sent ``request`` to ``route``, which asks for ``scope``.

        Leaves ``key_id`` and ``rate_limit_headers`` (a dictionary) in the request's state, refused requests' too.

        Raises:
            UnauthenticatedError: If it brings no accepted key or token.
            ForbiddenError: If the key or token lacks the scope.
            RateLimitedError: If the caller, or the client address of strangers, asks more often than it may.
            RecordsError: If the keys cannot be read.
            IssuerUnavailableError: If the issuer of a token cannot be asked.
        """
        state = request.scope.setdefault("state", {})
        caller = (await self._accepted(request.scope)).caller
        state["key_id"] = caller.key_id
        _within(await self._limiter.take(route, caller.key_id), request.scope)
        if scope not in caller.scopes:
            raise ForbiddenError(scope)
        return caller

    async def close(self) -> None:
        """Release what the guard holds."""
        await self._limiter.close()

    async def _accepted(self, scope: Scope) -> Accepted:
        sent = _authorization(scope)
        digest = hashlib.sha256(sent).digest()
        checked = self._recent.find(digest, self._monotonic())
        if checked is None:
            if not self._recent.accepted_before(digest):
                _within(self._limiter.refused(_address(scope), 0), scope)
            checked = await self._checked(digest, sent)
        accepted = checked.accepted
        if accepted is None or (accepted.loopback_only and not _from_this_machine(scope)):
            _within(self._limiter.refused(_address(scope)), scope)
            raise UnauthenticatedError
        return accepted

    async def _checked(self, digest: bytes, sent: bytes) -> Checked:
        """Return what one check finds for all requests that bring the same at once, whoever of them gives up."""
        running = self._running.get(digest)
        if running is None:
            running = asyncio.create_task(self._check(digest, sent))
            self._running[digest] = running
            running.add_done_callback(partial(self._finished, digest))
        return await asyncio.shield(running)

    async def _check(self, digest: bytes, sent: bytes) -> Checked:
        asked_s = self._monotonic()
        credential = _credential(sent)
        is_token = self._tokens is not None and credential.count(".") == 2
        check = self._tokens if is_token and self._tokens is not None else self._keys
        threads = self._token_threads if is_token else self._threads
        accepted = await anyio.to_thread.run_sync(check, credential, limiter=threads)
        return self._recent.remember(digest, accepted, asked_s, self._clock())

    def _finished(self, digest: bytes, task: asyncio.Task[Checked]) -> None:
        del self._running[digest]
        if not task.cancelled():
            task.exception()  # those who wait are told; without any, nobody need be


def _within(allowance: Allowance | None, scope: Scope) -> None:
    """Put what is left of a limit where the response's headers are taken from; raise when nothing is."""
    if allowance is None:
        return
    if allowance.is_exceeded:
        scope["state"]["rate_limit_headers"] = allowance.headers()
        wait_s = max(1, ceil(allowance.reset_s))
        limit = allowance.limit
        raise RateLimitedError(
            f"More than {limit.most:,} requests came within {limit.window_s:,} seconds. Wait {wait_s:,} seconds, as "
            f"'Retry-After' says.",
            wait_s,
        )
    scope["state"]["rate_limit_headers"] = allowance.headers()


def _authorization(scope: Scope) -> bytes:
    """Return the one ``Authorization`` header as it was sent, or nothing where there is none, or more than one."""
    found = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if found is not None:
                return b""
            found = value
    return found or b""


def _credential(sent: bytes) -> str:
    """Return the key or token of a header, or nothing, which no check accepts."""
    found = _BEARER.fullmatch(sent) if len(sent) <= _LONGEST_HEADER else None
    return found[1].decode("ascii") if found else ""


def _address(scope: Scope) -> str:
    """Return whose failures are counted together: an IPv4 address, or the network that an IPv6 client has to itself."""
    found = _client(scope)
    if found is None:
        return "unknown"
    return str(found if found.version == 4 else ip_network((int(found), 64), strict=False))


def _from_this_machine(scope: Scope) -> bool:
    """Return whether a client on this machine is connected, and does not speak for another."""
    found = _client(scope)
    if found is None or not found.is_loopback:
        return False
    return not any(_PROXIES.fullmatch(name) for name, _ in scope["headers"])


def _client(scope: Scope) -> IPv4Address | IPv6Address | None:
    return _parsed((scope.get("client") or ("",))[0])


@lru_cache(1024)
def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
