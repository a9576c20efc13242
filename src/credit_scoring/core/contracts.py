"""The declaration as a contract: received text to typed rows, and rows set aside with a reason."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from credit_scoring.core.errors import ContractError, nearest
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.tables import column_type

QUARANTINE_SCHEMA = {
    "row_number": pl.Int64,
    "row_key": pl.String,
    "column": pl.String,
    "rule": pl.String,
    "reason": pl.String,
    "received": pl.String,
}
"""``row_number`` counts data rows from 1; ``received`` is the row as it came, as JSON, for a later retry."""

_FINDINGS = {"row": pl.Int64, "column": pl.String, "rule": pl.String, "reason": pl.String}
_INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """What became of the received rows: every row is in exactly one of the two.

    ``valid`` has ``applicant_id`` and every received column under its source name, typed;
    ``quarantined`` has the columns of ``QUARANTINE_SCHEMA``, one row per row set aside.
    """

    valid: pl.DataFrame
    quarantined: pl.DataFrame


def source_columns(portfolio: Portfolio) -> dict[str, Column]:
    """Return the contract of each received column of the applicants table, by its received name."""
    found = {column.source or name: column for name, column in portfolio.applicants.columns.items()}
    for events in portfolio.events.values():
        for sources in events.from_wide.at.values():
            found |= {source: events.columns[name] for name, source in sources.items()}
    return found


def check_rows(raw: pl.DataFrame, portfolio: Portfolio) -> CheckedRows:
    """Check the received applicants table row by row.

    Args:
        raw: ``(n, k)`` text columns as received, null or blank where nothing was given.
        portfolio: The declaration whose contract holds.

    Returns:
        Valid and quarantined rows; together exactly the rows of ``raw``.

    Raises:
        ContractError: If a declared column is absent; nothing can be said of single rows then.
    """
    columns = source_columns(portfolio)
    key = portfolio.applicants.key
    _require_columns(raw, [key, *columns])
    stripped = raw.select(pl.all().cast(pl.String).str.strip_chars())
    text = stripped.select(pl.when(pl.all() != "").then(pl.all()))
    typed = text.select(pl.col(key).alias("applicant_id"), *(_parsed(n, c) for n, c in columns.items() if n != key))
    copies = ~text.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    unreadable = _unreadable(text, typed, columns)
    broken = _contract_findings(typed, columns).join(unreadable, on=["row", "column"], how="anti")
    findings = pl.concat(
        [_copy_findings(copies), _key_findings(typed["applicant_id"], copies, key), unreadable, broken]
    )
    bad = findings["row"].unique()
    keep = pl.int_range(raw.height, eager=True).is_in(bad.implode()).not_()
    return CheckedRows(valid=typed.filter(keep), quarantined=_set_aside(raw, key, findings))


def _require_columns(raw: pl.DataFrame, names: list[str]) -> None:
    missing = [name for name in dict.fromkeys(names) if name not in raw.columns]
    if missing:
        hints = "".join(f" '{name}' is declared but absent.{nearest(name, raw.columns)}" for name in missing[:5])
        raise ContractError(
            f"The applicants file lacks {len(missing)} declared column(s):{hints} "
            f"Received: {', '.join(raw.columns)}. Correct 'source' in the declaration, or the file."
        )


def _parsed(name: str, column: Column) -> pl.Expr:
    text = pl.col(name)
    if column.type == "category":
        return text.replace_strict(column.values or {}, default=None, return_dtype=pl.String)
    number = pl.when(text.str.contains(_NUMBER)).then(text).cast(pl.Float64, strict=False)
    if column.type == "integer":
        exact = pl.when(text.str.contains(_INTEGER)).then(text.str.strip_prefix("+")).cast(pl.Int64, strict=False)
        whole = pl.when(number == number.round()).then(number).cast(pl.Int64, strict=False)
        return pl.coalesce(exact, whole).alias(name)
    return pl.when(number.is_finite()).then(number).alias(name)


def _unreadable(text: pl.DataFrame, typed: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Values that were given but are not of the declared type, or not among its categories."""
    found = []
    for name, column in columns.items():
        if name not in typed.columns:
            continue
        rows = _rows_where(text[name].is_not_null() & typed[name].is_null())
        if column.type == "category":
            found.append(
                _finding(rows, name, "allowed values", f"{name} must be one of {', '.join(column.values or {})}")
            )
        else:
            found.append(_finding(rows, name, "type", f"{name} must be of type {column.type}"))
    return pl.concat(found)


