"""Typed values as the text that a contract reads, so that every source meets the same contract."""

import ipaddress
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import polars as pl

from credit_scoring.core.errors import ContractError

_WHOLE_FLOATS = 2.0**53
_RFC_3339 = "%Y-%m-%dT%H:%M:%S%.f%:z"
_TIMES_OF_NUMPY = "mM"  # in nanoseconds they would become plain integers
_WRITTEN_AS_THEY_ARE = (UUID, ipaddress.IPv4Address, ipaddress.IPv6Address)


class Number(str):
    """A number in the very digits in which a JSON text gave it."""

    __slots__ = ()


def text_series(values: pl.Series) -> pl.Series:
    """Return ``values`` as text, null where they are null.

    Integers are plain; floats the shortest text that reads back as the same number, without '.0' when whole,
    because sources that allow no missing integer give ids as floats; booleans 'true' and 'false'; dates ISO 8601;
    times RFC 3339, a time without zone taken as UTC; decimals plain; lists and structs compact JSON.

    Raises:
        ContractError: If the type has no exact text (bytes, durations, an engine's own types).
    """
    kind = values.dtype
    if kind == pl.String:
        return values
    if kind.is_float():
        return _floats(values)
    if isinstance(kind, pl.Datetime):
        zoned = values if kind.time_zone else values.dt.replace_time_zone("UTC")
        return zoned.dt.to_string(_RFC_3339)
    if kind.is_nested():
        texts = [None if value is None else json_text(value, values.name) for value in values.to_list()]
        return pl.Series(values.name, texts, pl.String)
    if kind.is_integer() or kind.is_decimal() or kind in _SAME_AS_POLARS:
        return values.cast(pl.String)
    raise _without_text(str(kind), values.name)


_SAME_AS_POLARS = (pl.Boolean, pl.Date, pl.Time, pl.Categorical, pl.Enum, pl.Null)


def text_of(value: Any, column: str) -> str | None:
    """Return one Python value as ``text_series`` would; ``column`` is for the error."""
    match value:
        case None | str():
            text = value
        case bool():
            text = str(value).lower()
        case int():
            text = str(value)
        case float():
            text = _float_text(value)
        case Decimal():
            text = format(value, "f")
        case datetime():
            text = (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case date() | time():
            text = value.isoformat()
        case Mapping() | list() | tuple():
            text = json_text(value, column)
        case _ if isinstance(value, _WRITTEN_AS_THEY_ARE):
            text = str(value)
        case _ if hasattr(value, "tolist") and value.dtype.kind not in _TIMES_OF_NUMPY:
            text = text_of(value.tolist(), column)
        case _:
            raise _without_text(type(value).__name__, column)
    return text


def json_text(value: Any, column: str) -> str:
    """Return a nested value as compact JSON; numbers keep their digits, what JSON has no type for is a string."""
    match value:
        case Mapping():
            fields = (f"{json.dumps(str(k), ensure_ascii=False)}:{json_text(v, column)}" for k, v in value.items())
            text = f"{{{','.join(fields)}}}"
        case list() | tuple():
            text = f"[{','.join(json_text(element, column) for element in value)}]"
        case None:
            text = "null"
        case Number():
            text = str(value)
        case bool() | int():
            text = str(value).lower()
        case float() if math.isfinite(value):
            text = _float_text(value)
        case _:
            text = json.dumps(text_of(value, column), ensure_ascii=False)
    return text


def text_rows(objects: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows given as mappings as text columns: the union of their keys as first met, null where one is absent."""
    rows = list(objects)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [text_of(row.get(name), name) for row in rows] for name in names}
    return pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String))


def _floats(values: pl.Series) -> pl.Series:
    whole = (values == values.round()) & (values.abs() <= _WHOLE_FLOATS) & ((values != 0) | (1 / values > 0))
    plain = values.set(~whole.fill_null(value=False), None).cast(pl.Int64).cast(pl.String)
    return pl.select(pl.coalesce(plain, values.cast(pl.String))).to_series().alias(values.name)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if abs(value) <= _WHOLE_FLOATS and value.is_integer() and (value or math.copysign(1, value) > 0):
        return str(int(value))
    return repr(value)


def _without_text(kind: str, column: str) -> ContractError:
    return ContractError(
        f"Column '{column}' is of type {kind}, which has no exact text. Leave it out where the source is read "
        f"(a list of columns, or a query), or give it as text or numbers there."
    )
