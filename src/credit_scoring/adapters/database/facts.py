"""Facts of applicants: what the ingestion validated, read one applicant at a time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, Engine, Table, delete, insert, select

from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import applicants as applicants_table
from credit_scoring.adapters.database.schema import events as events_table
from credit_scoring.adapters.database.schema import loads
from credit_scoring.core.facts import Event, Facts
from credit_scoring.ports import Clock

_ROWS_AT_ONCE = 20_000


def _now() -> datetime:
    return datetime.now(UTC)


class FactsRepository:
    """``FactsStore`` in the database, filled a whole portfolio at a time."""

    def __init__(self, engine: Engine, clock: Clock = _now) -> None:
        self._engine = engine
        self._clock = clock

    def replace_all(
        self, portfolio: str, content_hash: str, applicants: pl.DataFrame, events: Mapping[str, pl.DataFrame]
    ) -> bool:
        """Replace a portfolio's facts in one transaction; False when this very content is loaded already.

        Args:
            portfolio: Whose facts they are.
            content_hash: Names the content; the same hash is not loaded twice.
            applicants: One row per applicant: ``applicant_id`` and fields, null where unknown.
            events: By table: ``applicant_id``, ``occurred_at`` (UTC), ``event_number`` and the table's columns.
        """
        load = {"portfolio": portfolio, "content_hash": content_hash, "loaded_at": self._clock()}
        with told_as_records_error("loading facts"), writing(self._engine).begin() as connection:
            if self._loaded(connection, portfolio) == content_hash:
                return False
            for table in (events_table, applicants_table, loads):
                connection.execute(delete(table).where(table.c.portfolio == portfolio))
            _insert(connection, applicants_table, applicants, {"portfolio": portfolio})
            for name, frame in events.items():
                _insert(connection, events_table, frame, {"portfolio": portfolio, "event_table": name})
            connection.execute(insert(loads).values(load))
        return True

    def loaded_content(self, portfolio: str) -> str | None:
        """Return the hash of the content that is loaded, or None when nothing is."""
        with told_as_records_error("reading facts"), self._engine.begin() as connection:
            return self._loaded(connection, portfolio)

    def facts_of(self, portfolio: str, applicant_id: str) -> Facts | None:
        """See ``FactsStore.facts_of``; a table in which the applicant has no event is absent."""
        known, happened = applicants_table.c, events_table.c
        fields = select(known.facts).where(known.portfolio == portfolio, known.applicant_id == applicant_id)
        rows = (
            select(happened.event_table, happened.occurred_at, happened.event_number, happened.facts)
            .where(happened.portfolio == portfolio, happened.applicant_id == applicant_id)
            .order_by(happened.occurred_at, happened.event_number)
        )
        with told_as_records_error("reading facts"), self._engine.begin() as connection:
            found = connection.execute(fields).scalar_one_or_none()
            if found is None:
                return None
            events: dict[str, list[Event]] = defaultdict(list)
            for row in connection.execute(rows):
                events[row.event_table].append(Event(row.occurred_at, row.event_number, row.facts))
        return Facts(found, dict(events))

    @staticmethod
    def _loaded(connection: Connection, portfolio: str) -> str | None:
        found: str | None = connection.scalar(select(loads.c.content_hash).where(loads.c.portfolio == portfolio))
        return found


def _insert(connection: Connection, table: Table, frame: pl.DataFrame, constant: dict[str, str]) -> None:
    keys = [name for name in ("applicant_id", "occurred_at", "event_number") if name in frame.columns]
    for rows in _slices(frame):
        facts = rows.drop(keys).to_dicts()
        named = zip(rows.select(keys).iter_rows(named=True), facts, strict=True)
        values: list[dict[str, Any]] = [constant | key | {"facts": fact} for key, fact in named]
        connection.execute(insert(table), values)


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return (rows for rows in frame.iter_slices(_ROWS_AT_ONCE) if rows.height)
