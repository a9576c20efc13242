"""Roles as rows that are only ever added."""

from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.exc import IntegrityError

from credit_scoring.adapters.database import schema
from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.core.roles import Roles
from credit_scoring.ports import Clock

SEEDED = "seed"
"""Cause of a portfolio's first row."""


def _now() -> datetime:
    return datetime.now(UTC)


class RoleRepository:
    """``RoleBook`` in the database."""

    def __init__(self, engine: Engine, clock: Clock = _now) -> None:
        self._engine = engine
        self._clock = clock

    def current(self, portfolio: str) -> Roles | None:
        """See ``RoleBook.current``."""
        with told_as_records_error("reading the roles"), self._engine.begin() as connection:
            return _newest(connection, portfolio)

    def seed(self, portfolio: str, roles: Roles) -> Roles:
        """See ``RoleBook.seed``."""
        row = {
            "portfolio": portfolio,
            "sequence": 1,
            "recorded_at": self._clock(),
            "cause": SEEDED,
            "roles": roles.model_dump(mode="json"),
        }
        with told_as_records_error("seeding the roles"):
            try:
                with writing(self._engine).begin() as connection:
                    held = _newest(connection, portfolio)
                    if held is None:
                        connection.execute(insert(schema.roles).values(row))
                    return held or roles
            except IntegrityError:
                # Another process was first, on a database that let both look before either wrote.
                return self.current(portfolio) or roles


def _newest(connection: Connection, portfolio: str) -> Roles | None:
    table = schema.roles
    newest = select(func.max(table.c.sequence)).where(table.c.portfolio == portfolio).scalar_subquery()
    query = select(table.c.roles).where(table.c.portfolio == portfolio, table.c.sequence == newest)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else Roles.model_validate(found)
