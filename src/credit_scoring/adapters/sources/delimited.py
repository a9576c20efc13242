"""Delimited text as batches: every record is a row or malformed, and none is lost."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from credit_scoring.adapters.sources.compression import Bytes
from credit_scoring.adapters.sources.delimited_options import DelimitedOptions
from credit_scoring.adapters.sources.delimited_records import Dialect, Record, UnclosedQuoteError
from credit_scoring.adapters.sources.header import checked_header
from credit_scoring.adapters.sources.malformed import Malformed
from credit_scoring.adapters.sources.text import Block, as_latin_1, blocks_of, is_clean
from credit_scoring.core.errors import ContractError
from credit_scoring.core.received import Batch


def read_delimited(content: Bytes, source: str, options: DelimitedOptions) -> Iterator[Batch]:
    """Return the rows of a delimited file, in order; at least one batch, so that its columns are known.

    An empty field is empty text. A record with too few or too many fields, with bytes that are no characters of the
    encoding, or whose quotes do not fit, is malformed; blank lines are no records.

    Raises:
        ContractError: If there is no header, it cannot be one, or a quote is opened and never closed.
    """
    state = _Reading(source, options)
    try:
        for block in blocks_of(content, options.encoding, source):
            yield from state.take(block)
    except UnclosedQuoteError as exc:
        raise state.unclosed(exc.line) from exc
    yield from state.end()


@dataclass(slots=True)
class _Reading:
    """How far a file has been read: columns once known, the next row and line, and lines of an open record."""

    source: str
    options: DelimitedOptions
    dialect: Dialect = field(init=False)
    columns: tuple[str, ...] | None = field(init=False)
    row: int = 1
    line: int = 1
    open: list[str] = field(default_factory=list)
    any_batch: bool = False

    def __post_init__(self) -> None:
        self.dialect = Dialect.of(self.options)
        self.columns = self.options.columns

    def take(self, block: Block) -> Iterator[Batch]:
        if self.columns is None:
            block = self._after_header(block)
        if not block.text:
            return
        whole = self._table(block)
        taken = [whole] if whole else [batch for part in block.parts() if (batch := self._part(part))]
        if taken:
            self.any_batch = True
            yield _together(taken)

    def end(self) -> Iterator[Batch]:
        if self.open:
            raise self.unclosed(self.line)
        if self.columns is None:
            raise ContractError(f"'{self.source}' holds blank lines only, not even a header. Ask for it again.")
        if not self.any_batch:
            yield self._batch(self._frame([]), [], Malformed())

    def unclosed(self, line: int) -> ContractError:
        return ContractError(
            f"'{self.source}' opens a quote in line {line:,} that is never closed, so that nobody can tell where its "
            f"rows end. Correct that line, or set 'quote' in the catalog (nothing, if the file uses none)."
        )

    def _table(self, block: Block) -> Batch | None:
        """Return the batch of a block in which every row has its columns and its quotes fit; None for another."""
        if not block.clean or self.open or self.columns is None:
            return None
        table = self.dialect.table(block.text, self.columns)
        if table is None:
            return None
        self.line += block.count()
        return self._batch(table, range(self.row, self.row + table.height), Malformed())

    def _part(self, block: Block) -> Batch | None:
        return self._table(block) or self._one_by_one(self.open + block.lines())

    def _one_by_one(self, lines: list[str]) -> Batch | None:
        """Return the batch of lines, each record judged by itself; the last may stay open."""
        rows: list[list[str]] = []
        numbers: list[int] = []
        malformed = Malformed()
        for record in self._records(lines):
            number = self.row + len(rows) + len(malformed)
            fault = self._fault(record)
            if fault:
                malformed.add(number, *fault, self._received(record))
            else:
                rows.append(record.fields or [])
                numbers.append(number)
        return self._batch(self._frame(rows), numbers, malformed) if rows or len(malformed) else None

    def _records(self, lines: list[str]) -> Iterator[Record]:
        """Return the records that are not blank, and keep the lines of one that is open at the end."""
        first_line, self.line, self.open = self.line, self.line + len(lines), []
        for record in self.dialect.records(lines, first_line):
            if isinstance(record, list):
                self.line -= len(record)
                self.open = record
            elif not self._is_blank(record):
                yield record

    def _after_header(self, block: Block) -> Block:
        """Take the header, the first record, and return what follows it; nothing if it goes on after ``block``."""
        first_line, lines = self.line, self.open + block.lines()
        header = next(self._records(lines), None)
        if header is None:
            return Block("", clean=True)
        self.columns = self._header(header)
        self.line = header.line + header.lines
        return Block("".join(lines[self.line - first_line :]), block.clean)

    def _frame(self, rows: list[list[str]]) -> pl.DataFrame:
        names = self.columns or ()
        fields = zip(*rows, strict=True) if rows else [()] * len(names)
        return pl.DataFrame([pl.Series(name, given, pl.String) for name, given in zip(names, fields, strict=True)])

    def _batch(self, rows: pl.DataFrame, numbers: Sequence[int], malformed: Malformed) -> Batch:
        self.row += rows.height + len(malformed)
        return Batch(self.source, rows, pl.Series("row_number", numbers, pl.Int64), malformed.frame())

    def _header(self, record: Record) -> tuple[str, ...]:
        if record.fields is None or not is_clean(record.text):
            raise ContractError(
                f"The header of '{self.source}' (line {record.line:,}) cannot be read as {self.options.encoding} with "
                f"quote {self.options.quote}. Correct 'encoding' or 'quote' in the catalog, or the file."
            )
        return checked_header(record.fields, self.source, self.options.delimiter)

    def _is_blank(self, record: Record) -> bool:
        """Whether a line holds nothing, or only blanks where a row has several fields."""
        if not record.fields:
            return record.fields is not None
        return len(record.fields) == 1 and len(self.columns or "ab") > 1 and not record.text.strip()

    def _fault(self, record: Record) -> tuple[str, str] | None:
        expected = len(self.columns or ())
        if "\0" in record.text:
            return "encoding", "the row holds NUL characters: it is damaged, or of another encoding (utf-16?)"
        if not is_clean(record.text):
            return "encoding", f"the row holds bytes that are no {self.options.encoding}; shown as latin-1"
        if record.fields is None:
            return "quotes", "a quote opens a field and does not end it: its row cannot be split into columns"
        if len(record.fields) != expected:
            return "columns", f"expected {expected} fields, found {len(record.fields)}"
        return None

    def _received(self, record: Record) -> str:
        """Return a record as JSON: by column where it has them all, else its fields, else its text."""
        if record.fields is None:
            return json.dumps(as_latin_1(record.text.rstrip("\r\n")), ensure_ascii=False)
        fields = [as_latin_1(given) for given in record.fields]
        by_column = self.columns is not None and len(fields) == len(self.columns)
        return json.dumps(
            dict(zip(self.columns or (), fields, strict=False)) if by_column else fields, ensure_ascii=False
        )


def _together(taken: list[Batch]) -> Batch:
    if len(taken) == 1:
        return taken[0]
    return Batch(
        taken[0].source,
        pl.concat([batch.rows for batch in taken]),
        pl.concat([batch.row_numbers for batch in taken]),
        pl.concat([batch.malformed for batch in taken]),
    )
