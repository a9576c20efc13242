"""Set-aside rows checked again under the present declaration; those that now meet it join the valid ones."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from credit_scoring.core.as_text import text_rows
from credit_scoring.core.contracts import TableContract, received_tables
from credit_scoring.core.errors import ContractError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.received import MALFORMED_SCHEMA, Batch
from credit_scoring.core.row_checks import check_batch
from credit_scoring.core.table_checks import CheckedTables

_OF_THE_FILE = ("columns", "encoding", "json", "quotes")
"""Rules about how a row is written, not what it says: only a corrected file mends these."""


@dataclass(frozen=True, slots=True)
class Readmission:
    """Tables with the re-admitted rows in them, and how many those are by table."""

    tables: CheckedTables
    readmitted: dict[str, int]


def readmit(checked: CheckedTables, portfolio: Portfolio, only: str | None = None) -> Readmission:
    """Check the set-aside rows of every table (or ``only`` one) again; valid rows are left as they are.

    A row whose name a valid row has, or another set-aside row, stays set aside: nothing says which one is right.
    """
    contracts = received_tables(portfolio)
    valid, counts = dict(checked.valid), {}
    left = [checked.quarantined.filter(~pl.col("table").is_in(list(contracts)))]
    for table, contract in contracts.items():
        own = checked.quarantined.filter(table=table)
        if table in valid and own.height and only in (None, table):
            rows, own = _rechecked(own, valid[table], contract)
            valid[table] = pl.concat([valid[table], rows.lazy()])
            counts[table] = rows.height
        left.append(own)
    return Readmission(CheckedTables(valid, pl.concat(left), checked.received), counts)


def _rechecked(
    set_aside: pl.DataFrame, valid: pl.LazyFrame, contract: TableContract
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows that may join ``valid``, in its columns, and those that stay set aside."""
    rows, still = [], [set_aside.filter(pl.col("rule").is_in(_OF_THE_FILE))]
    for batch, told in _batches(set_aside.filter(~pl.col("rule").is_in(_OF_THE_FILE))):
        try:
            checked = check_batch(batch, contract)
        except ContractError:  # the declaration has columns that these rows came without
            still.append(told)
            continue
        taken = _unclaimed(checked.valid, valid, contract.key)
        rows.append(taken)
        clashing = told.join(taken, on=["source", "row_number"], how="anti", maintain_order="left")
        now = checked.quarantined
        still += [now, clashing.join(now, on=["source", "row_number"], how="anti", maintain_order="left")]
    last = valid.select(pl.col("event_number").max()).collect().item()
    names = valid.collect_schema().names()
    joined = pl.concat(rows) if rows else valid.clear().collect()
    first = 0 if last is None else last + 1
    numbers = pl.int_range(first, first + joined.height, dtype=pl.Int32)
    return joined.with_columns(event_number=numbers).select(names), pl.concat(still)


def _batches(set_aside: pl.DataFrame) -> Iterator[tuple[Batch, pl.DataFrame]]:
    """Give the rows of each source as they were received, and what was told of them."""
    for (source,), told in set_aside.group_by("source", maintain_order=True):
        rows = text_rows(json.loads(received) for received in told["received"])
        yield Batch(str(source), rows, told["row_number"], pl.DataFrame(schema=MALFORMED_SCHEMA)), told


def _unclaimed(rows: pl.DataFrame, valid: pl.LazyFrame, key: str | None) -> pl.DataFrame:
    if key is None:
        return rows
    claimed = valid.select(key).join(rows.lazy().select(key), on=key, how="semi").collect()
    return rows.filter(~pl.col(key).is_duplicated() & ~pl.col(key).is_in(claimed[key].implode()))
