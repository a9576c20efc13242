"""Received text as values of a declared type: exact, or nothing."""

import polars as pl

from credit_scoring.core.portfolio import Column

MOMENT = pl.Datetime("us", "UTC")
"""Type of every moment: ``occurred_at``, ``known_at``, ``as_of``, and dates, at midnight unless they have a time."""

_INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^([+-]?\d+)\.0*$"
_SPACE = "[ \u00a0\u202f\u2009]"
"""Spaces that group thousands: spreadsheets write those that do not break a line."""

_ISO_OFFSET = r"(?i:z|[+-]\d\d:?\d\d)$"
_ISO_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")
_ISO_OFFSET_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")


def column_type(column: Column) -> pl.DataType:
    """Return the type in which a column's values are held."""
    types: dict[str, pl.DataType] = {
        "integer": pl.Int64(),
        "number": pl.Float64(),
        "category": pl.String(),
        "date": MOMENT,
        "text": pl.String(),
    }
    return types[column.type]


def parsed(text: pl.Expr, column: Column) -> pl.Expr:
    """Return stripped text as values of ``column``'s type; null where it is none, or ambiguous."""
    match column.type:
        case "category":
            return _category(text, column)
        case "date":
            return _moment(text, column.formats)
        case "text":
            return text
    return _number(_plain_number(text, column), column)


def _category(text: pl.Expr, column: Column) -> pl.Expr:
    """A declared code, also where a spreadsheet has made 2.0 of 2."""
    codes = column.values or {}
    exact = text.replace_strict(codes, default=None, return_dtype=pl.String)
    whole = text.str.extract(_WHOLE).replace_strict(codes, default=None, return_dtype=pl.String)
    return pl.coalesce(exact, whole)


def _plain_number(text: pl.Expr, column: Column) -> pl.Expr:
    """The number with a point and no grouping; null where groups are not of three digits."""
    if column.thousands is None and column.decimal == ".":
        return text
    mark = _SPACE if column.thousands == " " else _literally(column.thousands or "")
    point = _literally(column.decimal)
    grouped = rf"\d{{1,3}}({mark}\d{{3}})+|" if column.thousands else ""
    shape = rf"^[+-]?({grouped}\d*)({point}\d*)?([eE][+-]?\d+)?$"
    bare = text.str.replace_all(mark, "") if column.thousands else text
    return pl.when(text.str.contains(shape)).then(bare.str.replace(column.decimal, ".", literal=True))


def _literally(mark: str) -> str:
    return f"\\{mark}" if mark and mark in ".'" else mark


def _number(text: pl.Expr, column: Column) -> pl.Expr:
    number = pl.when(text.str.contains(_NUMBER)).then(text).cast(pl.Float64, strict=False)
    if column.type == "integer":
        exact = pl.when(text.str.contains(_INTEGER)).then(text.str.strip_prefix("+")).cast(pl.Int64, strict=False)
        whole = pl.when(number == number.round()).then(number).cast(pl.Int64, strict=False)
        return pl.coalesce(exact, whole)
    return pl.when(number.is_finite()).then(number)


def _moment(text: pl.Expr, formats: tuple[str, ...]) -> pl.Expr:
    """The moment in UTC; of several declared formats that read the text differently, none can be believed."""
    if not formats:
        local = [_local(text, form) for form in _ISO_FORMATS]
        offset = [text.str.to_datetime(form, strict=False, time_unit="us") for form in _ISO_OFFSET_FORMATS]
        has_offset = text.str.contains(r"\d\d:\d\d.*" + _ISO_OFFSET)
        return pl.when(has_offset).then(pl.coalesce(*offset)).otherwise(pl.coalesce(*local))
    readings = [_declared_format(text, form) for form in formats]
    earliest, latest = pl.min_horizontal(readings), pl.max_horizontal(readings)
    return pl.when(earliest == latest).then(earliest)


def _declared_format(text: pl.Expr, form: str) -> pl.Expr:
    if "%z" in form or "%:z" in form or "%#z" in form:
        return text.str.to_datetime(form, strict=False, time_unit="us")
    return _local(text, form)


def _local(text: pl.Expr, form: str) -> pl.Expr:
    if any(hour in form for hour in ("%H", "%I", "%T", "%R", "%s")):
        moment = text.str.to_datetime(form, strict=False, time_unit="us")
    else:
        moment = text.str.to_date(form, strict=False).cast(pl.Datetime("us"))
    return moment.dt.replace_time_zone("UTC")