def _copy_findings(copies: pl.Series) -> pl.DataFrame:
    reason = "the row repeats an earlier row in every column; that one was kept"
    return _finding(_rows_where(copies), "", "copy", reason)


def _key_findings(keys: pl.Series, copies: pl.Series, key: str) -> pl.DataFrame:
    """Rows without a key, and rows that share a key though they differ: nothing says which one is right."""
    once = pl.select(pl.when(~copies).then(keys)).to_series()
    repeated = once.is_duplicated() & once.is_not_null()
    return pl.concat(
        [
            _finding(_rows_where(keys.is_null()), key, "required", f"{key}, the key, is missing"),
            _finding(_rows_where(repeated), key, "unique", f"{key} must be unique; differing rows share this one"),
        ]
    )


def _contract_findings(typed: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    """Required values and ranges, checked by pandera."""
    checked = {name: column for name, column in columns.items() if name in typed.columns}
    schema = pa.DataFrameSchema({name: _pandera_column(column) for name, column in checked.items()})
    try:
        schema.validate(typed, lazy=True)
    except SchemaErrors as exc:
        cases = exc.failure_cases
        whole = cases.filter(pl.col("index").is_null())
        if whole.height:
            names = sorted(set(whole["column"].cast(pl.String)))
            raise ContractError(f"Column(s) {names} cannot be checked as declared; correct their type.") from exc
        return _worded(cases, columns)
    return pl.DataFrame(schema=_FINDINGS)


def _pandera_column(column: Column) -> pa.Column:
    low, high = column.bounds
    if column.type == "integer":  # compared as integers: as floats 2**53 + 1 would be 2**53
        low, high = math.ceil(low), math.floor(high)
    checks = [] if column.type == "category" else [pa.Check.in_range(low, high, name="range")]
    return pa.Column(column_type(column), checks, nullable=column.nullable)


def _worded(cases: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    worded = []
    for (column, check), group in cases.group_by(["column", "check"], maintain_order=True):
        name, rows = str(column), group["index"].cast(pl.Int64)
        low, high = columns[name].bounds
        if check == "not_nullable":
            worded.append(_finding(rows, name, "required", f"{name} is missing, which is not declared as allowed"))
        else:
            worded.append(_finding(rows, name, "range", f"{name} must be between {_plain(low)} and {_plain(high)}"))
    return pl.concat(worded)


def _plain(bound: float) -> str:
    """Return a bound in full: 1000001, not 1e+06."""
    return str(int(bound)) if bound.is_integer() else repr(bound)


def _rows_where(mask: pl.Series) -> pl.Series:
    return mask.arg_true().cast(pl.Int64)


def _finding(rows: pl.Series, column: str, rule: str, reason: str) -> pl.DataFrame:
    return pl.DataFrame({"row": rows}, schema={"row": pl.Int64}).with_columns(
        column=pl.lit(column), rule=pl.lit(rule), reason=pl.lit(reason)
    )


def _set_aside(raw: pl.DataFrame, key: str, findings: pl.DataFrame) -> pl.DataFrame:
    """One row per quarantined row; several faults of one row are joined by '; '."""
    told = findings.group_by("row", maintain_order=True).agg(
        *(pl.col(name).unique(maintain_order=True).str.join("; ") for name in ("column", "rule", "reason"))
    )
    received = raw.select(
        row=pl.int_range(pl.len()),
        row_key=pl.col(key).cast(pl.String),
        received=pl.struct(pl.all()).struct.json_encode(),
    )
    joined = told.sort("row").join(received, on="row", how="left", maintain_order="left")
    return joined.with_columns(row_number=pl.col("row") + 1).select(
        pl.col(name).cast(dtype) for name, dtype in QUARANTINE_SCHEMA.items()
    )
