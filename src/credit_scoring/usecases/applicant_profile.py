"""What is told of an applicant: decisions over time, and the facts that the next one is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from credit_scoring.api.applicants import (
    ApplicantProfile,
    ProfileDecision,
    ProfileEvent,
    ProfileEvents,
    ProfileFields,
)
from credit_scoring.api.decisions import Json
from credit_scoring.core.errors import UnknownApplicantError
from credit_scoring.core.facts import Value, moment_of
from credit_scoring.core.owners import Applicant
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.records import DecisionQuery, DecisionRecord, Place
from credit_scoring.core.timed_facts import TimedEvents, TimedFields
from credit_scoring.ports import DecisionBook, TimedFactsStore

Columns = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class ProfilePage:
    """A profile; ``last`` is the record after which the next page begins, None on the last page."""

    profile: ApplicantProfile
    last: DecisionRecord | None


@dataclass(frozen=True, slots=True)
class ProfileReader:
    """Reads profiles: of stored values, only those of columns that a decision may use under all ``declared``."""

    declared: Sequence[Portfolio]
    decisions: DecisionBook
    facts: TimedFactsStore

    def read(self, applicant: Applicant, before: Place | None, limit: int) -> ProfilePage:
        """Return a page of ``limit`` decisions, and as many of the newest events of each table.

        Raises:
            UnknownApplicantError: If there are neither decisions nor facts.
            RecordsError: If they cannot be read.
        """
        page = self._decisions(applicant, before, limit + 1)
        newest = page if before is None else self._decisions(applicant, None, 1)
        facts = self.facts.timed_facts(applicant, limit)
        if facts.is_empty and not newest:
            raise UnknownApplicantError
        tables = {table: self._columns_of(table) for table in facts.events}
        profile = ApplicantProfile(
            applicant_id=applicant.applicant_id,
            latest=_decision(newest[0]) if newest else None,
            decisions=tuple(map(_decision, page[:limit])),
            next=None,
            fields=None if facts.fields is None else _fields(facts.fields, self._fields),
            events={table: _events(facts.events[table], columns) for table, columns in tables.items() if columns},
        )
        return ProfilePage(profile, page[limit - 1] if len(page) > limit else None)

    def _decisions(self, applicant: Applicant, before: Place | None, limit: int) -> list[DecisionRecord]:
        query = DecisionQuery(applicant_id=applicant.applicant_id, before=before, limit=limit)
        return self.decisions.find(applicant.owner, query)

    @property
    def _fields(self) -> Columns:
        return _usable([(one.row_columns, one.application_columns) for one in self.declared])

    def _columns_of(self, table: str) -> Columns:
        found = [portfolio.events[table] for portfolio in self.declared if table in portfolio.events]
        return _usable([(one.columns, one.usable_columns) for one in found])


def _usable(declared: Sequence[tuple[Columns, Columns]]) -> dict[str, Column]:
    """Return columns that one declaration lets a decision use and no other holds back; each is all and usable ones."""
    held_back = {name for columns, usable in declared for name in columns if name not in usable}
    found = {name: column for _, usable in declared for name, column in usable.items()}
    return {name: column for name, column in found.items() if name not in held_back}


def _decision(record: DecisionRecord) -> ProfileDecision:
    told = {name: getattr(record.answer, name) for name in ProfileDecision.model_fields if name != "decided_at"}
    return ProfileDecision(decided_at=record.decided_at, **told)


def _fields(fields: TimedFields, columns: Columns) -> ProfileFields:
    return ProfileFields(
        received_at=fields.received_at,
        received_from=fields.received_from,
        values=_told(fields.values, columns),
    )


def _events(events: TimedEvents, columns: Columns) -> ProfileEvents:
    newest = tuple(
        ProfileEvent(occurred_at=event.occurred_at, known_at=event.known_at, values=_told(event.values, columns))
        for event in events.newest
    )
    return ProfileEvents(count=events.count, newest=newest)


def _told(values: Mapping[str, Value], columns: Columns) -> Json:
    return {name: _as_sent(values[name], column) for name, column in columns.items() if name in values}


def _as_sent(value: Value, column: Column) -> Value:
    """Return a stored value as a request has it: a day where moments are stored."""
    if column.type != "date" or not isinstance(value, str):
        return value
    return moment_of(value).date().isoformat()
