"""Facts of applicants: what the ingestion validated and what was pushed, read for many applicants at once."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
from sqlalchemy import Connection, Engine, Row, Table, delete, insert, select, text

from credit_scoring.adapters.database.direct import Prepared
from credit_scoring.adapters.database.engine import direct, writing
from credit_scoring.adapters.database.facts_queries import all_events, parameters, states
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.revisions import revision_text
from credit_scoring.adapters.database.schema import applicants as applicants_table
from credit_scoring.adapters.database.schema import events as events_table
from credit_scoring.adapters.database.schema import loads
from credit_scoring.adapters.database.timed_facts import timed_facts
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.facts import Event, Facts, KnownFacts
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.pushed import dates_as_text
from credit_scoring.core.timed_facts import TimedFacts
from credit_scoring.ports import Clock

_ROWS_AT_ONCE = 20_000
_KEYS = ("applicant_id", "occurred_at", "event_number", "known_at", "event_id")


class FactsRepository:
    """``FactsStore`` in the database: what files brought, a whole portfolio at a time, and what was pushed.

    An event that both brought, by its id, counts once, as the files have it: they are validated as a whole and can be
    corrected. What was pushed stays, whatever is loaded; training reads both by the same rule (``pushed_tables``).
    """

    def __init__(self, engine: Engine, clock: Clock = utc_now) -> None:
        self._engine = engine
        self._clock = clock
        self._direct = direct(engine)
        self._states = Prepared(states(engine.dialect.name, with_fields=False), engine.dialect)
        # All questions of one call see one state of the database; the embedded one reads like that by itself.
        embedded = engine.dialect.name == "sqlite"
        self._reading = engine if embedded else engine.execution_options(isolation_level="REPEATABLE READ")

    def replace_all(
        self, owner: Owner, content_hash: str, applicants: pl.DataFrame, events: Mapping[str, pl.DataFrame]
    ) -> bool:
        """Replace what files brought of an owner in one transaction; False when this content is loaded already.

        Args:
            owner: Whose facts they are.
            content_hash: Names the content; the same hash is not loaded twice.
            applicants: One row per applicant: ``applicant_id`` and fields, null where unknown.
            events: By table: ``applicant_id``, ``occurred_at`` (UTC), ``event_number``, where the table has them
                ``known_at`` and ``event_id``, and the table's columns. Their applicant need not be there (yet).
        """
        whose = owner._asdict()
        load = whose | {"content_hash": content_hash, "loaded_at": self._clock()}
        with told_as_records_error("loading facts"), writing(self._engine).begin() as connection:
            if self._loaded(connection, owner) == content_hash:
                return False
            for table in (events_table, applicants_table, loads):
                rows = table.c
                connection.execute(delete(table).where(rows.tenant == owner.tenant, rows.portfolio == owner.portfolio))
            _insert(connection, applicants_table, applicants, whose)
            for name, frame in events.items():
                _insert(connection, events_table, frame, whose | {"event_table": name})
            connection.execute(insert(loads).values(load))
            _count(connection)
        return True

    def loaded_content(self, owner: Owner) -> str | None:
        """Return the hash of the content that is loaded, or None when nothing is."""
        with told_as_records_error("reading facts"), self._engine.begin() as connection:
            return self._loaded(connection, owner)

    def revisions(self, applicants: Sequence[Applicant]) -> list[str | None]:
        """See ``FactsStore.revisions``."""
        found: dict[Applicant, str] = {}
        with told_as_records_error("reading facts"):
            for owner, ids in _by_owner(applicants).items():
                rows = self._direct.rows(self._states.step(parameters(self._direct.dialect.name, owner, ids)))
                for applicant_id, content, number, pushed in rows:
                    found[Applicant(owner, applicant_id)] = revision_text(content, number, pushed=pushed)
        return [found.get(one) for one in applicants]

    def facts_of(self, applicants: Sequence[Applicant]) -> list[KnownFacts | None]:
        """See ``FactsStore.facts_of``.

        The revision is as new as the facts, because both are of one snapshot of the database; and it is asked first,
        so that it would be the older one, which is harmless, without a snapshot.
        """
        found = {}
        with told_as_records_error("reading facts"), self._reading.begin() as connection:
            for owner, ids in _by_owner(applicants).items():
                found[owner] = _known_facts(connection, owner, ids)
        return [found[owner].get(applicant_id) for owner, applicant_id in applicants]

    def timed_facts(self, applicant: Applicant, most: int) -> TimedFacts:
        """See ``TimedFactsStore.timed_facts``."""
        with told_as_records_error("reading facts"), self._reading.begin() as connection:
            return timed_facts(connection, applicant, most)

    @staticmethod
    def _loaded(connection: Connection, owner: Owner) -> str | None:
        this = loads.c.tenant == owner.tenant, loads.c.portfolio == owner.portfolio
        found: str | None = connection.scalar(select(loads.c.content_hash).where(*this))
        return found


def _by_owner(applicants: Sequence[Applicant]) -> dict[Owner, list[str]]:
    """Return the ids asked for of each owner, each once."""
    found: dict[Owner, dict[str, None]] = defaultdict(dict)
    for owner, applicant_id in applicants:
        found[owner][applicant_id] = None
    return {owner: list(ids) for owner, ids in found.items()}


def _known_facts(connection: Connection, owner: Owner, ids: Sequence[str]) -> dict[str, KnownFacts]:
    dialect = connection.dialect.name
    asked = parameters(dialect, owner, ids)
    known = connection.execute(states(dialect, with_fields=True), asked).all()
    if not known:
        return {}
    by_applicant: dict[str, dict[str, list[Row[Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in connection.execute(all_events(dialect), asked):
        by_applicant[row.applicant_id][row.event_table].append(row)
    found = {}
    for applicant_id, content, number, pushed, fields in known:
        events = {table: _numbered(rows) for table, rows in by_applicant[applicant_id].items()}
        found[applicant_id] = KnownFacts(Facts(fields, events), revision_text(content, number, pushed=pushed))
    return found


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


def _count(connection: Connection) -> None:
    """Tell the server how many rows there are: until then it would look through all of them for one applicant's."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"ANALYZE {applicants_table.name}, {events_table.name}"))


def _insert(connection: Connection, table: Table, frame: pl.DataFrame, constant: dict[str, str]) -> None:
    keys = [name for name in _KEYS if name in frame.columns]
    for rows in _slices(frame):
        facts = dates_as_text(rows.drop(keys)).to_dicts()
        named = zip(rows.select(keys).iter_rows(named=True), facts, strict=True)
        values: list[dict[str, Any]] = [constant | key | {"facts": fact} for key, fact in named]
        connection.execute(insert(table), values)


def _slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return (rows for rows in frame.iter_slices(_ROWS_AT_ONCE) if rows.height)
