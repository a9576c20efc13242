"""The bytes of a file, decompressed within limits, and refused when they are another kind of file."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, Protocol, cast

import pyarrow as pa

from credit_scoring.adapters.sources.locations import Location, reading
from credit_scoring.core.errors import ContractError

Compression = Literal["infer", "none", "gzip", "bz2", "xz", "zstd", "zip"]

MAX_BYTES = 20_000_000_000
"""The largest content taken by default: ten times the largest file we promise to take in minutes."""

_RATIO, _RATIO_FROM = 200, 100_000_000
"""Text shrinks 3 to 30 times; 200 times, beyond 100 MB, is one value repeated without end."""

_BY_SUFFIX: dict[str, Compression] = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".zip": "zip"}
_KINDS = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook of the old kind",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
}
_LONGEST_KIND = 512


class Bytes(Protocol):
    """Content that is read from start to end."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        ...


@dataclass(slots=True)
class _Bounded:
    """Content that stops with an error where it becomes larger than anything honest."""

    inner: Bytes
    name: str
    stored: int
    max_bytes: int
    taken: int = 0
    ahead: bytes = field(default=b"")

    def look(self) -> bytes:
        """Return the first bytes, which are read again later."""
        self.ahead = self.inner.read(_LONGEST_KIND)
        return self.ahead

    def read(self, size: int, /) -> bytes:
        got, self.ahead = self.ahead + self.inner.read(size - len(self.ahead)), b""
        self.taken += len(got)
        if self.taken > self.max_bytes:
            raise ContractError(
                f"'{self.name}' holds more than {self.max_bytes:,} bytes, the 'max_bytes' of its catalog entry, and is "
                f"not taken. Raise 'max_bytes' if that is right, or split the file."
            )
        if self.taken > max(_RATIO_FROM, _RATIO * self.stored):
            raise ContractError(
                f"'{self.name}' grows more than {_RATIO} times when decompressed, which no table does: it looks like a "
                f"decompression bomb, and was not taken. Ask its sender, or decompress it yourself and check it."
            )
        return got


@contextmanager
def decompressed(location: Location, compression: Compression, max_bytes: int) -> Iterator[Bytes]:
    """Give the content of a text file.

    Raises:
        ContractError: If it is absent, damaged, cut off, larger than the limits, empty or another kind of file.
    """
    with ExitStack() as opened, reading(location.name):
        raw = opened.enter_context(location.open())
        kind = _kind_of_compression(location.name, compression)
        content = raw if kind == "none" else opened.enter_context(_DECOMPRESSORS[kind](raw, location.name))
        stored = max_bytes if kind == "none" else location.size()
        bounded = _Bounded(content, location.name, stored, max_bytes)
        _require_text(_first_bytes(bounded, kind), location.name)
        yield bounded


def _first_bytes(content: _Bounded, kind: Compression) -> bytes:
    try:
        return content.look()
    except (gzip.BadGzipFile, lzma.LZMAError, OSError) as exc:
        if isinstance(exc, OSError) and exc.errno:
            raise
        raise ContractError(
            f"'{content.name}' is not {kind}, as its name or 'compression' says. Correct 'compression' in the catalog, "
            f"or ask for the file again."
        ) from exc


def _kind_of_compression(name: str, compression: Compression) -> Compression:
    if compression != "infer":
        return compression
    return next((kind for suffix, kind in _BY_SUFFIX.items() if name.lower().endswith(suffix)), "none")


def _require_text(start: bytes, name: str) -> None:
    if not start:
        raise ContractError(f"'{name}' is empty: not even a header was received. Ask for it again.")
    lowered = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, kind in _KINDS.items():
        if start.startswith(magic) or (magic.startswith(b"<") and lowered.startswith(magic)):
            raise ContractError(
                f"'{name}' is not text: it is {kind}. Choose the dataset or 'compression' for that in the catalog, or "
                f"ask for the table itself."
            )


@contextmanager
def _only_member(raw: BinaryIO, name: str) -> Iterator[Bytes]:
    with zipfile.ZipFile(raw) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise ContractError(f"'{name}' holds {len(members)} files instead of one. Unpack it, or ask for one table.")
        if members[0].flag_bits & 1:
            raise ContractError(f"'{name}' is encrypted. Decrypt it where it is received.")
        with archive.open(members[0]) as content:
            yield cast("Bytes", content)


@contextmanager
def _zstd(raw: BinaryIO, name: str) -> Iterator[Bytes]:  # noqa: ARG001 - like the others
    with pa.CompressedInputStream(raw, "zstd") as content:
        yield content


_DECOMPRESSORS: dict[str, Any] = {
    "gzip": lambda raw, _: gzip.GzipFile(fileobj=raw),
    "bz2": lambda raw, _: bz2.BZ2File(raw),
    "xz": lambda raw, _: lzma.LZMAFile(raw),  # noqa: SIM115 - the caller closes it
    "zstd": _zstd,
    "zip": _only_member,
}
