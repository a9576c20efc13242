"""What sources give, whatever they are: batches of text rows that know where they came from."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import chain, islice
from typing import Any

import narwhals as nw
import polars as pl
from narwhals.exceptions import DuplicateError

from credit_scoring.core.as_text import text_of, text_rows, text_series
from credit_scoring.core.errors import ContractError

MALFORMED_SCHEMA = {"row_number": pl.Int64, "rule": pl.String, "reason": pl.String, "received": pl.String}


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of one source, as text.

    ``rows``: text columns under their received names, null where nothing was given; blank text stays as it came.
    The batches of one source may differ in columns where a source names them row by row (JSON).
    ``row_numbers``: Int64, one per row of ``rows``; data rows count from 1 within ``source``, malformed ones too.
    ``malformed``: rows that cannot be put into columns, as ``MALFORMED_SCHEMA``; ``received`` is what came, as JSON.
    ``source``: file name relative to the dataset's path, table name or URL; never credentials.
    """

    source: str
    rows: pl.DataFrame
    row_numbers: pl.Series
    malformed: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Received:
    """Batches that are read when asked for, as often as asked for."""

    read: Callable[[], Iterator[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        return self.read()


@dataclass(frozen=True, slots=True)
class SchemaDrift:
    """Columns that came or went since last time; their order never matters."""

    added: tuple[str, ...]
    absent: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.absent)


def schema_drift(previous: Sequence[str], received: Sequence[str]) -> SchemaDrift:
    """Return the columns of ``received`` that ``previous`` lacks, and the other way round, in their own order."""
    return SchemaDrift(
        added=tuple(name for name in received if name not in set(previous)),
        absent=tuple(name for name in previous if name not in set(received)),
    )


def batches(loaded: object, source: str, rows_at_once: int = 100_000) -> Iterator[Batch]:
    """Return what a dataset's ``load()`` gave as batches of text, in order and in bounded memory.

    Args:
        loaded: A frame (Polars eager or lazy, pandas, PySpark, any other that Narwhals knows), an iterator of frames or
            of mappings, a mapping of names to any of these (sheets, partitions), or batches, which keep their source.
        source: What the rows are said to come from.
        rows_at_once: The most rows of one batch.

    Yields:
        Batches; at least one for each frame, so that the columns of an empty table are known.

    Raises:
        ContractError: If ``loaded`` holds no rows of named columns, or a type without exact text.
    """
    if isinstance(loaded, Mapping):
        for name, part in loaded.items():
            yield from batches(part() if callable(part) else part, f"{source}/{name}", rows_at_once)
        return
    row = 1
    for given in _frames(loaded, source, rows_at_once):
        if isinstance(given, Batch):
            yield given
            continue
        numbers = pl.Series("row_number", range(row, row + given.height), pl.Int64)
        yield Batch(source, given, numbers, pl.DataFrame(schema=MALFORMED_SCHEMA))
        row += given.height


def _frames(loaded: object, source: str, rows_at_once: int) -> Iterator[pl.DataFrame | Batch]:
    try:
        frame = nw.from_native(_with_index_as_columns(loaded), pass_through=True)
    except DuplicateError as exc:
        raise _one_name_twice(source) from exc
    if isinstance(frame, nw.LazyFrame):
        yield from _lazy(frame, source, rows_at_once)
    elif isinstance(frame, nw.DataFrame):
        yield from _eager(frame, source, rows_at_once)
    elif isinstance(loaded, str | bytes) or not isinstance(loaded, Iterable):
        raise _not_rows(loaded, source)
    else:
        yield from _several(iter(loaded), source, rows_at_once)


def _several(loaded: Iterator[Any], source: str, rows_at_once: int) -> Iterator[pl.DataFrame | Batch]:
    for first in loaded:
        if isinstance(first, Batch):
            yield first
        elif isinstance(first, Mapping):
            yield text_rows(chain([first], islice(loaded, rows_at_once - 1)))
        else:
            yield from _frames(first, source, rows_at_once)


def _eager(frame: nw.DataFrame[Any], source: str, rows_at_once: int) -> Iterator[pl.DataFrame]:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise _one_name_twice(source)
    for start in range(0, max(len(frame), 1), rows_at_once):
        part = frame[start : start + rows_at_once]
        yield pl.DataFrame(
            [_text_column(column, name) for name, column in zip(names, part.iter_columns(), strict=True)]
        )


def _text_column(values: nw.Series[Any], name: str) -> pl.Series:
    if values.dtype != nw.Object:
        return text_series(values.to_polars().alias(name))
    absent = values.is_null().to_list()
    texts = [None if missing else text_of(v, name) for v, missing in zip(values.to_list(), absent, strict=True)]
    return pl.Series(name, texts, pl.String)


def _lazy(frame: nw.LazyFrame[Any], source: str, rows_at_once: int) -> Iterator[pl.DataFrame]:
    if frame.implementation.is_polars():
        yield from _streamed(frame.to_native(), rows_at_once)
    elif frame.implementation.is_pyspark() or frame.implementation.is_pyspark_connect():
        yield from _spark(frame, rows_at_once)
    else:
        yield from _eager(frame.collect(backend="polars"), source, rows_at_once)


def _streamed(frame: pl.LazyFrame, rows_at_once: int) -> Iterator[pl.DataFrame]:
    empty = True
    for part in frame.collect_batches(chunk_size=rows_at_once, maintain_order=True):
        empty = False
        yield part.select(text_series(column) for column in part)
    if empty:
        yield pl.DataFrame(schema=dict.fromkeys(frame.collect_schema(), pl.String))


def _spark(frame: nw.LazyFrame[Any], rows_at_once: int) -> Iterator[pl.DataFrame]:
    """Rows of one partition after another; Spark gives instants in this process's zone without saying so."""
    schema = frame.collect_schema()
    instants = [name for name, kind in schema.items() if isinstance(kind, nw.Datetime) and kind.time_zone]
    rows = (row.asDict(recursive=True) for row in frame.to_native().toLocalIterator())
    empty = True
    while part := list(islice(rows, rows_at_once)):
        empty = False
        for row in part:
            row.update({name: row[name].astimezone(UTC) for name in instants if row[name] is not None})
        yield text_rows(part)
    if empty:
        yield pl.DataFrame(schema=dict.fromkeys(schema, pl.String))


def _with_index_as_columns(loaded: Any) -> Any:
    """Take in an index with a name, which pandas keeps apart: it came with the rows."""
    names = getattr(getattr(loaded, "index", None), "names", ())
    return loaded.reset_index() if any(name is not None for name in names) else loaded


def _not_rows(loaded: object, source: str) -> ContractError:
    return ContractError(
        f"'{source}' gives {type(loaded).__name__}, not rows of named columns. Choose a dataset in the catalog that "
        f"gives a table, such as credit_scoring.adapters.sources.DelimitedDataset or polars.LazyPolarsDataset."
    )


def _one_name_twice(source: str) -> ContractError:
    return ContractError(f"'{source}' has two columns of the same name. Rename one where the source is read.")
