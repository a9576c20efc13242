"""The Kedro dataset of a directory or bucket prefix into which a partner puts files."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import polars as pl
from fsspec.implementations.local import LocalFileSystem
from kedro.io import AbstractDataset, DatasetError

from credit_scoring.adapters.sources.compression import decompressed
from credit_scoring.adapters.sources.delimited import read_delimited
from credit_scoring.adapters.sources.delimited_options import DelimitedOptions
from credit_scoring.adapters.sources.json_lines import read_json_lines
from credit_scoring.adapters.sources.ledger import Taken
from credit_scoring.adapters.sources.locations import Location, project_path, reading
from credit_scoring.adapters.sources.options import FileOptions, JsonLinesOptions, NoOptions, checked
from credit_scoring.adapters.sources.taking import Partner, take_new_files
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import ContractError
from credit_scoring.core.received import Batch, Received, batches, schema_drift

_LOG = logging.getLogger(__name__)
_OPTIONS: dict[str, type[FileOptions | NoOptions]] = {
    "delimited": DelimitedOptions,
    "json_lines": JsonLinesOptions,
    "parquet": NoOptions,
}


class PartnerFilesDataset(AbstractDataset[None, Received]):
    """All files that a partner ever sent, each content once, in the order in which they were taken.

    Loading copies what is new into ``landing`` (a local directory) and notes it in ``ledger.jsonl`` there; rows are
    read from those copies, so that a later run gives the same though the partner deletes, renames or sends files
    again. Different contents under one name have the sources ``name`` and ``name#<start of its SHA-256>``.

    ::

        raw_districts:
          type: credit_scoring.adapters.sources.PartnerFilesDataset
          path: s3://partner/outgoing # or a directory
          pattern: "*.csv"            # of the name below path; * also crosses folders
          format: delimited           # or json_lines, parquet
          load_args: {delimiter: ";"} # as of DelimitedDataset and JsonLinesDataset
          landing: data/1_raw/my_portfolio/districts
          credentials: partner_bucket
          settled_seconds: 5          # a file modified later than that ago is taken next time
          skip: [broken.csv]          # names of files to leave out, taken or not
    """

    def __init__(  # noqa: PLR0913 - the keys of a catalog entry
        self,
        *,
        path: str,
        landing: str,
        format: Literal["delimited", "json_lines", "parquet"],  # noqa: A002 - the word in the catalog
        pattern: str = "*",
        load_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        settled_seconds: float = 5.0,
        skip: Sequence[str] = (),
        clock: Callable[[], datetime] = utc_now,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        location = Location.of(path, credentials, fs_args)
        self._partner = Partner(location, pattern, tuple(skip), settled_seconds)
        self._landing = project_path(landing)
        if format not in _OPTIONS:
            raise ContractError(f"'format' of '{location.name}' is one of {', '.join(_OPTIONS)}. Correct the catalog.")
        self._format = format
        self._options = checked(_OPTIONS[format], load_args, f"'load_args' of '{location.name}'")
        self._clock = clock
        self.metadata = metadata

    def load(self) -> Received:
        """Take what is new, and return the rows of all files taken so far.

        Raises:
            ContractError: If no file was ever taken, or the partner's directory cannot be read.
        """
        taken = take_new_files(self._partner, self._landing, self._clock)
        if not taken:
            raise ContractError(
                f"'{self._partner.location.name}' holds no complete file that matches '{self._partner.pattern}'. "
                f"Correct 'path' or 'pattern' in the catalog, or wait for the partner."
            )
        return Received(lambda: self._batches(taken))

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: what was received is never written."""
        raise DatasetError("A partner's files are read, never written. Save to a dataset of another stage.")

    def _batches(self, taken: Sequence[Taken]) -> Iterator[Batch]:
        previous: list[str] = []
        names: set[str] = set()
        for entry in taken:
            source = f"{entry.name}#{entry.sha256[:12]}" if entry.name in names else entry.name
            names.add(entry.name)
            if entry.name in self._partner.skip:
                continue
            columns: dict[str, None] = {}
            for batch in self._file(entry, source):
                columns.update(dict.fromkeys(batch.rows.columns))
                yield batch
            _report_drift(previous, list(columns), source)
            previous = list(columns)

    def _file(self, entry: Taken, source: str) -> Iterator[Batch]:
        copy = Location(LocalFileSystem(), str(self._landing / entry.sha256), entry.name)
        try:
            with reading(entry.name):
                yield from self._rows(copy, source)
        except ContractError as exc:
            raise ContractError(f"{exc} To leave this file out, add '{entry.name}' to 'skip' in the catalog.") from exc

    def _rows(self, copy: Location, source: str) -> Iterator[Batch]:
        options = self._options
        if not isinstance(options, DelimitedOptions | JsonLinesOptions):
            yield from batches(pl.scan_parquet(copy.path), source)
            return
        with decompressed(copy, options.compression, options.max_bytes) as content:
            if isinstance(options, DelimitedOptions):
                yield from read_delimited(content, source, options)
            else:
                yield from read_json_lines(content, source, options.encoding)

    def _exists(self) -> bool:
        return (self._landing / "ledger.jsonl").exists() or bool(
            self._partner.location.filesystem.exists(self._partner.location.path)
        )

    def _describe(self) -> dict[str, Any]:
        partner = self._partner
        return {
            "path": partner.location.path,
            "pattern": partner.pattern,
            "format": self._format,
            "landing": str(self._landing),
            "load_args": self._options.model_dump(exclude_defaults=True),
        }


def _report_drift(previous: list[str], columns: list[str], source: str) -> None:
    drift = schema_drift(previous, columns) if previous else None
    if drift:
        _LOG.warning(
            "schema of %s differs from the file before: added %s, absent %s", source, drift.added, drift.absent
        )
