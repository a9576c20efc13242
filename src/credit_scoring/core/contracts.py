"""The declaration as contracts: what the rows of each received table must be, column by column."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from credit_scoring.core.portfolio import Column, EventsTable, Portfolio, TimeColumn

APPLICANTS = "applicants"
"""Name of the applicants table among the tables; no other table may have it."""

_NAME = Column(type="text")


@dataclass(frozen=True, slots=True)
class ReceivedColumn:
    """One column of checked rows: its name there, the received column it is read from, and what it must be.

    ``is_name`` marks a text that names something (an applicant, an event); ``column.type`` 'date' keeps the time.
    """

    name: str
    source: str
    column: Column
    is_name: bool = False


@dataclass(frozen=True, slots=True)
class TableContract:
    """What every row of a received table must be.

    ``key`` is the checked column that names a row and occurs once; None where rows have no name of their own.
    ``first_wins`` keeps the first of rows that share a name though they differ: for events, which are sent again.
    ``numbered`` asks for names made of the row's number, under ``applicant_id``. ``missing`` are texts that stand
    for a value that is not known.
    """

    table: str
    columns: tuple[ReceivedColumn, ...]
    key: str | None
    missing: tuple[str, ...] = ()
    numbered: bool = False
    first_wins: bool = False
    sources: Mapping[str, ReceivedColumn] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", {column.name: column for column in self.columns})


def wide_name(table: str, day: date, column: str) -> str:
    """Return the name, among checked applicants, of a column of an event that arrives in their rows."""
    return f"{table}@{day.isoformat()}@{column}"


def received_tables(portfolio: Portfolio) -> dict[str, TableContract]:
    """Return the contract of every table that is received by itself, the applicants first."""
    lookups = {name: _lookup_contract(name, portfolio) for name in portfolio.lookups}
    events = {
        name: events_contract(portfolio, name)
        for name, declared in portfolio.events.items()
        if declared.from_wide is None
    }
    return {APPLICANTS: applicants_contract(portfolio)} | lookups | events


def applicants_contract(portfolio: Portfolio) -> TableContract:
    """Return the contract of the applicants' rows, with the events that arrive in them."""
    table = portfolio.applicants
    names = [ReceivedColumn("applicant_id", table.key, _NAME, is_name=True)] if table.key else []
    if table.grouped_by:
        names.append(ReceivedColumn("person", table.grouped_by, _NAME, is_name=True))
    wide = [
        ReceivedColumn(wide_name(events, day, name), source, declared.columns[name])
        for events, declared in portfolio.events.items()
        if declared.from_wide is not None
        for day, sources in declared.from_wide.at.items()
        for name, source in sources.items()
    ]
    columns = (*names, *_declared(table.columns), *wide)
    key = "applicant_id" if table.key else None
    return TableContract(APPLICANTS, columns, key, table.missing, numbered=table.key is None)


def events_contract(portfolio: Portfolio, table: str) -> TableContract:
    """Return the contract of an event table of its own: ``applicant_id``, ``event_id`` if declared, times, columns."""
    declared = portfolio.events[table]
    applicant = declared.key or portfolio.applicants.key or "applicant_id"
    names = [ReceivedColumn("applicant_id", applicant, _NAME, is_name=True)]
    if declared.id:
        names.append(ReceivedColumn("event_id", declared.id, _NAME, is_name=True))
    key = "event_id" if declared.id else None
    columns = (*names, *_times(declared), *_declared(declared.columns))
    return TableContract(table, columns, key, declared.missing, first_wins=True)


def _lookup_contract(table: str, portfolio: Portfolio) -> TableContract:
    lookup = portfolio.lookups[table]
    by = portfolio.row_columns[lookup.by].model_copy(update={"nullable": False})
    key = ReceivedColumn("lookup_key", lookup.key, by, is_name=True)
    return TableContract(table, (key, *_declared(lookup.columns)), "lookup_key", lookup.missing)


def _declared(columns: Mapping[str, Column]) -> tuple[ReceivedColumn, ...]:
    return tuple(ReceivedColumn(name, column.source or name, column) for name, column in columns.items())


def _times(declared: EventsTable) -> list[ReceivedColumn]:
    times: dict[str, TimeColumn | None] = {"occurred_at": declared.occurred_at, "known_at": declared.known_at}
    return [
        ReceivedColumn(name, time.source, Column(type="date", formats=time.formats))
        for name, time in times.items()
        if time is not None
    ]
