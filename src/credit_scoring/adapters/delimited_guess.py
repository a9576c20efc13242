"""How a delimited file is probably written, told from its first bytes."""

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from credit_scoring.adapters.sources.delimited_options import WHITESPACE, DelimitedOptions
from credit_scoring.adapters.sources.delimited_records import Dialect, UnclosedQuoteError
from credit_scoring.core.errors import ContractError

HEAD_BYTES = 1_000_000
_RECORDS = 300
_DELIMITERS = (",", ";", "\t", "|", " ", WHITESPACE, ":", "^", "~")
_RIVALS = ";\t|"
_NUMERIC = re.compile(
    r"[+-]?[$€£]?(\d[\d.,' \u00a0\u202f\u2009]*|[.,]\d+)([eE][+-]?\d+)?%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*"
)
_JUDGED = 20_000
_NO_TEXT = frozenset(("Cc", "Cn", "Co", "Cs"))
_SPACES = "\t\n\r\v\f\x1a"
_FEW_ODD = 3
_ODD_SHARE = 0.005
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True, slots=True)
class DelimitedGuess:
    """``columns`` are the names to give where the file has no header, or one that cannot be used as it is.

    ``has_header`` tells whether the first record is one; ``faulty_header`` says what is wrong with it, if anything.
    """

    delimiter: str
    encoding: str
    columns: tuple[str, ...] | None
    has_header: bool
    faulty_header: str = ""


def guess_encoding(head: bytes) -> str:
    """Return the encoding of ``head``, which may be cut inside a character."""
    named = next((encoding for bom, encoding in _BOMS.items() if head.startswith(bom)), None)
    if named is not None:
        return named
    if head[1:2000:2].count(0) > len(head[1:2000:2]) / 3:
        return "utf-16-le"
    if head[0:2000:2].count(0) > len(head[0:2000:2]) / 3:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1" if set(head) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "cp1252"
    return "utf-8"


def guess_delimited(head: bytes, delimiter: str | None, encoding: str | None, header: bool | None) -> DelimitedGuess:
    """Return how the file is written; what is given is taken as it is.

    Args:
        head: Its first bytes, decompressed.
        delimiter: As in the catalog, if known.
        encoding: As in the catalog, if known.
        header: Whether the first record is a header, if known.

    Raises:
        ContractError: If no record can be read, or this is no text.
    """
    encoding = encoding or guess_encoding(head)
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head).removeprefix("\ufeff")
    _require_text(text[:_JUDGED], delimiter or "")
    lines = text.splitlines(keepends=True)
    lines = lines[:-1] if len(head) >= HEAD_BYTES and len(lines) > 1 else lines
    found = delimiter or _best_delimiter(lines)
    records = _records(lines, found)
    if not records:
        raise ContractError(
            "The file holds no record that can be read as delimited text. Name its --delimiter, or mend it."
        )
    first = [field.strip() for field in records[0]]
    has_header = _is_header(first, records[1:]) if header is None else header
    numbered = tuple(f"column_{position}" for position in range(1, len(first) + 1))
    if not has_header:
        return DelimitedGuess(found, encoding, numbered, has_header=False)
    faulty = _header_fault(first)
    return DelimitedGuess(found, encoding, _named(first) if faulty else None, has_header=True, faulty_header=faulty)


def _require_text(text: str, delimiter: str) -> None:
    """Refuse what no table holds: characters that control something, that are none, or that could not be read."""
    odd = [c for c in text if unicodedata.category(c) in _NO_TEXT and c not in _SPACES and c not in delimiter]
    unread = text.count("\ufffd")
    if len(odd) + unread > max(_FEW_ODD, _ODD_SHARE * len(text)):
        raise ContractError(
            "The file is not a table: it holds control characters or bytes that are no text, as programs, pictures "
            "and encrypted files do. Name a CSV, JSON lines, Parquet or Excel file, or its --encoding if it is one."
        )


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether the first record differs from the others: words above numbers, or words that do not occur again."""
    columns = [[o[p].strip() for o in others if len(o) == len(first) and o[p].strip()] for p in range(len(first))]
    numeric = [p for p, values in enumerate(columns) if values and _share_of_numbers(values) > 0.9]
    if numeric:
        return sum(bool(_NUMERIC.fullmatch(first[p])) for p in numeric) <= len(numeric) / 2
    again = sum(first[p] in values for p, values in enumerate(columns))
    return again <= len(first) / 2 and _share_of_numbers(first) <= 0.5


def _share_of_numbers(values: Sequence[str]) -> float:
    return sum(bool(_NUMERIC.fullmatch(value)) for value in values) / max(len(values), 1)


def _header_fault(first: Sequence[str]) -> str:
    empty = sum(not name for name in first)
    twice = sum(count - 1 for name, count in Counter(first).items() if name and count > 1)
    told = [f"{empty} column(s) have no name"] if empty else []
    return " and ".join([*told, *([f"{twice} name(s) are repeated"] if twice else [])])


def _named(first: Sequence[str]) -> tuple[str, ...]:
    """Every name once; what has none is called by its position."""
    names: list[str] = []
    for position, given in enumerate(first, start=1):
        name, copies = given or f"column_{position}", 1
        while name in names or (copies > 1 and name in first):
            copies += 1
            name = f"{given or 'column'}_{copies if given else position + copies}"
        names.append(name)
    return tuple(names)


def _best_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that gives most records the same number of fields, in which no other delimiter stands."""
    scores = {delimiter: _score(_records(lines, delimiter), delimiter) for delimiter in _DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best] > 0.5 else ","


def _score(records: Sequence[Sequence[str]], delimiter: str) -> float:
    if not records:
        return 0
    width, same = Counter(map(len, records)).most_common(1)[0]
    if width < 2 or len(records[0]) != width:
        return 0
    fields = [field for record in records for field in record]
    clean = sum(not any(rival in field for rival in _RIVALS if rival != delimiter) for field in fields)
    filled = sum(bool(field.strip()) for field in records[0]) / width
    return round(same / len(records) * clean / len(fields) * filled, 2)


def _records(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    dialect = Dialect.of(DelimitedOptions(delimiter=delimiter))
    try:
        records = list(islice(dialect.records(list(lines), 1), _RECORDS))
    except UnclosedQuoteError:
        return []
    return [record.fields for record in records if not isinstance(record, list) and record.fields]
