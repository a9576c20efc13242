"""The two questions that are put to the database about facts, for any number of applicants of one owner.

Each is built once per kind of database: building costs more than answering.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    String,
    Table,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from credit_scoring.adapters.database.lists import asked_for, list_of
from credit_scoring.adapters.database.schema import (
    applicants,
    events,
    facts_revisions,
    loads,
    pushed_applicants,
    pushed_events,
)
from credit_scoring.core.owners import Owner


def parameters(dialect: str, owner: Owner, applicant_ids: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of both questions."""
    return {"tenant": owner.tenant, "portfolio": owner.portfolio, "ids": list_of(dialect, applicant_ids)}


@cache
def states(dialect: str, *, with_fields: bool) -> Select[Any]:
    """Ask for ``applicant_id``, ``content``, ``number``, ``pushed`` and ``fields`` of applicants who are known.

    ``pushed`` tells whether the fields hold that were pushed: no file brought the applicant, or an earlier load did.
    """
    asked = asked_for(dialect)
    filed, put, raised = applicants.c, pushed_applicants.c, facts_revisions.c
    later = and_(put.applicant_id.is_not(None), or_(filed.applicant_id.is_(None), loads.c.loaded_at < put.received_at))
    pushed = type_coerce(func.coalesce(later, literal(value=False)), Boolean).label("pushed")
    told = [asked.c.value.label("applicant_id"), loads.c.content_hash.label("content"), raised.revision, pushed]
    if with_fields:
        told.append(type_coerce(case((later, put.facts), else_=filed.facts), JSON).label("fields"))
    joined: Any = asked
    for table in (applicants, pushed_applicants, facts_revisions):
        joined = joined.outerjoin(table, and_(_owned(table), table.c.applicant_id == asked.c.value))
    joined = joined.outerjoin(loads, _owned(loads))
    known = or_(filed.applicant_id.is_not(None), put.applicant_id.is_not(None))
    return select(*told).select_from(joined).where(known)


@cache
def all_events(dialect: str) -> CompoundSelect[Any]:
    """Ask for events: those that files brought, and those that were pushed and no file has, in no order."""
    filed, pushed = events.c, pushed_events.c
    unsent = literal(0).label("sent_ms"), literal(0).label("sent_number"), literal("").label("source")
    of_files = select(*_told(events), filed.event_number, *unsent, filed.event_id).where(_theirs(dialect, events))
    same_id = and_(_owned(events), filed.event_table == pushed.event_table, filed.event_id == pushed.event_id)
    sent = pushed.sent_ms, pushed.sent_number, pushed.source, pushed.event_id
    of_streams = select(*_told(pushed_events), literal(None, Integer), *sent).where(
        _theirs(dialect, pushed_events), ~exists().where(same_id)
    )
    return union_all(of_files, of_streams)


def _told(table: Table) -> list[ColumnElement[Any]]:
    rows = table.c
    return [rows.applicant_id, rows.event_table, rows.occurred_at, rows.known_at, rows.facts]


def _owned(table: Table) -> ColumnElement[bool]:
    return and_(table.c.tenant == bindparam("tenant"), table.c.portfolio == bindparam("portfolio"))


def _theirs(dialect: str, table: Table) -> ColumnElement[bool]:
    applicant_id = table.c.applicant_id
    if dialect == "sqlite":
        return and_(_owned(table), applicant_id.in_(select(asked_for(dialect).c.value)))
    return and_(_owned(table), applicant_id == any_(bindparam("ids", type_=ARRAY(String))))
