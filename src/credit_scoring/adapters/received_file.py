"""A received file of whatever kind, recognised by its content, as an entry of the catalog and as rows of text."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
from kedro.io import DataCatalog, DatasetError

from credit_scoring.adapters.delimited_guess import HEAD_BYTES, DelimitedGuess, guess_delimited
from credit_scoring.adapters.sources.compression import MAX_BYTES, Compression, decompressed
from credit_scoring.adapters.sources.locations import Location, reading
from credit_scoring.core.errors import ContractError
from credit_scoring.core.received import Batch, batches

MOST_ROWS = 500_000
_MOST_FIELDS = 10_000_000
"""Text of so many fields fits into memory comfortably; of a larger file the first rows are looked at."""

_COMPRESSIONS: dict[bytes, Compression] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_SOURCES = "credit_scoring.adapters.sources"


@dataclass(frozen=True, slots=True)
class GivenOptions:
    """What the user knows better than a guess; None where nothing was said."""

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A recognised file: ``kind`` in words, and ``entry``, what the catalog says of it.

    ``skipped`` rows at the start are its header, which could not be used. ``path`` is absolute.
    """

    path: Path
    kind: str
    entry: dict[str, Any]
    skipped: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceivedRows:
    """Rows of a file as text, all of them if ``whole``; ``malformed`` counts those that fit no columns, by rule."""

    rows: pl.DataFrame
    whole: bool
    malformed: Mapping[str, int] = field(default_factory=dict)


def recognise(path: Path, given: GivenOptions) -> ReceivedFile:
    """Return what kind of file this is, told by its first bytes.

    Raises:
        ContractError: If it is absent, empty, or of a kind that holds no table.
    """
    with reading(path.name):
        if not path.exists():
            raise ContractError(f"There is no file '{path}'. Correct its path.")
        if path.is_dir():
            raise ContractError(
                f"'{path.name}' is a directory. Name one file of it; the draft's catalog entry can be changed to "
                f"{_SOURCES}.PartnerFilesDataset afterwards."
            )
        with path.open("rb") as file:
            start = file.read(64)
    full = path.resolve()
    if start.startswith(b"PAR1"):
        return ReceivedFile(full, "Parquet", {"type": "polars.LazyPolarsDataset", "file_format": "parquet"})
    if start.startswith(_OLD_EXCEL):
        raise ContractError(f"'{path.name}' is an Excel workbook of the old kind (.xls). Save it as .xlsx or CSV.")
    if start.startswith(b"PK") and _is_workbook(path):
        load_args = {"sheet_name": 0, "dtype": "object", "keep_default_na": False}
        return ReceivedFile(full, "Excel, first sheet", {"type": "pandas.ExcelDataset", "load_args": load_args})
    return _text_file(full, start, given)


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile as exc:
        raise ContractError(f"'{path.name}' is cut off or damaged. Ask for it again.") from exc


def _text_file(path: Path, start: bytes, given: GivenOptions) -> ReceivedFile:
    compression: Compression = "zip" if start.startswith(b"PK\x03\x04") else "none"
    compression = next((kind for magic, kind in _COMPRESSIONS.items() if start.startswith(magic)), compression)
    with decompressed(Location.of(str(path), None, None), compression, MAX_BYTES) as content:
        head = content.read(HEAD_BYTES)
    told = "" if compression == "none" else f", {compression}"
    args: dict[str, Any] = {} if _told_by_name(path, compression) else {"compression": compression}
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if bare.startswith(b"{"):
        args |= {"encoding": given.encoding} if given.encoding else {}
        return ReceivedFile(path, f"JSON lines{told}", _with_args(f"{_SOURCES}.JsonLinesDataset", args))
    if bare.startswith(b"["):
        raise ContractError(f"'{path.name}' is one JSON list. Write one object a line (JSON lines), or CSV.")
    guess = guess_delimited(head, given.delimiter, given.encoding, given.header)
    return _delimited(path, guess, args, told)


def _delimited(path: Path, guess: DelimitedGuess, args: dict[str, Any], told: str) -> ReceivedFile:
    args = dict(args)
    if guess.delimiter != ",":
        args["delimiter"] = guess.delimiter
    if guess.encoding != "utf-8":
        args["encoding"] = guess.encoding
    if guess.columns is not None:
        args |= {"header": False, "columns": list(guess.columns)}
    shown = guess.delimiter if guess.delimiter == "whitespace" else repr(guess.delimiter)
    header = "names in the first row" if guess.has_header else "NO header, columns are named by position"
    notes: tuple[str, ...] = ()
    if guess.faulty_header:
        header = "a header that cannot be used as it is"
        notes = (
            f"in the header {guess.faulty_header}, so the catalog names the columns; the header itself is then a row, "
            f"and will be set aside",
        )
    kind = f"delimited text, {shown} between fields, {guess.encoding}, {header}{told}"
    entry = _with_args(f"{_SOURCES}.DelimitedDataset", args)
    return ReceivedFile(path, kind, entry, skipped=int(bool(guess.faulty_header)), notes=notes)


def _with_args(kind: str, args: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind} | ({"load_args": args} if args else {})


def _told_by_name(path: Path, compression: Compression) -> bool:
    suffixes = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
    return suffixes.get(path.suffix.lower(), "none") == compression


def read_rows(file: ReceivedFile, most_rows: int = MOST_ROWS) -> ReceivedRows:
    """Return the rows as the catalog's dataset will give them, the first ones of a large file.

    Raises:
        ContractError: If the file is damaged or holds no table.
    """
    frames: list[pl.DataFrame] = []
    malformed: dict[str, int] = {}
    whole, rows = True, 0
    for batch in _batches(file):
        frames.append(batch.rows)
        rows += batch.rows.height
        for rule, count in batch.malformed.group_by("rule").len().iter_rows():
            malformed[rule] = malformed.get(rule, 0) + count
        limit = min(most_rows, _MOST_FIELDS // max(batch.rows.width, 1))
        if rows >= limit:
            whole = False
            break
    read = pl.concat(frames, how="diagonal") if frames else pl.DataFrame()
    if not whole:
        read, whole = read.head(limit), False
    return ReceivedRows(read.slice(file.skipped), whole, malformed)


def _batches(file: ReceivedFile) -> Iterator[Batch]:
    entry = {**file.entry, "filepath": str(file.path)}
    try:
        loaded = DataCatalog.from_config({"raw_applicants": entry}).load("raw_applicants")
        yield from batches(loaded, file.path.name)
    except (DatasetError, pl.exceptions.PolarsError, OSError) as exc:
        cause = exc.__cause__
        if isinstance(cause, ContractError):
            raise cause from exc
        reason = str(cause or exc).splitlines()[0]
        raise ContractError(f"'{file.path.name}' cannot be read as {file.kind}: {reason}. Mend or replace it.") from exc


def in_another_encoding(file: ReceivedFile, received: ReceivedRows, given: GivenOptions) -> ReceivedFile | None:
    """Return the file as cp1252 if its rows beyond the first bytes are no UTF-8, and none holds a character that is."""
    if given.encoding or not received.malformed.get("encoding") or "encoding" in file.entry.get("load_args", {}):
        return None
    if any(received.rows[name].str.contains(r"[^\x00-\x7F]").any() for name in received.rows.columns):
        return None
    entry = {**file.entry, "load_args": {**file.entry.get("load_args", {}), "encoding": "cp1252"}}
    return replace(file, entry=entry, kind=file.kind.replace("utf-8", "cp1252"))
