"""Checks received rows against their table's contract, batch by batch; what breaks it is set aside with a reason."""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from credit_scoring.core.contracts import ReceivedColumn, TableContract
from credit_scoring.core.errors import ContractError, nearest
from credit_scoring.core.parsing import column_type, parsed
from credit_scoring.core.portfolio import Column
from credit_scoring.core.received import Batch

with warnings.catch_warnings():
    # pandera imports PySpark where that is installed, which warns of pandas 3; nothing here uses the two together.
    warnings.simplefilter("ignore", FutureWarning)
    import pandera.polars as pa
    from pandera.errors import SchemaErrors

QUARANTINE_SCHEMA = {
    "table": pl.String,
    "source": pl.String,
    "row_number": pl.Int64,
    "row_key": pl.String,
    "column": pl.String,
    "rule": pl.String,
    "reason": pl.String,
    "received": pl.String,
}
"""``row_number`` counts data rows of ``source`` from 1; ``received`` is the row as it came, as JSON, for a retry."""

_FINDINGS = {"row": pl.Int64, "column": pl.String, "rule": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """What became of a batch, row by row: every row is in exactly one of the two.

    ``valid`` has the contract's columns, typed, and of each row ``source``, ``row_number``, ``received`` (as it
    came, as JSON) and ``content``, a hash of its stripped text. ``quarantined`` is as ``QUARANTINE_SCHEMA``.
    """

    valid: pl.DataFrame
    quarantined: pl.DataFrame


def check_batch(batch: Batch, contract: TableContract) -> CheckedBatch:
    """Check received rows one by one; what concerns several rows together is for ``repeats``.

    Raises:
        ContractError: If a declared column is absent; nothing can be said of single rows then.
    """
    _require_columns(batch, contract)
    text = _known_text(batch.rows, contract.missing)
    typed = text.select(_typed(column) for column in contract.columns)
    unreadable = _unreadable(text, typed, contract.columns)
    broken = _contract_findings(typed, contract).join(unreadable, on=["row", "column"], how="anti")
    findings = pl.concat([unreadable, broken])
    about = pl.DataFrame(
        {
            "source": pl.repeat(batch.source, batch.rows.height, dtype=pl.String, eager=True),
            "row_number": batch.row_numbers,
            "received": _as_json(batch.rows),
            "content": text.hash_rows() if text.width else pl.Series([], dtype=pl.UInt64),
        }
    )
    if contract.numbered:
        typed = typed.with_columns(applicant_id=pl.format("row-{}", about["row_number"]))
    keep = pl.int_range(batch.rows.height, eager=True).is_in(findings["row"].implode()).not_()
    rows = pl.concat([typed, about], how="horizontal")
    return CheckedBatch(rows.filter(keep), _quarantined(rows, findings, batch, contract))


def _require_columns(batch: Batch, contract: TableContract) -> None:
    received = batch.rows.columns
    missing = [source for source in dict.fromkeys(c.source for c in contract.columns) if source not in received]
    if missing:
        hints = "".join(f" '{name}' is declared but absent.{nearest(name, received)}" for name in missing[:5])
        raise ContractError(
            f"'{batch.source}', received for the table '{contract.table}', lacks {len(missing)} declared column(s):"
            f"{hints} Received: {', '.join(received)}. Correct 'source' in the declaration, or the file."
        )


def _known_text(rows: pl.DataFrame, missing: tuple[str, ...]) -> pl.DataFrame:
    """Return stripped text, null where it is blank or stands for what is not known."""
    stripped = rows.select(pl.all().str.strip_chars())
    return stripped.select(pl.when(~pl.all().is_in(["", *missing])).then(pl.all()))


def _typed(received: ReceivedColumn) -> pl.Expr:
    text, column = pl.col(received.source), received.column
    if column.missing:
        text = pl.when(~text.is_in(list(column.missing))).then(text)
    return parsed(text, column).cast(column_type(column)).alias(received.name)


def _unreadable(text: pl.DataFrame, typed: pl.DataFrame, columns: Iterable[ReceivedColumn]) -> pl.DataFrame:
    """Values that were given but are not of the declared type, or not among its categories."""
    found = [pl.DataFrame(schema=_FINDINGS)]
    for received in columns:
        given = text[received.source].is_not_null()
        if received.column.missing:
            given &= ~text[received.source].is_in(list(received.column.missing))
        rows = _rows_where(given & typed[received.name].is_null())
        if rows.len():
            found.append(_finding(rows, received.source, *_unreadable_reason(received)))
    return pl.concat(found)


def _unreadable_reason(received: ReceivedColumn) -> tuple[str, str]:
    name, column = received.source, received.column
    if column.type == "category":
        return "allowed values", f"{name} must be one of {', '.join(column.values or {})}"
    if column.type == "date":
        formats = " or ".join(column.formats) or "ISO 8601, such as 2005-10-01"
        ambiguous = ", and mean one day only" if len(column.formats) > 1 else ""
        return "type", f"{name} must be a date written as {formats}{ambiguous}"
    return "type", f"{name} must be of type {column.type}"


def _contract_findings(typed: pl.DataFrame, contract: TableContract) -> pl.DataFrame:
    """Required values and ranges, checked by pandera."""
    schema = pa.DataFrameSchema({c.name: _pandera_column(c.column) for c in contract.columns})
    try:
        schema.validate(typed, lazy=True)
    except SchemaErrors as exc:
        cases = exc.failure_cases
        whole = cases.filter(pl.col("index").is_null())
        if whole.height:
            names = sorted(set(whole["column"].cast(pl.String)))
            raise ContractError(f"Column(s) {names} cannot be checked as declared; correct their type.") from exc
        return _worded(cases, contract)
    return pl.DataFrame(schema=_FINDINGS)


def _pandera_column(column: Column) -> pa.Column:
    return pa.Column(column_type(column), _range_checks(column), nullable=column.nullable)


def _range_checks(column: Column) -> list[pa.Check]:
    if column.type == "date":
        first, last = column.days
        inside = pl.col("*").dt.date().is_between(first, last)
    elif column.is_number:
        low, high = column.bounds
        if column.type == "integer":  # compared as integers: as floats 2**53 + 1 would be 2**53
            low, high = math.ceil(low), math.floor(high)
        inside = pl.col("*").is_between(low, high)
        if column.special:
            inside |= pl.col("*").cast(pl.Float64).is_in(list(column.special))
    else:
        return []
    return [pa.Check(lambda data: data.lazyframe.select(pl.col(data.key)).select(inside), name="range")]


def _worded(cases: pl.DataFrame, contract: TableContract) -> pl.DataFrame:
    worded = [pl.DataFrame(schema=_FINDINGS)]
    for (name, check), group in cases.group_by(["column", "check"], maintain_order=True):
        received = contract.sources[str(name)]
        source, rows = received.source, group["index"].cast(pl.Int64)
        if check != "not_nullable":
            worded.append(_finding(rows, source, "range", _range_reason(received)))
        elif received.is_name:
            worded.append(_finding(rows, source, "required", f"{source}, the key, is missing"))
        else:
            reason = f"{source} is missing, which is not declared as allowed"
            worded.append(_finding(rows, source, "required", reason))
    return pl.concat(worded)


def _range_reason(received: ReceivedColumn) -> str:
    column = received.column
    if column.type == "date":
        return f"{received.source} must lie between {column.days[0]} and {column.days[1]}"
    low, high = column.bounds
    special = f", or be {', '.join(_plain(code) for code in column.special)}" if column.special else ""
    return f"{received.source} must be between {_plain(low)} and {_plain(high)}{special}"


def _plain(bound: float) -> str:
    """Return a bound in full: 1000001, not 1e+06."""
    return str(int(bound)) if float(bound).is_integer() else repr(bound)


def _rows_where(mask: pl.Series) -> pl.Series:
    return mask.arg_true().cast(pl.Int64)


def _finding(rows: pl.Series, column: str, rule: str, reason: str) -> pl.DataFrame:
    return pl.DataFrame({"row": rows}, schema={"row": pl.Int64}).with_columns(
        column=pl.lit(column), rule=pl.lit(rule), reason=pl.lit(reason)
    )


def _as_json(rows: pl.DataFrame) -> pl.Series:
    if not rows.width:
        return pl.Series("received", [], pl.String)
    return rows.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _quarantined(rows: pl.DataFrame, findings: pl.DataFrame, batch: Batch, contract: TableContract) -> pl.DataFrame:
    """One row per row set aside; several faults of one row are joined by '; '."""
    told = findings.group_by("row", maintain_order=True).agg(
        *(pl.col(name).unique(maintain_order=True).str.join("; ") for name in ("column", "rule", "reason"))
    )
    broken = rows.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    broken = told.join(broken, on="row", how="left").with_columns(row_key=_row_key(contract))
    malformed = batch.malformed.with_columns(
        source=pl.lit(batch.source), column=pl.lit(""), row_key=pl.lit(None, pl.String)
    )
    parts = [_in_schema(frame, contract.table) for frame in (broken, malformed)]
    return pl.concat(parts).sort("row_number", maintain_order=True)


def _row_key(contract: TableContract) -> pl.Expr:
    names = [column.name for column in contract.columns if column.is_name]
    key = contract.key or (names[0] if names else None)
    return pl.lit(None, pl.String) if key is None else pl.col(key)


def _in_schema(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    named = frame.with_columns(table=pl.lit(table))
    return named.select(pl.col(name).cast(dtype) for name, dtype in QUARANTINE_SCHEMA.items())


def empty_valid(contract: TableContract) -> pl.DataFrame:
    """Return valid rows of ``contract``: none, with all their columns."""
    own: dict[str, pl.DataType] = {column.name: column_type(column.column) for column in contract.columns}
    if contract.numbered:
        own["applicant_id"] = pl.String()
    about = {"source": pl.String(), "row_number": pl.Int64(), "received": pl.String(), "content": pl.UInt64()}
    return pl.DataFrame(schema={**own, **about})
