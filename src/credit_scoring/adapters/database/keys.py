"""Keys of the API as rows; of a secret there is only the digest."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, insert, select, update

from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import api_keys
from credit_scoring.core.api_keys import ApiKey, KeyHolder

_BY_ID = select(api_keys).where(api_keys.c.key_id == bindparam("wanted"))


class KeyRepository:
    """``KeyBook`` in the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, key: ApiKey) -> None:
        """See ``KeyBook.add``."""
        with told_as_records_error("keeping a key"), writing(self._engine).begin() as connection:
            insert_key(connection, key)

    def get(self, key_id: str) -> ApiKey | None:
        """See ``KeyBook.get``."""
        with told_as_records_error("reading a key"), self._engine.begin() as connection:
            return select_key(connection, key_id)

    def listed(self) -> list[ApiKey]:
        """See ``KeyBook.listed``."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id)
        with told_as_records_error("reading the keys"), self._engine.begin() as connection:
            return [_key(row) for row in connection.execute(query)]

    def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """See ``KeyBook.revoke``."""
        active = (api_keys.c.key_id == key_id) & api_keys.c.revoked_at.is_(None)
        with told_as_records_error("revoking a key"), writing(self._engine).begin() as connection:
            connection.execute(update(api_keys).where(active).values(revoked_at=at))
            return select_key(connection, key_id)


def insert_key(connection: Connection, key: ApiKey) -> None:
    """Add a key's row in a transaction of the caller's."""
    holder = key.holder
    row = {
        "key_id": key.key_id,
        "tenant": holder.tenant,
        "name": holder.name,
        "person": holder.person,
        "scopes": sorted(holder.scopes),
        "secret_digest": key.secret_digest,
        "development": key.development,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
    connection.execute(insert(api_keys).values(row))


def select_key(connection: Connection, key_id: str) -> ApiKey | None:
    """Return a key, read in a transaction of the caller's."""
    found = connection.execute(_BY_ID, {"wanted": key_id}).one_or_none()
    return None if found is None else _key(found)


def revoke_development_keys(connection: Connection, at: datetime) -> None:
    """Revoke every key of the embedded mode, in a transaction of the caller's."""
    active = api_keys.c.development & api_keys.c.revoked_at.is_(None)
    connection.execute(update(api_keys).where(active).values(revoked_at=at))


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        holder=KeyHolder(row.name, row.tenant, row.person, frozenset(row.scopes)),
        secret_digest=row.secret_digest,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        development=row.development,
    )
