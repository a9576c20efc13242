"""Keys of requests that are done once, and what was answered under each."""

import zlib
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import idempotency_keys as kept
from credit_scoring.core.idempotency import TAKEN_OVER_AFTER, Claim, KeptAnswer, RequestKey
from credit_scoring.core.records import KEY_LIFETIME

_ATTEMPTS = 5
_FORGOTTEN_AT_ONCE = 50
_COMPRESSED_FROM_BYTES = 1_024
_PLAIN, _COMPRESSED = b"=", b"z"
_QUICKLY = 1


class IdempotencyRepository:
    """``IdempotencyBook`` in the database; keys that have outlived their time are removed as new ones come."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, key: RequestKey, body_digest: str, claim_id: str, at: datetime) -> Claim:
        """See ``IdempotencyBook.claim``."""
        row = {"body_digest": body_digest, "claim": claim_id, "claimed_at": at, "status": None, "answer": None}
        with told_as_records_error("claiming a key"):
            for _ in range(_ATTEMPTS):
                with writing(self._engine).begin() as connection:
                    found = _claimed(connection, key, row)
                if found is not None:
                    return found
        return Claim("in_progress")  # others keep claiming and releasing it

    def answer(self, key: RequestKey, claim_id: str, answer: KeptAnswer) -> None:
        """See ``IdempotencyBook.answer``."""
        packed = _packed(answer.body)
        with told_as_records_error("keeping an answer"), writing(self._engine).begin() as connection:
            statement = update(kept).where(_open(key, claim_id))
            connection.execute(statement.values(status=answer.status, answer=packed))

    def release(self, key: RequestKey, claim_id: str) -> None:
        """See ``IdempotencyBook.release``."""
        with told_as_records_error("releasing a key"), writing(self._engine).begin() as connection:
            connection.execute(delete(kept).where(_open(key, claim_id)))


def _claimed(connection: Connection, key: RequestKey, row: dict[str, Any]) -> Claim | None:
    """Return what ``key`` is found to be; None when it was released between the two looks.

    Insert first, look afterwards: whoever claims the same key meanwhile is waited for, and then seen.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(kept).on_conflict_do_nothing().returning(kept.c.claim)
    if connection.execute(statement, _names(key) | row).first() is not None:
        _forget_some(connection, row["claimed_at"])
        return Claim("new")
    held = connection.execute(select(kept).where(_this(key)).with_for_update()).one_or_none()
    if held is None:
        return None
    found = _found(held, row["body_digest"], row["claimed_at"])
    if found.state == "new":
        connection.execute(update(kept).where(_this(key)).values(row))
    return found


def _found(held: Row[Any], body_digest: str, at: datetime) -> Claim:
    if held.claimed_at <= at - KEY_LIFETIME:
        return Claim("new")
    if held.body_digest != body_digest:
        return Claim("other_body")
    if held.status is not None:
        return Claim("answered", KeptAnswer(held.status, _unpacked(held.answer)))
    return Claim("in_progress" if held.claimed_at > at - TAKEN_OVER_AFTER else "new")


def _forget_some(connection: Connection, at: datetime) -> None:
    """Remove a few keys whose time is over, those of decisions too; never waits for who removes the same."""
    names = tuple_(*kept.primary_key)
    old = select(*kept.primary_key).where(kept.c.claimed_at <= at - KEY_LIFETIME).order_by(kept.c.claimed_at)
    some = old.limit(_FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
    connection.execute(delete(kept).where(names.in_(some)))


def _packed(body: bytes) -> bytes:
    if len(body) < _COMPRESSED_FROM_BYTES:
        return _PLAIN + body
    return _COMPRESSED + zlib.compress(body, _QUICKLY)


def _unpacked(answer: bytes) -> bytes:
    return zlib.decompress(answer[1:]) if answer[:1] == _COMPRESSED else answer[1:]


def _names(key: RequestKey) -> dict[str, str]:
    return {**key.owner._asdict(), "route": key.route, "key": key.key}


def _this(key: RequestKey) -> ColumnElement[bool]:
    return and_(*(kept.c[name] == value for name, value in _names(key).items()))


def _open(key: RequestKey, claim_id: str) -> ColumnElement[bool]:
    return and_(_this(key), kept.c.claim == claim_id, kept.c.status.is_(None))
