"""Bodies of the routes that take facts of applicants, made from the declarations in role."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, RootModel

from credit_scoring.api.applicants import MOST_EVENTS
from credit_scoring.api.decisions import Json
from credit_scoring.api.problems import Fault
from credit_scoring.core.facts import Value
from credit_scoring.core.portfolio import EventsTable, Portfolio
from credit_scoring.serving.declared_types import (
    Identifier,
    Moment,
    declared_fields,
    declared_object,
    event_rows,
    examples_of,
)
from credit_scoring.serving.event_times import time_faults
from credit_scoring.serving.problems import invalid
from credit_scoring.serving.schemas import FIELDS_TOLD, example_body
from credit_scoring.usecases.accept_facts import SentEvent

CLOCK_SKEW = timedelta(seconds=60)
"""How far a sender's clock may be ahead of ours."""

Body = type[RootModel[Any]]

_EXAMPLE_ID = "event-1"
_OWN = ("occurred_at", "known_at", "event_id")


@dataclass(frozen=True, slots=True)
class ApplicantBodies:
    """Bodies that take facts of applicants, and the declarations that they were made from."""

    declared: tuple[Portfolio, Portfolio]
    fields: Body
    events: Body


def applicant_bodies(champion: Portfolio, challenger: Portfolio) -> ApplicantBodies:
    """Return the bodies: the fields and events of both declarations, as an application has them.

    What the challenger alone declares may be left out.
    """
    fields = declared_object(
        "ApplicationFields", FIELDS_TOLD, declared_fields(champion.application_columns, challenger.application_columns)
    )
    tables = dict.fromkeys([*champion.events, *challenger.events])
    rows = {table: _rows(table, champion.events.get(table), challenger.events.get(table)) for table in tables}
    examples = examples_of(champion.application_columns), example_events(champion)
    return ApplicantBodies(
        (champion, challenger),
        _body("ApplicantFields", "An applicant's fields, all of them.", fields, examples[0]),
        _body(
            "ApplicantEvents",
            "Events of an applicant, by table.",
            declared_object("SentEvents", "Events, by table.", rows),
            examples[1],
        ),
    )


def sent_fields(body: RootModel[Any]) -> Mapping[str, Value]:
    """Return the checked body of an applicant's fields."""
    fields: Mapping[str, Value] = body.root
    return fields


def sent_events(body: RootModel[Any], received_at: datetime) -> dict[str, list[SentEvent]]:
    """Return the checked body of events as the use case takes it.

    Raises:
        RefusedBodyError: If there are more than ``MOST_EVENTS``, or their times cannot be true.
    """
    tables: Mapping[str, Sequence[Json]] = body.root
    sent = sum(len(rows) for rows in tables.values())
    if sent > MOST_EVENTS:
        detail = f"has {sent:,} events; at most {MOST_EVENTS:,} are taken at once"
        raise invalid([Fault(pointer="", code="too_long", detail=detail)], "invalid_body")
    if faults := time_faults(tables, latest=received_at + CLOCK_SKEW):
        raise invalid(faults, "invalid_body")
    return {table: [_event(row) for row in rows] for table, rows in tables.items()}


def example_events(portfolio: Portfolio) -> Json:
    """Return events made of the declared examples, one of each table."""
    events: dict[str, list[Json]] = example_body(portfolio)["events"]
    named = {table for table, declared in portfolio.events.items() if declared.id is not None}
    return {
        table: [row | {"event_id": _EXAMPLE_ID} if table in named else row for row in rows]
        for table, rows in events.items()
    }


def _body(name: str, told: str, content: Any, example: Json) -> Body:
    extra: Json = {"description": told, "examples": [example]}

    class Made(RootModel[content]):
        model_config = ConfigDict(title=name, json_schema_extra=extra)

    return Made


def _rows(table: str, champion: EventsTable | None, challenger: EventsTable | None) -> Any:
    declared = [one for one in (champion, challenger) if one is not None]
    own: dict[str, Any] = {"occurred_at": Annotated[Moment, Field(description="when it occurred; never in the future")]}
    if any(one.known_at for one in declared):
        told = "when the lender came to know of the event; without it, when this request was received"
        own["known_at"] = NotRequired[Annotated[Moment, Field(description=told)]]
    source = next((one.id for one in declared if one.id is not None), None)
    if source is not None:
        told = f"names the event in '{table}' (in files: '{source}'); sent again, it is stored once"
        named = Annotated[Identifier, Field(description=told, examples=[_EXAMPLE_ID])]
        may_lack = champion is not None and champion.id is None
        own["event_id"] = NotRequired[named] if may_lack else named
    details = Field(description=f"rows of '{table}'", max_length=MOST_EVENTS)
    return event_rows(f"Sent{table.title()}Row", (champion, challenger), own, details)


def _event(row: Json) -> SentEvent:
    values = {name: value for name, value in row.items() if name not in _OWN}
    return SentEvent(row["occurred_at"], values, row.get("known_at"), row.get("event_id"))
