"""The service's request bodies, made from the portfolio's declaration."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil, floor
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    create_model,
)
from typing_extensions import TypedDict  # Pydantic takes this one on Python 3.11

from credit_scoring.api.decisions import Json
from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import InvalidApplicationError
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.golden import example_value
from credit_scoring.core.portfolio import Column, EventsTable, Portfolio
from credit_scoring.core.tables import midnight
from credit_scoring.usecases.applications import Application

ID_LENGTH = 128
"""Most characters of an id."""

_EXAMPLE_DAY = date(2000, 7, 1)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must consist of printable characters")
    return text


def _utc_moment(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 time with its offset, such as 2005-10-01T00:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        # The parser's own words quote the value.
        raise ValueError("must be a day and time that exist") from None


Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=ID_LENGTH), AfterValidator(_printable), Field(examples=["1"])
]
Moment = Annotated[datetime, BeforeValidator(_utc_moment)]


def _existing_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("must be a day that exists, such as 2005-10-01") from None


Day = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d\d-\d\d$"),
    AfterValidator(_existing_day),
    WithJsonSchema({"type": "string", "format": "date"}),
]


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
    fields = _union(champion.application_columns, challenger.application_columns)
    tables = dict.fromkeys([*champion.events, *challenger.events])
    rows = {table: _rows(table, champion.events.get(table), challenger.events.get(table)) for table in tables}
    application, events = _object("ApplicationFields", fields), _object("Events", rows)
    return create_model(
        "ApplicationBody",
        __config__=ConfigDict(**_STRICT, json_schema_extra={"examples": [example_body(champion)]}),
        __doc__="One application. Facts sent inline serve this decision alone.",
        application_id=(Identifier, Field(description="names the application; sent again, it gets its first answer")),
        applicant_id=(Identifier, Field(description="names the applicant, whose arm of the experiment never changes")),
        as_of=(Moment | None, Field(None, description="use facts strictly before this moment; never in the future")),
        application=(application | None, Field(None, description="fields inline; without it, stored facts are used")),
        events=(
            events | None,
            Field(None, description="events inline; of a table that is absent or empty nothing is known"),
        ),
    )


def to_application(body: BaseModel, received: Json, sender: Sender) -> Application:
    """Return a checked body as the use case takes it.

    Raises:
        InvalidApplicationError: If events came without the application's fields.
    """
    content: dict[str, Any] = dict(body)
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
    yesterday = {"occurred_at": _told(as_of - timedelta(days=1))}
    return {
        "application_id": "application-1",
        "applicant_id": "applicant-1",
        "as_of": _told(as_of),
        "application": _examples(portfolio.application_columns),
        "events": {table: [yesterday | _examples(events.usable_columns)] for table, events in portfolio.events.items()},
    }


def _told(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _events(tables: Mapping[str, Sequence[Json]]) -> dict[str, list[Event]]:
    return {table: [_event(row, number) for number, row in enumerate(rows)] for table, rows in tables.items()}


def _event(row: Json, number: int) -> Event:
    values = {name: value for name, value in row.items() if name not in ("occurred_at", "known_at")}
    return Event(row["occurred_at"], number, values, known_at=row.get("known_at"))


def _object(name: str, fields: Mapping[str, Any]) -> Any:
    """Return an object's type as a TypedDict: on a model, a column named 'copy' or 'json' would hide a method."""
    declare: Any = TypedDict
    made = declare(name, dict(fields))
    made.__pydantic_config__ = _STRICT
    return made


def _rows(table: str, champion: EventsTable | None, challenger: EventsTable | None) -> Any:
    times: dict[str, Any] = {"occurred_at": Moment}
    if any(declared and declared.known_at for declared in (champion, challenger)):
        told = Field(description="when the lender came to know of the event; without it, when it occurred")
        times["known_at"] = NotRequired[Annotated[Moment, told]]
    columns = [declared.usable_columns if declared else {} for declared in (champion, challenger)]
    row = _object(f"{table.title()}Row", times | _union(*columns))
    details = Field(
        description=f"rows of '{table}', each counted as often as it is sent; absent or empty: nothing is known"
    )
    return NotRequired[Annotated[list[row], details]]  # type: ignore[valid-type] # made here, so mypy cannot know it


def _union(champion: Mapping[str, Column], challenger: Mapping[str, Column]) -> dict[str, Any]:
    """The champion's columns as declared, and those that the challenger alone declares as optional."""
    added = {name: column for name, column in challenger.items() if name not in champion}
    optional = {name: column.model_copy(update={"nullable": True}) for name, column in added.items()}
    return {name: _field(column) for name, column in {**champion, **(optional if champion else added)}.items()}


def _field(column: Column) -> Any:
    kind, details = _type(column), Field(**_details(column))
    return NotRequired[Annotated[kind | None, details]] if column.nullable else Annotated[kind, details]


def _type(column: Column) -> Any:
    if column.type == "category":
        return Literal[column.categories]
    if column.type == "date":
        return Annotated[Day, AfterValidator(_between(*column.days))]
    kind, (low, high) = (int if column.type == "integer" else float), column.bounds
    if column.special:
        codes = ", ".join(f"{code:g} ({meaning})" for code, meaning in column.special.items())
        told = Field(description=f"{low:g} to {high:g}, or {codes}")
        return Annotated[kind, AfterValidator(_amount_or_code(column)), told]
    if column.type == "integer":
        return Annotated[int, Field(ge=ceil(low), le=floor(high))]
    return Annotated[float, Field(ge=low, le=high)]


def _between(first: date, last: date) -> Callable[[str], str]:
    def check(day: str) -> str:
        if not first <= date.fromisoformat(day) <= last:
            raise ValueError(f"must lie between {first} and {last}")
        return day

    return check


def _amount_or_code(column: Column) -> Callable[[float], float]:
    low, high = column.bounds
    codes = ", ".join(f"{code:g} ({meaning})" for code, meaning in column.special.items())

    def check(value: float) -> float:
        if not (low <= value <= high or value in column.special):
            raise ValueError(f"must lie between {low:g} and {high:g}, or be one of {codes}")
        return value

    return check


def _details(column: Column) -> dict[str, Any]:
    details: dict[str, Any] = {"examples": [_example(column)]}
    if column.description:
        details["description"] = column.description
    if column.unit:
        details["json_schema_extra"] = {"unit": column.unit}
    return details


def _examples(columns: Mapping[str, Column]) -> Json:
    return {name: _example(column) for name, column in columns.items()}


def _example(column: Column) -> float | str | None:
    value = example_value(column)
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if column.type == "integer" and isinstance(value, float) else value
