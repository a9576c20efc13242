"""The service's request bodies, made from the portfolio's declaration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, ConfigDict, Field, create_model

from credit_scoring.api.decisions import Json
from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import InvalidApplicationError
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.portfolio import EventsTable, Portfolio
from credit_scoring.core.tables import midnight
from credit_scoring.serving.declared_types import (
    STRICT,
    Identifier,
    Moment,
    declared_fields,
    declared_object,
    event_rows,
    examples_of,
)
from credit_scoring.serving.event_times import time_faults
from credit_scoring.serving.problems import invalid
from credit_scoring.usecases.applications import Application

FIELDS_TOLD = "An applicant's fields, as the portfolio declares them."
"""What the API's description says of them."""

_EXAMPLE_DAY = date(2000, 7, 1)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent an application, in which request, and under which ``Idempotency-Key``, if any."""

    caller: Caller
    request_id: str
    idempotency_key: str | None = None


def application_body(champion: Portfolio, challenger: Portfolio) -> type[BaseModel]:
    """Return the body of an application: the fields and events of both declarations.

    What the challenger alone declares may be left out: a new challenger must not break those who call.
    """
    fields = declared_fields(champion.application_columns, challenger.application_columns)
    tables = dict.fromkeys([*champion.events, *challenger.events])
    rows = {table: _rows(table, champion.events.get(table), challenger.events.get(table)) for table in tables}
    application = declared_object("ApplicationFields", FIELDS_TOLD, fields)
    events = declared_object("Events", "Events of an applicant, by table.", rows)
    return create_model(
        "ApplicationBody",
        __config__=ConfigDict(**STRICT, json_schema_extra={"examples": [example_body(champion)]}),
        __doc__="One application. Facts sent inline serve this decision alone.",
        application_id=(
            Identifier,
            Field(
                description="names the application; sent again, it gets its first answer", examples=["application-1"]
            ),
        ),
        applicant_id=(
            Identifier,
            Field(
                description="names the applicant, whose arm of the experiment never changes", examples=["applicant-1"]
            ),
        ),
        as_of=(
            Moment | None,
            Field(
                None,
                description="use facts strictly before this moment; never in the future",
                examples=["2005-10-01T00:00:00Z"],
            ),
        ),
        application=(application | None, Field(None, description="fields inline; without it, stored facts are used")),
        events=(
            events | None,
            Field(None, description="events inline; of a table that is absent or empty nothing is known"),
        ),
    )


def sent_application(body: BaseModel, received: Json, sender: Sender) -> Application:
    """Return a checked body that is sent now; what was recorded is read by ``to_application`` alone.

    Raises:
        InvalidApplicationError: If events came without the application's fields.
        RefusedBodyError: If events were known before they occurred.
    """
    application = to_application(body, received, sender)
    if faults := time_faults(body.__dict__["events"] or {}, ("events",)):
        raise invalid(faults)
    return application


def to_application(body: BaseModel, received: Json, sender: Sender) -> Application:
    """Return a checked body as the use case takes it.

    Raises:
        InvalidApplicationError: If events came without the application's fields.
    """
    content: dict[str, Any] = body.__dict__
    fields, events = content["application"], content["events"]
    if fields is None and events is not None:
        raise InvalidApplicationError(
            "/application",
            "missing",
            "'events' came without 'application'; facts come either whole from the request or from the store. "
            "Send 'application' too, or leave 'events' out.",
        )
    inline = None if fields is None else Facts(fields, _events(events or {}))
    return Application(
        application_id=content["application_id"],
        applicant_id=content["applicant_id"],
        received=received,
        request_id=sender.request_id,
        as_of=content["as_of"],
        inline=inline,
        tenant=sender.caller.tenant,
        idempotency_key=sender.idempotency_key,
        key_id=sender.caller.key_id,
    )


def example_body(portfolio: Portfolio) -> Json:
    """Return an application made of the declared examples, with one event the day before ``as_of``."""
    as_of = midnight(portfolio.as_of.constant or _EXAMPLE_DAY)
    yesterday = {"occurred_at": told_moment(as_of - timedelta(days=1))}
    return {
        "application_id": "application-1",
        "applicant_id": "applicant-1",
        "as_of": told_moment(as_of),
        "application": examples_of(portfolio.application_columns),
        "events": {
            table: [yesterday | examples_of(events.usable_columns)] for table, events in portfolio.events.items()
        },
    }


def told_moment(moment: datetime) -> str:
    """Return a moment in UTC as a body tells it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _events(tables: Mapping[str, Sequence[Json]]) -> dict[str, list[Event]]:
    return {table: [_event(row, number) for number, row in enumerate(rows)] for table, rows in tables.items()}


def _event(row: Json, number: int) -> Event:
    values = row.copy()  # in which the columns are left: to take the times out of it is half the work of a new one
    return Event(values.pop("occurred_at"), number, values, known_at=values.pop("known_at", None))


def _rows(table: str, champion: EventsTable | None, challenger: EventsTable | None) -> Any:
    times: dict[str, Any] = {
        "occurred_at": Annotated[Moment, Field(description="when it occurred, in UTC or with an offset")]
    }
    if any(declared and declared.known_at for declared in (champion, challenger)):
        told = Field(description="when the lender came to know of the event; without it, when it occurred")
        times["known_at"] = NotRequired[Annotated[Moment, told]]
    details = Field(
        description=f"rows of '{table}', each counted as often as it is sent; absent or empty: nothing is known; "
        f"those at or after 'as_of' are not used"
    )
    return event_rows(f"{table.title()}Row", (champion, challenger), times, details)
