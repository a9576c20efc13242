"""Bytes as blocks of lines, none of them lost: what is no character of the encoding is kept as a mark of its byte."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass

from credit_scoring.adapters.sources.compression import Bytes
from credit_scoring.core.errors import ContractError, nearest

BLOCK_BYTES = 2_000_000
"""Memory of a reader is some twenty times this: every field becomes a Python string."""

_PART_LINES = 500
_LONGEST_LINE = 4 * BLOCK_BYTES
_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_MARK = 0xDC00
_BYTES_OF_MARKS = {_MARK + byte: byte for byte in range(256)}


def _mark_bytes(fault: UnicodeError) -> tuple[str, int]:
    if not isinstance(fault, UnicodeDecodeError):
        raise fault
    return "".join(chr(_MARK + byte) for byte in fault.object[fault.start : fault.end]), fault.end


codecs.register_error("mark_bytes", _mark_bytes)


@dataclass(frozen=True, slots=True)
class Block:
    """The text of whole lines; ``clean`` when it holds neither a mark nor NUL."""

    text: str
    clean: bool

    def lines(self, newlines: str = "") -> list[str]:
        """Return the lines with their ends, which are as in ``blocks_of``."""
        return io.StringIO(self.text, newline=newlines).readlines()

    def parts(self) -> Iterator["Block"]:
        """Return the block a few hundred lines at a time, so that a fault slows its neighbours down only."""
        lines = self.lines()
        for start in range(0, len(lines), _PART_LINES):
            text = "".join(lines[start : start + _PART_LINES])
            yield Block(text, self.clean or is_clean(text))

    def count(self) -> int:
        """Return how many lines there are, ended by any of LF, CR LF and CR."""
        ends = self.text.count("\n") + self.text.count("\r") - self.text.count("\r\n")
        return ends + (not self.text.endswith(("\r", "\n")))


def blocks_of(content: Bytes, encoding: str, name: str, newlines: str = "") -> Iterator[Block]:
    """Return all lines, some eight million bytes at a time; a byte order mark wins over ``encoding``.

    Args:
        content: The decompressed bytes.
        encoding: Any that Python knows; checked by ``known_encoding``.
        name: For errors.
        newlines: As ``io.StringIO``: '' ends lines at any of LF, CR LF and CR, LF at that alone.

    Raises:
        ContractError: If a line is too long to be one.
    """
    chunk = content.read(BLOCK_BYTES)
    encoding = next((found for bom, found in _BOMS.items() if chunk.startswith(bom)), encoding)
    decoder = codecs.getincrementaldecoder(encoding)(errors="mark_bytes")
    rest = ""
    while chunk:
        following = content.read(BLOCK_BYTES)
        text = rest + decoder.decode(chunk, final=not following)
        cut = text.rfind("\n") + 1 or (text.rfind("\r", 0, -1) + 1 if not newlines else 0)
        if len(text) - cut > _LONGEST_LINE:
            raise ContractError(
                f"'{name}' holds a line of more than {_LONGEST_LINE:,} characters, which no row is. Check its "
                f"'encoding' in the catalog and what made it."
            )
        whole = text[:cut] if following else text
        if whole:
            yield Block(whole, is_clean(whole))
        rest = text[len(whole) :]
        chunk = following


def is_clean(text: str) -> bool:
    """Whether every byte was a character of the encoding, and none was NUL."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_latin_1(text: str) -> str:
    """Return ``text`` with each marked byte shown as the Latin-1 character of that byte."""
    return text.translate(_BYTES_OF_MARKS)


def known_encoding(encoding: str) -> str:
    """Return ``encoding`` as it came. Raises ValueError where Python knows no such encoding of text."""
    try:
        "".encode(encoding)
    except LookupError as exc:
        usual = ("utf-8", "utf-16", "cp1252", "latin-1", "iso-8859-15", "cp850", "cp1250", "shift_jis", "gb18030")
        raise ValueError(
            f"'{encoding}' is no encoding; usual ones are {', '.join(usual)}.{nearest(encoding, usual)}"
        ) from exc
    return encoding
