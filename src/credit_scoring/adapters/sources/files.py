"""Kedro datasets of one file of text."""

from collections.abc import Iterator, Mapping
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from credit_scoring.adapters.sources.compression import decompressed
from credit_scoring.adapters.sources.delimited import read_delimited
from credit_scoring.adapters.sources.delimited_options import DelimitedOptions
from credit_scoring.adapters.sources.json_lines import read_json_lines
from credit_scoring.adapters.sources.locations import Location
from credit_scoring.adapters.sources.options import JsonLinesOptions, checked
from credit_scoring.core.received import Batch, Received


class DelimitedDataset(AbstractDataset[None, Received]):
    r"""A delimited file, such as CSV, wherever fsspec reaches: every record a row of text or malformed.

    ::

        raw_applicants:
          type: credit_scoring.adapters.sources.DelimitedDataset
          filepath: s3://bucket/applicants.csv.gz # or data/1_raw/...; compression is told by the name
          credentials: partner_bucket             # of conf/<portfolio>/credentials.yml, if it needs any
          load_args:                              # all optional
            delimiter: ";"                        # any text, '\t', or whitespace for one or more spaces or tabs
            encoding: cp1252                      # utf-8; a byte order mark wins
            quote: "'"                            # '"'; null for files without quotes
            header: false                         # true
            columns: [id, income_eur, is_bad]     # where there is no header
            compression: gzip                     # infer; none, gzip, bz2, xz, zstd, zip
            max_bytes: 20_000_000_000             # decompressed
    """

    def __init__(
        self,
        filepath: str,
        load_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._location = Location.of(filepath, credentials, fs_args)
        self._options = checked(DelimitedOptions, load_args, f"'load_args' of '{self._location.name}'")
        self.metadata = metadata

    def load(self) -> Received:
        """Return the rows, read when they are asked for. Reading raises ContractError as ``read_delimited`` does."""
        return Received(self._batches)

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: what was received is never written."""
        raise DatasetError("A received file is read, never written. Save to a dataset of another stage.")

    def _batches(self) -> Iterator[Batch]:
        file = self._options
        with decompressed(self._location, file.compression, file.max_bytes) as content:
            yield from read_delimited(content, self._location.name, file)

    def _exists(self) -> bool:
        return bool(self._location.filesystem.exists(self._location.path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._location.path, "load_args": self._options.model_dump(exclude_defaults=True)}


class JsonLinesDataset(AbstractDataset[None, Received]):
    """A file with one JSON object a line, wherever fsspec reaches.

    Its batches may differ in columns: each has the keys that its own rows have.

    ::

        raw_applications:
          type: credit_scoring.adapters.sources.JsonLinesDataset
          filepath: data/1_raw/applications.jsonl.gz
          load_args: {encoding: utf-8, compression: infer, max_bytes: 20_000_000_000} # the defaults
    """

    def __init__(
        self,
        filepath: str,
        load_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._location = Location.of(filepath, credentials, fs_args)
        self._options = checked(JsonLinesOptions, load_args, f"'load_args' of '{self._location.name}'")
        self.metadata = metadata

    def load(self) -> Received:
        """Return the rows, read when they are asked for. Reading raises ContractError as ``read_json_lines`` does."""
        return Received(self._batches)

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: what was received is never written."""
        raise DatasetError("A received file is read, never written. Save to a dataset of another stage.")

    def _batches(self) -> Iterator[Batch]:
        file = self._options
        with decompressed(self._location, file.compression, file.max_bytes) as content:
            yield from read_json_lines(content, self._location.name, file.encoding)

    def _exists(self) -> bool:
        return bool(self._location.filesystem.exists(self._location.path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._location.path, "load_args": self._options.model_dump(exclude_defaults=True)}
