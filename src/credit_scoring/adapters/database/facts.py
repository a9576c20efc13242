"""Facts of applicants: what the ingestion validated, read one applicant at a time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
from sqlalchemy import (
    CompoundSelect,
    Connection,
    Engine,
    Integer,
    Row,
    Table,
    delete,
    exists,
    insert,
    literal,
    select,
    union_all,
)

from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import applicants as applicants_table
from credit_scoring.adapters.database.schema import events as events_table
from credit_scoring.adapters.database.schema import loads
from credit_scoring.adapters.database.schema import pushed_events as pushed_table
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.pushed import dates_as_text
from credit_scoring.ports import Clock

_ROWS_AT_ONCE = 20_000
_KEYS = ("applicant_id", "occurred_at", "event_number", "known_at", "event_id")


def _now() -> datetime:
    return datetime.now(UTC)


class FactsRepository:
    """``FactsStore`` in the database: what files brought, a whole portfolio at a time, and what was pushed.

    An event that both brought, by its id, counts once, as the files have it: they are validated as a whole and can be
    corrected. What was pushed stays, whatever is loaded; training reads both by the same rule (``pushed_tables``).
    """

    def __init__(self, engine: Engine, clock: Clock = _now) -> None:
        self._engine = engine
        self._clock = clock

    def replace_all(
        self, portfolio: str, content_hash: str, applicants: pl.DataFrame, events: Mapping[str, pl.DataFrame]
    ) -> bool:
        """Replace what files brought of a portfolio in one transaction; False when this content is loaded already.

        Args:
            portfolio: Whose facts they are.
            content_hash: Names the content; the same hash is not loaded twice.
            applicants: One row per applicant: ``applicant_id`` and fields, null where unknown.
            events: By table: ``applicant_id``, ``occurred_at`` (UTC), ``event_number``, where the table has them
                ``known_at`` and ``event_id``, and the table's columns. Their applicant need not be there (yet).
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
        known = applicants_table.c
        fields = select(known.facts).where(known.portfolio == portfolio, known.applicant_id == applicant_id)
        with told_as_records_error("reading facts"), self._engine.begin() as connection:
            found = connection.execute(fields).scalar_one_or_none()
            if found is None:
                return None
            rows = connection.execute(_all_events(portfolio, applicant_id)).all()
        by_table: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in rows:
            by_table[row.event_table].append(row)
        return Facts(found, {table: _numbered(events) for table, events in by_table.items()})

    @staticmethod
    def _loaded(connection: Connection, portfolio: str) -> str | None:
        found: str | None = connection.scalar(select(loads.c.content_hash).where(loads.c.portfolio == portfolio))
        return found


def _all_events(portfolio: str, applicant_id: str) -> CompoundSelect[Any]:
    """What files brought, in order of its numbers, then what was pushed and no file has, in order of receipt."""
    filed, pushed = events_table.c, pushed_table.c
    told = (filed.event_table, filed.occurred_at, filed.known_at, filed.facts)
    unsent = literal(0).label("sent_ms"), literal(0).label("sent_number"), literal("").label("source")
    of_files = select(*told, filed.event_number, *unsent, filed.event_id).where(
        filed.portfolio == portfolio, filed.applicant_id == applicant_id
    )
    same_id = (filed.portfolio == portfolio, filed.event_table == pushed.event_table, filed.event_id == pushed.event_id)
    told = (pushed.event_table, pushed.occurred_at, pushed.known_at, pushed.facts)
    sent = pushed.sent_ms, pushed.sent_number, pushed.source
    of_streams = select(*told, literal(None, Integer), *sent, pushed.event_id).where(
        pushed.portfolio == portfolio, pushed.applicant_id == applicant_id, ~exists().where(*same_id)
    )
    return union_all(of_files, of_streams)


def _numbered(rows: list[Row[Any]]) -> list[Event]:
    """Return one table's events from the oldest to the newest; pushed ones are numbered after those of files."""
    last = max((row.event_number for row in rows if row.event_number is not None), default=-1)
    pushed = sorted((row for row in rows if row.event_number is None), key=_receipt)
    numbers = {id(row): last + place for place, row in enumerate(pushed, start=1)}
    events = [
        Event(row.occurred_at, numbers.get(id(row), row.event_number), row.facts, known_at=row.known_at) for row in rows
    ]
    return sorted(events, key=lambda event: (event.occurred_at, event.event_number))


def _receipt(row: Row[Any]) -> tuple[int, int, str, str]:
    """Place in the order of receipt; messages of one id come from several streams, and are ordered by their names."""
    return row.sent_ms, row.sent_number, row.source, row.event_id


def _insert(connection: Connection, table: Table, frame: pl.DataFrame, constant: dict[str, str]) -> None:
    keys = [name for name in _KEYS if name in frame.columns]
    for rows in _slices(frame):
        facts = dates_as_text(rows.drop(keys)).to_dicts()
        named = zip(rows.select(keys).iter_rows(named=True), facts, strict=True)
        values: list[dict[str, Any]] = [constant | key | {"facts": fact} for key, fact in named]
        connection.execute(insert(table), values)


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return (rows for rows in frame.iter_slices(_ROWS_AT_ONCE) if rows.height)
