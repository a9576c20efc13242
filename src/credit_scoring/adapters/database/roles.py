"""Roles as rows that are only ever added."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from credit_scoring.adapters.database import schema
from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import RegistryError, StaleRolesError
from credit_scoring.core.roles import SEEDED, Roles, RolesRow
from credit_scoring.ports import Clock

_table = schema.roles


class RoleRepository:
    """``RoleBook`` in the database."""

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock

    def current(self, portfolio: str) -> RolesRow | None:
        """See ``RoleBook.current``."""
        with told_as_records_error("reading the roles"), self._engine.begin() as connection:
            return _newest(connection, portfolio)

    def at(self, portfolio: str, moment: datetime) -> RolesRow | None:
        """See ``RoleBook.at``."""
        with told_as_records_error("reading the roles"), self._engine.begin() as connection:
            return _newest(connection, portfolio, [_table.c.recorded_at <= moment])

    def row(self, portfolio: str, sequence: int) -> RolesRow | None:
        """See ``RoleBook.row``."""
        with told_as_records_error("reading the roles"), self._engine.begin() as connection:
            return _newest(connection, portfolio, [_table.c.sequence == sequence])

    def seed(self, portfolio: str, roles: Roles) -> RolesRow:
        """See ``RoleBook.seed``."""
        return self.current(portfolio) or self._seeded(portfolio, roles)

    def append(self, portfolio: str, after: int, roles: Roles, cause: str) -> RolesRow:
        """See ``RoleBook.append``."""
        with told_as_records_error("recording the roles"):
            try:
                with writing(self._engine).begin() as connection:
                    held = _newest(connection, portfolio)
                    if (held.sequence if held else 0) != after:
                        raise StaleRolesError(portfolio)
                    row = RolesRow(sequence=after + 1, recorded_at=self._clock(), cause=cause, roles=roles)
                    connection.execute(insert(_table).values(_values(portfolio, row)))
                    return row
            except IntegrityError as exc:
                # Another process was first, on a database that let both look before either wrote.
                raise StaleRolesError(portfolio) from exc

    def _seeded(self, portfolio: str, roles: Roles) -> RolesRow:
        try:
            return self.append(portfolio, 0, roles, SEEDED)
        except StaleRolesError:
            held = self.current(portfolio)
            if held is None:
                raise
            return held


def _newest(connection: Connection, portfolio: str, conditions: Sequence[ColumnElement[bool]] = ()) -> RolesRow | None:
    newest = select(_table).where(_table.c.portfolio == portfolio, *conditions).order_by(_table.c.sequence.desc())
    found = connection.execute(newest.limit(1)).one_or_none()
    if found is None:
        return None
    try:
        roles = Roles.model_validate(found.roles)
    except ValidationError as exc:
        raise RegistryError(
            f"Row {found.sequence} of the roles of '{portfolio}' says what this version of the project does not know. "
            f"Install the version that wrote it."
        ) from exc
    return RolesRow(sequence=found.sequence, recorded_at=found.recorded_at, cause=found.cause, roles=roles)


def _values(portfolio: str, row: RolesRow) -> dict[str, Any]:
    return {
        "portfolio": portfolio,
        "sequence": row.sequence,
        "recorded_at": row.recorded_at,
        "cause": row.cause,
        "roles": row.roles.model_dump(mode="json", by_alias=True),
    }
