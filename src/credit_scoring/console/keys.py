"""Makes, lists and revokes keys of the API."""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.keys import KeyRepository
from credit_scoring.core.api_keys import ApiKey, key_holder, new_key
from credit_scoring.core.errors import ApiKeyError
from credit_scoring.environment import Environment

_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhdw])", re.ASCII)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_COLUMNS = ("id", "name", "tenant", "person", "scopes", "created", "expires", "state")


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """The key that is asked for; ``scopes`` with commas between them, ``expires_in`` like 90d, None for never."""

    name: str
    scopes: str
    tenant: str
    person: str | None = None
    expires_in: str | None = None


def create_key(request: KeyRequest) -> tuple[str, str]:
    """Make a key; return its text, which is kept nowhere, and what to tell about it.

    Raises:
        ApiKeyError: If the key cannot be made as asked for.
        RecordsError: If the database cannot be opened or written.
    """
    scopes = [scope.strip() for scope in request.scopes.split(",") if scope.strip()]
    holder = key_holder(request.name, request.tenant, request.person, scopes)
    now = datetime.now(UTC)
    expires_at = None if request.expires_in is None else now + span(request.expires_in)
    made = new_key(holder, now, secrets.token_bytes, expires_at=expires_at)
    with opened(Environment().database_url) as engine:
        KeyRepository(engine).add(made.key)
    until = f"until {_day(expires_at)}" if expires_at else "until it is revoked"
    return made.text, (
        f"Made the key '{holder.name}' ({made.key.key_id}) of tenant '{holder.tenant}' and person '{holder.person}', "
        f"for {', '.join(sorted(holder.scopes))}, {until}. Keep it now: it is not shown again."
    )


def listed_keys() -> Iterator[str]:
    """Return all keys as lines of a table, without their secrets.

    Raises:
        RecordsError: If the database cannot be opened or read.
    """
    now = datetime.now(UTC)
    with opened(Environment().database_url) as engine:
        rows = [_COLUMNS, *(_row(key, now) for key in KeyRepository(engine).listed())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def revoke_key(key_id: str) -> str:
    """Have a key refused from now on; return what to tell about it.

    Raises:
        ApiKeyError: If there is no key of this id.
        RecordsError: If the database cannot be opened or written.
    """
    now = datetime.now(UTC)
    with opened(Environment().database_url) as engine:
        key = KeyRepository(engine).revoke(key_id, now)
    if key is None or key.revoked_at is None:
        raise ApiKeyError(
            "There is no key with this id. 'credit-scoring keys list' shows the ids, each of 16 characters; a key "
            "itself has no place on a command line."
        )
    if key.revoked_at < now:
        return f"The key '{key.holder.name}' ({key.key_id}) was revoked on {_day(key.revoked_at)}."
    again = " The next start of the service makes a new one." if key.development else ""
    return f"Revoked the key '{key.holder.name}' ({key.key_id}). Every worker refuses it within 5 seconds.{again}"


def span(text: str) -> timedelta:
    """Return the time that ``text`` says, such as 90d.

    Raises:
        ApiKeyError: If it says none.
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ApiKeyError(f"'{text[:40]}' is no time to live. Write it like 30m, 12h, 90d or 52w.")
    return int(found[1]) * _UNITS[found[2]]


def _row(key: ApiKey, now: datetime) -> tuple[str, ...]:
    holder = key.holder
    expires = _day(key.expires_at) if key.expires_at else "never"
    scopes = ",".join(sorted(holder.scopes))
    return key.key_id, holder.name, holder.tenant, holder.person, scopes, _day(key.created_at), expires, key.state(now)


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
