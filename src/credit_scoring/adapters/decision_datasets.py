"""Kedro datasets of what is decided in bulk: who is stored, and the decisions."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.stored_applicants import StoredApplicants
from credit_scoring.adapters.files import replaced_file
from credit_scoring.environment import Environment


class StoredApplicantsDataset(AbstractDataset[None, StoredApplicants]):
    """The ids of everybody of a portfolio whose facts are stored for the tenant of this process (``CREDIT_TENANT``)."""

    def __init__(self, portfolio: str, metadata: dict[str, Any] | None = None) -> None:
        self._portfolio = portfolio
        self.metadata = metadata

    def load(self) -> StoredApplicants:
        """Return them, to be read when iterated. Raises RecordsError if the database cannot be opened."""
        environment = Environment()
        return StoredApplicants(open_database(environment.database_url), environment.owner(self._portfolio))

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: facts are loaded by 'credit-scoring ingest', and sent to the service."""
        raise DatasetError("Facts are loaded by 'credit-scoring ingest' and sent to the service, not by a pipeline.")

    def _describe(self) -> dict[str, Any]:
        return {"portfolio": self._portfolio}


class ParquetPartsDataset(AbstractDataset[Iterable[pl.DataFrame], pl.LazyFrame]):
    """A table in one Parquet file, written part by part as the parts are made, whole or not at all."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> pl.LazyFrame:
        """Return the table. Raises FileNotFoundError when it was never written."""
        self._filepath.stat()
        return pl.scan_parquet(self._filepath)

    def save(self, data: Iterable[pl.DataFrame]) -> None:
        """Replace the table by these parts, of which there is at least one; all have the columns of the first."""
        with replaced_file(self._filepath) as staged:
            parts = iter(data)
            first = next(parts).to_arrow()
            with pq.ParquetWriter(staged, first.schema, compression="zstd") as writer:
                writer.write_table(first)
                for part in parts:
                    writer.write_table(part.to_arrow().cast(first.schema))

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
