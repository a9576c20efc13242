"""Everybody whose facts are stored, a page of ids at a time."""

from collections.abc import Iterator
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, CompoundSelect, Engine, Table, and_, func, select, union

from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import applicants, pushed_applicants
from credit_scoring.core.owners import Owner

PAGE = 10_000
"""Ids that are read together; nothing is locked, and nothing is held open, between two pages."""


class StoredApplicants:
    """Frames with the text column ``applicant_id``, in the order of ids; read anew whenever they are iterated.

    Whoever is stored while they are read is among them or not.
    """

    def __init__(self, engine: Engine, owner: Owner, page: int = PAGE) -> None:
        self._engine = engine
        self._owner = owner
        self._page = page

    def __iter__(self) -> Iterator[pl.DataFrame]:
        after: str | None = None
        while ids := self._ids(after):
            yield pl.DataFrame({"applicant_id": ids}, schema={"applicant_id": pl.String})
            after = ids[-1]

    def count(self) -> int:
        """Return how many there are now. Raises RecordsError if the database cannot be read."""
        everybody = self._everybody(after=None, most=None).subquery()
        with told_as_records_error("counting applicants"), self._engine.begin() as connection:
            return int(connection.scalar(select(func.count()).select_from(everybody)) or 0)

    def _ids(self, after: str | None) -> list[str]:
        with told_as_records_error("reading applicants"), self._engine.begin() as connection:
            return list(connection.scalars(self._everybody(after, self._page)))

    def _everybody(self, after: str | None, most: int | None) -> CompoundSelect[Any]:
        """Ask for ids of both kinds, each at most ``most`` times, so that no page reads the whole table."""
        parts = [
            select(
                select(table.c.applicant_id)
                .where(self._of(table, after))
                .order_by("applicant_id")
                .limit(most)
                .subquery()
            )
            for table in (applicants, pushed_applicants)
        ]
        return union(*parts).order_by("applicant_id").limit(most)

    def _of(self, table: Table, after: str | None) -> ColumnElement[bool]:
        rows = table.c
        own = and_(rows.tenant == self._owner.tenant, rows.portfolio == self._owner.portfolio)
        return own if after is None else and_(own, rows.applicant_id > after)
