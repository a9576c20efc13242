"""JSON lines as batches: every line is a row or malformed, and none is lost."""

import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from credit_scoring.adapters.sources.compression import Bytes
from credit_scoring.adapters.sources.malformed import Malformed
from credit_scoring.adapters.sources.text import Block, as_latin_1, blocks_of, is_clean
from credit_scoring.core.as_text import Number, text_rows
from credit_scoring.core.errors import ContractError
from credit_scoring.core.received import Batch

_MOST_COLUMNS = 10_000
_MOST_CELLS = 5_000_000


def read_json_lines(content: Bytes, source: str, encoding: str = "utf-8") -> Iterator[Batch]:
    """Return the rows of a file with one JSON object a line, in order; blank lines are no rows.

    The columns of a batch are the union of the keys of its rows, null where a row lacks one: batches may differ in
    columns. Numbers keep the digits in which they came; lists and objects are JSON text. A line that is no object, or
    names a key twice, is malformed.

    Raises:
        ContractError: If rows have so many different keys that they are no table, or no line was received.
    """
    row = 1
    for block in blocks_of(content, encoding, source, newlines="\n"):
        for lines in _tables(block, source):
            batch = _batch(lines, source, row)
            row += len(lines)
            yield batch
    if row == 1:
        raise ContractError(f"'{source}' holds blank lines only. Ask for it again.")


def parsed(text: str) -> Any:
    """Return JSON with numbers in the digits in which they came. Raises ValueError, also for a key given twice."""
    return _DECODER.decode(text)


def _tables(block: Block, source: str) -> Iterator[list[tuple[str, dict[str, Any] | str]]]:
    """Return the lines of a block with their object, or what is wrong with them; cut before a table gets too wide."""
    taken: list[tuple[str, dict[str, Any] | str]] = []
    keys: dict[str, None] = {}
    for line in block.lines("\n"):
        if not line.strip():
            continue
        found = _row(line, clean=block.clean)
        if isinstance(found, dict):
            keys.update(dict.fromkeys(found))
        taken.append((line, found))
        if len(keys) > _MOST_COLUMNS:
            raise ContractError(
                f"'{source}' has more than {_MOST_COLUMNS:,} different keys in its objects: it is no table with one "
                f"column per key. Ask for objects with the same keys."
            )
        if len(keys) * len(taken) > _MOST_CELLS:
            yield taken
            taken, keys = [], {}
    if taken:
        yield taken


def _batch(lines: list[tuple[str, dict[str, Any] | str]], source: str, first: int) -> Batch:
    objects, numbers, malformed = [], [], Malformed()
    for number, (line, found) in enumerate(lines, start=first):
        if isinstance(found, dict):
            objects.append(found)
            numbers.append(number)
        else:
            rule = "json" if is_clean(line) else "encoding"
            malformed.add(number, rule, found, json.dumps(as_latin_1(line.strip()), ensure_ascii=False))
    return Batch(source, text_rows(objects), pl.Series("row_number", numbers, pl.Int64), malformed.frame())


def _row(line: str, *, clean: bool) -> dict[str, Any] | str:
    """Return the object of a line, or why there is none."""
    if not clean and not is_clean(line):
        return "the line holds bytes that are no characters of the encoding; shown as latin-1"
    try:
        found = parsed(line)
        if not isinstance(found, dict) or not found:
            return "the line is JSON, but not an object with fields"
        _require_characters(found, line)
    except json.JSONDecodeError as exc:
        return f"the line is not JSON: {exc.msg} at character {exc.pos + 1}"
    except RecursionError:
        return "the line is nested too deeply"
    except ValueError as exc:
        return str(exc)
    return found


def _require_characters(found: dict[str, Any], line: str) -> None:
    """Refuse escapes that are half a character, which no text can hold."""
    if "\\u" in line and not is_clean("".join(_strings(found))):
        raise ValueError("the line escapes NUL or half a character (\\u0000, \\ud800): it cannot be kept as text")


def _strings(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        yield from found
        for value in found.values():
            yield from _strings(value)
    elif isinstance(found, list):
        for value in found:
            yield from _strings(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("the object gives one key twice, so that nobody can tell which value holds")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=Number, parse_int=Number, parse_constant=Number)
