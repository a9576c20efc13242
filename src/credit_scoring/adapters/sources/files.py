"""Kedro datasets of one file of text."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from kedro.io import AbstractDataset, DatasetError

from credit_scoring.adapters.sources.compression import Bytes, decompressed
from credit_scoring.adapters.sources.delimited import read_delimited
from credit_scoring.adapters.sources.delimited_options import DelimitedOptions
from credit_scoring.adapters.sources.json_lines import read_json_lines
from credit_scoring.adapters.sources.locations import Location
from credit_scoring.adapters.sources.options import JsonLinesOptions, checked
from credit_scoring.core.received import Batch, Received

Options = DelimitedOptions | JsonLinesOptions


class _FileDataset(AbstractDataset[None, Received]):
    """One file, read in batches when they are asked for."""

    _options_type: ClassVar[type[Options]]

    def __init__(
        self,
        filepath: str,
        load_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        fs_args: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._location = Location.of(filepath, credentials, fs_args)
        self._options = checked(self._options_type, load_args, f"'load_args' of '{self._location.name}'")
        self.metadata = metadata

    def load(self) -> Received:
        """Return the rows, read when they are asked for; reading raises ContractError where they cannot be."""
        return Received(self._batches)

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: what was received is never written."""
        raise DatasetError("A received file is read, never written. Save to a dataset of another stage.")

    def _batches(self) -> Iterator[Batch]:
        with decompressed(self._location, self._options.compression, self._options.max_bytes) as content:
            yield from self._read(content)

    @abstractmethod
    def _read(self, content: Bytes) -> Iterator[Batch]: ...

    def _exists(self) -> bool:
        return bool(self._location.filesystem.exists(self._location.path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._location.path, "load_args": self._options.model_dump(exclude_defaults=True)}


class DelimitedDataset(_FileDataset):
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

    _options_type = DelimitedOptions
    _options: DelimitedOptions

    def _read(self, content: Bytes) -> Iterator[Batch]:
        return read_delimited(content, self._location.name, self._options)


class JsonLinesDataset(_FileDataset):
    """A file with one JSON object a line, wherever fsspec reaches.

    Its batches may differ in columns: each has the keys that its own rows have.

    ::

        raw_applications:
          type: credit_scoring.adapters.sources.JsonLinesDataset
          filepath: data/1_raw/applications.jsonl.gz
          load_args: {encoding: utf-8, compression: infer, max_bytes: 20_000_000_000} # the defaults
    """

    _options_type = JsonLinesOptions
    _options: JsonLinesOptions

    def _read(self, content: Bytes) -> Iterator[Batch]:
        return read_json_lines(content, self._location.name, self._options.encoding)
