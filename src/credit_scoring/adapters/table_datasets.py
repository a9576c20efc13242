"""Kedro datasets for tables: whatever was received, checked rows, and tables by name on any engine."""

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from credit_scoring.adapters.files import replaced_directory, replaced_file
from credit_scoring.core.row_checks import QUARANTINE_SCHEMA, empty_valid
from credit_scoring.core.table_checks import CheckedTables, ReceivedTable, TableCheck, kept, ordered

_QUARANTINE = "quarantine.parquet"
_RECEIVED = "received.json"
_TABLES = "tables"


class ParquetDataset(AbstractDataset[pl.DataFrame | pl.LazyFrame, pl.DataFrame]):
    """A table in one Parquet file, written whole or not at all; a lazy one is never held in memory whole."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> pl.DataFrame:
        """Return the table."""
        _require(self._filepath)
        return pl.read_parquet(self._filepath)

    def save(self, data: pl.DataFrame | pl.LazyFrame) -> None:
        """Replace the table by ``data``."""
        with replaced_file(self._filepath) as staged:
            data.lazy().sink_parquet(staged)

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class TableFilesDataset(AbstractDataset[Mapping[str, pl.LazyFrame], dict[str, pl.LazyFrame]]):
    """Tables by name, one Parquet file each, written together; a portfolio may have none."""

    def __init__(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> dict[str, pl.LazyFrame]:
        """Return every table."""
        _require(self._path)
        return {file.stem: pl.scan_parquet(file) for file in sorted(self._path.glob("*.parquet"))}

    def save(self, data: Mapping[str, pl.LazyFrame]) -> None:
        """Replace all tables by ``data``."""
        with replaced_directory(self._path) as staged:
            for table, frame in data.items():
                frame.lazy().sink_parquet(staged / f"{table}.parquet")

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


class TablesDataset(AbstractDataset[None, Mapping[str, Any]]):
    """Tables by name, each loaded by a dataset of its own when it is asked for.

    ``dataset`` says how: any Kedro dataset, in whose configuration ``{table}`` stands for the table's name.
    ``tables`` has a whole configuration for those that differ::

        raw_tables:
          type: credit_scoring.adapters.table_datasets.TablesDataset
          dataset: {type: pandas.ParquetDataset, filepath: "data/1_raw/loans/{table}.parquet"}
          tables:
            payments: {type: pandas.SQLTableDataset, table_name: payments, credentials: warehouse}
    """

    def __init__(
        self,
        dataset: dict[str, Any],
        tables: dict[str, dict[str, Any]] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._dataset = dataset
        self._tables = tables or {}
        self.metadata = metadata

    def load(self) -> Mapping[str, Any]:
        """Return the tables; looking one up loads it."""
        return _LoadedWhenAsked(self._load_table)

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: what was received is never written over."""
        raise DatasetError("Received tables are read only.")

    def _load_table(self, table: str) -> Any:
        config = self._tables.get(table) or _named(self._dataset, table)
        return AbstractDataset.from_config(table, config).load()

    def _describe(self) -> dict[str, Any]:
        return {"type": self._dataset.get("type"), "tables": sorted(self._tables)}


class _LoadedWhenAsked(Mapping[str, Any]):
    def __init__(self, load: Callable[[str], Any]) -> None:
        self._load = load

    def __getitem__(self, table: str) -> Any:
        return self._load(table)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class CheckedTablesDataset(AbstractDataset[Mapping[str, TableCheck], CheckedTables]):
    """Every received table after its rows were checked, in one directory, written whole or not at all.

    Saving is what reads the received rows, batch by batch, so that no table is ever in memory whole.
    """

    def __init__(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> CheckedTables:
        """Return valid rows, lazily, and those set aside."""
        _require(self._path)
        received = json.loads((self._path / _RECEIVED).read_text(encoding="utf-8"))
        return CheckedTables(
            valid={file.stem: pl.scan_parquet(file) for file in sorted((self._path / _TABLES).glob("*.parquet"))},
            quarantined=pl.read_parquet(self._path / _QUARANTINE),
            received={table: ReceivedTable(**told) for table, told in received.items()},
        )

    def save(self, data: Mapping[str, TableCheck]) -> None:
        """Check every row, and replace what an earlier check left."""
        with replaced_directory(self._path) as staged:
            (staged / _TABLES).mkdir()
            set_aside = [_save_table(staged, check) for check in data.values()]
            _write_told(staged, pl.concat(set_aside), {table: check.received for table, check in data.items()})

    def replace(self, tables: CheckedTables) -> None:
        """Put tables that were checked before in place of what is there."""
        with replaced_directory(self._path) as staged:
            (staged / _TABLES).mkdir()
            for table, rows in tables.valid.items():
                rows.sink_parquet(staged / _TABLES / f"{table}.parquet")
            _write_told(staged, tables.quarantined, tables.received)

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


def _write_told(staged: Path, quarantined: pl.DataFrame, received: Mapping[str, ReceivedTable]) -> None:
    ordered(quarantined).write_parquet(staged / _QUARANTINE)
    told = {table: asdict(came) for table, came in received.items()}
    (staged / _RECEIVED).write_text(json.dumps(told, indent=1), encoding="utf-8")


def _save_table(staged: Path, check: TableCheck) -> pl.DataFrame:
    """Write the valid rows of a table and return those set aside; repeated names are known at the end only."""
    every, table = staged / "every.parquet", check.contract.table
    set_aside = [pl.DataFrame(schema=QUARANTINE_SCHEMA)]
    empty = empty_valid(check.contract).with_columns(event_number=pl.lit(0, pl.Int32)).to_arrow()
    with pq.ParquetWriter(every, empty.schema, compression="lz4") as writer:
        for batch in check:
            writer.write_table(batch.valid.to_arrow().cast(empty.schema))
            set_aside.append(batch.quarantined)
    valid = pl.scan_parquet(every)
    repeats = check.repeats(valid)
    kept(valid, repeats).sink_parquet(staged / _TABLES / f"{table}.parquet")
    every.unlink()
    return pl.concat([*set_aside, repeats.drop("event_number")])


def _named(config: Any, table: str) -> Any:
    if isinstance(config, dict):
        return {key: _named(value, table) for key, value in config.items()}
    return config.replace("{table}", table) if isinstance(config, str) else config


def _require(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
