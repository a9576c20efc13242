"""Applicants' fields that were pushed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.revisions import raise_revisions
from credit_scoring.adapters.database.schema import applicants, pushed_applicants
from credit_scoring.core.facts import Value
from credit_scoring.core.owners import Owner


class PushedApplicantRepository:
    """``PushedApplicants`` in the database: apart from what files brought, so that no load can delete it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_applicant(
        self, owner: Owner, applicant_id: str, fields: Mapping[str, Value], received_at: datetime
    ) -> bool:
        """See ``PushedApplicants.put_applicant``."""
        key = {**owner._asdict(), "applicant_id": applicant_id}
        row = key | {"received_at": received_at, "facts": dict(fields)}
        with told_as_records_error("storing an applicant"), writing(self._engine).begin() as connection:
            first = _inserted(connection, row)
            if first or _replaced(connection, row):
                raise_revisions(connection, owner, [applicant_id])
            return first and not _brought_by_files(connection, key)


def _inserted(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Insert first, look afterwards: whoever inserts the same applicant meanwhile is waited for, and then seen."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(pushed_applicants).on_conflict_do_nothing().returning(pushed_applicants.c.applicant_id)
    return connection.execute(statement, row).first() is not None


def _replaced(connection: Connection, row: Mapping[str, Any]) -> bool:
    not_later = pushed_applicants.c.received_at <= row["received_at"]
    changed = {"received_at": row["received_at"], "facts": row["facts"]}
    done = connection.execute(update(pushed_applicants).where(_this(pushed_applicants, row), not_later).values(changed))
    return done.rowcount > 0


def _brought_by_files(connection: Connection, key: Mapping[str, Any]) -> bool:
    return connection.execute(select(applicants.c.applicant_id).where(_this(applicants, key))).first() is not None


def _this(table: Table, key: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(table.c[name] == key[name] for name in ("tenant", "portfolio", "applicant_id")))
