"""Types of request bodies, made from what the portfolio declares: ids, times, columns and rows of events."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from math import ceil, floor
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from typing_extensions import TypedDict  # Pydantic takes this one on Python 3.11

from credit_scoring.api.decisions import Json
from credit_scoring.core.golden import example_value
from credit_scoring.core.ids import ID_PATTERN, LONGEST_ID
from credit_scoring.core.portfolio import Column, EventsTable

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
"""How bodies are read: nothing that is not declared, and no type taken for another."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _utc_moment(value: object) -> datetime:
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 time with its offset, such as 2005-10-01T00:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        # The parser's own words quote the value.
        raise ValueError("must be a day and time that exist") from None


Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_ID, pattern=ID_PATTERN), Field(examples=["1"])
]
Moment = Annotated[datetime, BeforeValidator(_utc_moment), Field(examples=["2005-10-01T00:00:00Z"])]


def _existing_day(text: str) -> str:
    try:
        day = date.fromisoformat(text).isoformat()
    except ValueError:
        day = ""
    if day != text:
        raise ValueError("must be a day that exists, written like 2005-10-01")
    return day


Day = Annotated[
    str,
    AfterValidator(_existing_day),
    WithJsonSchema({"type": "string", "format": "date"}),
]


def declared_object(name: str, told: str, fields: Mapping[str, Any]) -> Any:
    """Return an object's type as a TypedDict: on a model, a column named 'copy' or 'json' would hide a method."""
    declare: Any = TypedDict
    made = declare(name, dict(fields))
    made.__pydantic_config__ = STRICT
    made.__doc__ = told
    return made


def event_rows(
    name: str, declared: tuple[EventsTable | None, EventsTable | None], own: Mapping[str, Any], details: Any
) -> Any:
    """Return the type of a table's rows, which may be left out: ``own`` fields and the columns of both declarations.

    Args:
        name: Name of the row's schema.
        declared: The table as the champion's and as the challenger's declaration has it, None where it has none.
        own: Fields that are no columns, such as times.
        details: What the description says of the rows.
    """
    champion, challenger = (table.usable_columns if table else {} for table in declared)
    row = declared_object(
        name,
        "One event, with the columns that the portfolio declares.",
        {**own, **declared_fields(champion, challenger)},
    )
    return NotRequired[Annotated[list[row], details]]  # type: ignore[valid-type] # made here, so mypy cannot know it


def declared_fields(champion: Mapping[str, Column], challenger: Mapping[str, Column]) -> dict[str, Any]:
    """Return the champion's columns as declared, and those that the challenger alone declares as optional."""
    added = {name: column for name, column in challenger.items() if name not in champion}
    optional = {name: column.model_copy(update={"nullable": True}) for name, column in added.items()}
    return {name: _field(name, column) for name, column in {**champion, **(optional if champion else added)}.items()}


def _field(name: str, column: Column) -> Any:
    kind, details = _type(column), Field(**_details(name, column))
    return NotRequired[Annotated[kind | None, details]] if column.nullable else Annotated[kind, details]


def _type(column: Column) -> Any:
    if column.type == "category":
        return Literal[column.categories]
    if column.type == "date":
        return Annotated[Day, AfterValidator(_between(*column.days))]
    kind, (low, high) = (int if column.type == "integer" else float), column.bounds
    if column.special:
        return Annotated[kind, AfterValidator(_amount_or_code(column))]
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


def _details(name: str, column: Column) -> dict[str, Any]:
    told = [column.description or f"column '{name}' of the portfolio"]
    if column.special:
        told.append(_amounts_and_codes(column))
    elif column.type == "date":
        told.append("{} to {}".format(*column.days))
    details: dict[str, Any] = {"examples": [_example(column)], "description": "; ".join(told)}
    if column.unit:
        details["json_schema_extra"] = {"unit": column.unit}
    return details


def _amounts_and_codes(column: Column) -> str:
    low, high = column.bounds
    return f"{low:g} to {high:g}, or {', '.join(f'{code:g} ({told})' for code, told in column.special.items())}"


def examples_of(columns: Mapping[str, Column]) -> Json:
    """Return an example of every column."""
    return {name: _example(column) for name, column in columns.items()}


def _example(column: Column) -> float | str | None:
    value = example_value(column)
    if isinstance(value, date):
        return value.isoformat()
    return int(value) if column.type == "integer" and isinstance(value, float) else value
