"""Facts of one applicant with their times, by the same rules by which decisions read them."""

from collections import defaultdict
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, select

from credit_scoring.adapters.database.facts_queries import all_events, parameters, states
from credit_scoring.adapters.database.schema import loads, pushed_applicants
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.timed_facts import TimedEvent, TimedEvents, TimedFacts, TimedFields


def timed_facts(connection: Connection, applicant: Applicant, most: int) -> TimedFacts:
    """Return an applicant's fields, and the ``most`` newest events of each table."""
    dialect, owner = connection.dialect.name, applicant.owner
    asked = parameters(dialect, owner, [applicant.applicant_id])
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(_newest_events(dialect), asked | {"most": most}):
        found[row.event_table].append(row)
    events = {table: TimedEvents(rows[0].total, tuple(map(_event, rows))) for table, rows in sorted(found.items())}
    return TimedFacts(_fields(connection, applicant, owner, asked), events)


def _fields(connection: Connection, applicant: Applicant, owner: Owner, asked: dict[str, Any]) -> TimedFields | None:
    state = connection.execute(states(connection.dialect.name, with_fields=True), asked).one_or_none()
    if state is None:
        return None
    table, own = (pushed_applicants, {"applicant_id": applicant.applicant_id}) if state.pushed else (loads, {})
    this = and_(*(table.c[name] == value for name, value in {**owner._asdict(), **own}.items()))
    moment = table.c.received_at if state.pushed else table.c.loaded_at
    received_at = connection.execute(select(moment).where(this)).scalar_one()
    return TimedFields(state.fields, received_at, "api" if state.pushed else "files")


@cache
def _newest_events(dialect: str) -> Select[Any]:
    """Ask for the newest events of each table, and for the ``total`` of each; pushed ones come last in a moment."""
    events = all_events(dialect).subquery()
    c = events.c
    receipt = [c.event_number, c.sent_ms, c.sent_number, c.source, c.event_id]
    newest_first = [c.occurred_at.desc(), c.event_number.is_(None).desc(), *(column.desc() for column in receipt)]
    rank = func.row_number().over(partition_by=c.event_table, order_by=newest_first).label("rank")
    total = func.count().over(partition_by=c.event_table).label("total")
    ranked = select(c.event_table, c.occurred_at, c.known_at, c.facts, rank, total).subquery()
    return select(ranked).where(ranked.c.rank <= bindparam("most")).order_by(ranked.c.event_table, ranked.c.rank)


def _event(row: Any) -> TimedEvent:
    return TimedEvent(row.occurred_at, row.known_at, row.facts)
