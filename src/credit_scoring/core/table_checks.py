"""A whole received table, checked as it comes in, and what is known of it once all of it came."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from credit_scoring.core.contracts import TableContract, received_tables
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.received import Batch, batches
from credit_scoring.core.repeats import find_repeats, repeated_names
from credit_scoring.core.row_checks import QUARANTINE_SCHEMA, CheckedBatch, check_batch, empty_valid


@dataclass(frozen=True, slots=True)
class CheckedTables:
    """Every received table after its rows were checked: each row is in ``valid`` or ``quarantined``, never both.

    ``valid`` holds per table the contract's columns, ``source``, ``row_number`` and ``event_number`` (order of
    receipt from 0); ``quarantined`` is as ``QUARANTINE_SCHEMA``; ``received`` says per table what came.
    """

    valid: Mapping[str, pl.LazyFrame]
    quarantined: pl.DataFrame
    received: Mapping[str, "ReceivedTable"]


@dataclass(slots=True)
class ReceivedTable:
    """What came of one table: rows per source, the columns seen, and a hash of all of it.

    The hash is that of the content, whatever its file format, compression or batches.
    """

    rows_by_source: dict[str, int] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    content_hash: str = ""

    @property
    def rows(self) -> int:
        """Rows of all sources."""
        return sum(self.rows_by_source.values())


class TableCheck:
    """The rows of one table, checked batch by batch; iterate over it once, then ask what was ``received``."""

    def __init__(self, contract: TableContract, batches: Iterable[Batch]) -> None:
        self.contract = contract
        self.received = ReceivedTable()
        self._batches = batches
        self._valid_rows = 0

    def __iter__(self) -> Iterator[CheckedBatch]:
        """Yield each batch checked; valid rows have ``event_number``, their order among all of the table."""
        content, header = hashlib.sha256(), [""]
        for batch in self._batches:
            if batch.rows.columns != header:
                header = batch.rows.columns
                content.update(repr(header).encode())
            content.update(batch.rows.write_csv(include_header=False).encode())
            content.update("".join(batch.malformed["received"]).encode())
            self._note(batch)
            checked = check_batch(batch, self.contract)
            first, self._valid_rows = self._valid_rows, self._valid_rows + checked.valid.height
            numbers = pl.int_range(first, self._valid_rows, dtype=pl.Int32)
            yield CheckedBatch(checked.valid.with_columns(event_number=numbers), checked.quarantined)
        self.received.content_hash = "sha256:" + content.hexdigest()

    def repeats(self, valid: pl.LazyFrame) -> pl.DataFrame:
        """Return the rows of ``valid`` to set aside because others share their name, in ``QUARANTINE_SCHEMA``.

        Beside it they have their ``event_number``.
        """
        key = self.contract.key
        repeated = repeated_names(valid, key, self._valid_rows) if key else ()
        if key is None or not len(repeated):
            return pl.DataFrame(schema={**QUARANTINE_SCHEMA, "event_number": pl.Int32})
        hashes = pl.Series(repeated, dtype=pl.UInt64).implode()
        suspects = valid.filter(pl.col(key).hash().is_in(hashes)).sort("event_number").collect()
        named = find_repeats(suspects, self.contract).with_columns(table=pl.lit(self.contract.table), row_key=key)
        return named.select(*(pl.col(name).cast(kind) for name, kind in QUARANTINE_SCHEMA.items()), "event_number")

    def _note(self, batch: Batch) -> None:
        rows = self.received.rows_by_source
        rows[batch.source] = rows.get(batch.source, 0) + batch.rows.height + batch.malformed.height
        self.received.columns += [name for name in batch.rows.columns if name not in self.received.columns]


def table_checks(received: Mapping[str, Any], portfolio: Portfolio) -> dict[str, TableCheck]:
    """Return the check of every table that ``portfolio`` receives.

    Args:
        received: By table, whatever a dataset's ``load()`` gives; see ``batches``.
        portfolio: The declaration whose contracts hold.
    """
    contracts = received_tables(portfolio)
    return {table: TableCheck(contract, batches(received[table], table)) for table, contract in contracts.items()}


def check_rows(received: Mapping[str, Any], portfolio: Portfolio) -> CheckedTables:
    """Return received tables, small ones, checked in memory; arguments as of ``table_checks``.

    Raises:
        ContractError: If a declared column is absent; nothing can be said of single rows then.
    """
    valid, set_aside, told = {}, [pl.DataFrame(schema=QUARANTINE_SCHEMA)], {}
    for table, check in table_checks(received, portfolio).items():
        batches = list(check)
        empty = empty_valid(check.contract).with_columns(event_number=pl.lit(0, pl.Int32))
        rows = pl.concat([empty, *(batch.valid for batch in batches)])
        repeats = check.repeats(rows.lazy())
        valid[table] = kept(rows.lazy(), repeats)
        set_aside += [batch.quarantined for batch in batches] + [repeats.drop("event_number")]
        told[table] = check.received
    return CheckedTables(valid, ordered(pl.concat(set_aside)), told)


def kept(valid: pl.LazyFrame, repeats: pl.DataFrame) -> pl.LazyFrame:
    """Return ``valid`` without ``repeats``, and without what only the checks needed."""
    left = valid.filter(~pl.col("event_number").is_in(repeats["event_number"].implode())) if repeats.height else valid
    return left.drop("received", "content")


def ordered(quarantined: pl.DataFrame) -> pl.DataFrame:
    """Return set-aside rows table by table and source by source, in the order of their rows."""
    return quarantined.sort("table", "source", "row_number", maintain_order=True)
