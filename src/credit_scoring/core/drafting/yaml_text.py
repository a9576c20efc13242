"""Values as YAML that the declaration's reader gives back unchanged, on few and legible lines."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

WIDTH = 116
_PLAIN = re.compile(r"[^\W\d_](?:[\w./ +()-]*[\w.)+-])?")
_NOT_TEXT = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"))
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\"}


def scalar(value: Any) -> str:
    """Return one plain value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value.normalize() if value else Decimal(0), "f")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return _text(value) if isinstance(value, str) else str(value) if isinstance(value, int | date) else "null"


def _text(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.casefold() not in _NOT_TEXT and value.isprintable():
        return value
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def flow(value: Any) -> str:
    """Return a value of any depth on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return scalar(value)


def entry(key: str, value: Any, indent: int) -> list[str]:
    """Return ``key: value`` on one line if it fits, else a key per line, a list on as many lines as it needs."""
    pad = " " * indent
    line = f"{pad}{scalar(key)}: {flow(value)}"
    if len(line) <= WIDTH:
        return [line]
    if isinstance(value, Mapping):
        inner = [text for name, part in value.items() for text in entry(name, part, indent + 2)]
        return [f"{pad}{scalar(key)}:", *inner]
    if isinstance(value, list | tuple):
        return [f"{pad}{scalar(key)}:", *_filled([flow(part) for part in value], indent + 2)]
    return [line]


def _filled(parts: list[str], indent: int) -> list[str]:
    """A list in brackets over several lines, never broken inside one of its parts."""
    pad, lines, current = " " * indent, [], "["
    for position, part in enumerate(parts):
        text = part + ("," if position < len(parts) - 1 else "]")
        if len(current) > 1 and len(pad) + len(current) + 1 + len(text) > WIDTH:
            lines.append(pad + current)
            current = " " + text
        else:
            current += text if current == "[" else f" {text}"
    return [*lines, pad + current]


def comment(texts: Iterable[str], indent: int) -> list[str]:
    """Return texts as comment lines, joined by '; ' and wrapped; nothing for no text."""
    joined = "; ".join(texts)
    pad = " " * indent + "# "
    plain = "".join(character if character.isprintable() else " " for character in joined)
    wrapped = textwrap.wrap(plain, WIDTH - len(pad), break_long_words=False, break_on_hyphens=False)
    return [pad + line for line in wrapped]
