"""Who calls the service, and what they may do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

AccessScope = Literal["decide", "read", "outcomes", "ingest", "promote", "approve"]
SCOPES: tuple[AccessScope, ...] = get_args(AccessScope)


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of an accepted key or token.

    ``key_id`` names the key or token's holder in logs and records, ``person`` who answers for what is done with it: the
    owner of the key or the subject of the token. Two keys of one person are one person.
    """

    key_id: str
    tenant: str
    person: str
    scopes: frozenset[AccessScope]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A key or token that was checked: whose it is, until when, and whether only this machine may bring it.

    ``expires_at`` is None for what never expires.
    """

    caller: Caller
    expires_at: datetime | None = None
    loopback_only: bool = False
