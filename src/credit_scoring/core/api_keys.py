"""Keys of the API: their text, what is kept of it, and when a key is accepted."""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from credit_scoring.core.callers import SCOPES, Accepted, AccessScope, Caller
from credit_scoring.core.errors import ApiKeyError, nearest

KeyState = Literal["active", "expired", "revoked"]
RandomBytes = Callable[[int], bytes]

LONGEST_NAME = 128
TEXT = re.compile(r"cs_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)
"""A key as its holder sends it: ``cs_<key id>_<secret>``."""

_ID_BYTES = 8
_SECRET_BYTES = 32  # 256 bits
_NO_DIGEST = "0" * 64  # of a key that does not exist; no secret is known to have it


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who a key is made for, and what it may do; checked by ``key_holder``."""

    name: str
    tenant: str
    person: str
    scopes: frozenset[AccessScope]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept. ``expires_at`` and ``revoked_at`` are None for a key that never was or will be.

    ``secret_digest`` is the SHA-256 of the secret, in hex. A slow, salted hash protects what people choose and reuse;
    this secret is 256 random bits, which nobody can guess from a digest however quick it is to compute, and a slow
    hash on each look-up would let strangers keep the service busy. ``development`` marks the key of the embedded mode.
    """

    key_id: str
    holder: KeyHolder
    secret_digest: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    development: bool = False

    def state(self, now: datetime) -> KeyState:
        """Return whether the key is accepted at ``now``, and else why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def accepted(self) -> Accepted:
        """Return what the key gives its holder while it is active."""
        holder = self.holder
        caller = Caller(self.key_id, holder.tenant, holder.person, holder.scopes)
        return Accepted(caller, self.expires_at, loopback_only=self.development)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, and its text, which is shown once and kept nowhere."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """What somebody sent in the form of a key."""

    key_id: str
    secret: str = field(repr=False)


def key_holder(name: str, tenant: str, person: str | None, scopes: Iterable[str]) -> KeyHolder:
    """Return a holder; without a ``person``, who answers for the key is called like the key.

    Raises:
        ApiKeyError: If a scope is unknown, a name cannot be used, or a key that promotes or approves names no person.
    """
    asked = frozenset(scopes)
    wanted = frozenset(scope for scope in SCOPES if scope in asked)
    for scope in sorted(asked):
        if scope not in SCOPES:
            listed = ", ".join(SCOPES)
            raise ApiKeyError(f"There is no scope '{scope}'.{nearest(scope, SCOPES)} There are: {listed}.")
    if not wanted:
        raise ApiKeyError(f"The key has no scope. Name at least one of: {', '.join(SCOPES)}.")
    if person is None and wanted & {"promote", "approve"}:
        raise ApiKeyError(
            "A key that may promote or approve names the person who answers for it, as two persons are needed. "
            "Add --person."
        )
    owner = name if person is None else person
    return KeyHolder(_checked("name", name), _checked("tenant", tenant), _checked("person", owner), wanted)


def is_name(text: str) -> bool:
    """Return whether ``text`` can name a tenant or a person: 1 to 128 printable characters."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and text.strip() == text


def new_key(
    holder: KeyHolder,
    created_at: datetime,
    random_bytes: RandomBytes,
    *,
    expires_at: datetime | None = None,
    development: bool = False,
) -> NewKey:
    """Return a key with a secret of 256 bits from ``random_bytes``, which must be fit for secrets."""
    key_id, secret = random_bytes(_ID_BYTES).hex(), random_bytes(_SECRET_BYTES).hex()
    key = ApiKey(key_id, holder, _digest(secret), created_at, expires_at, None, development)
    return NewKey(key, f"cs_{key_id}_{secret}")


def presented_key(text: str) -> PresentedKey | None:
    """Return the parts of a key's text, or None for any other text."""
    found = TEXT.fullmatch(text)
    return PresentedKey(*found.groups()) if found else None


def fits(presented: PresentedKey, key: ApiKey | None) -> bool:
    """Return whether the secret is the key's; takes as long for a wrong one, and for a key that does not exist."""
    same = hmac.compare_digest(_digest(presented.secret), key.secret_digest if key else _NO_DIGEST)
    return same and key is not None and presented.key_id == key.key_id


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _checked(what: str, text: str) -> str:
    if not is_name(text):
        raise ApiKeyError(f"The {what} of a key has 1 to {LONGEST_NAME} printable characters. Choose another.")
    return text
