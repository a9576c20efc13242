"""Universal Binary JSON as XGBoost writes it, read without trusting a byte of it."""

import struct
from typing import Any

import numpy as np

MOST_NESTED = 64
"""Levels of nesting; an XGBoost model has about ten."""

_SCALARS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_WHOLE = frozenset(b"iUIlL")
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def decode(data: bytes) -> Any:
    """Return what ``data`` says: dicts, lists, NumPy arrays where the elements' type is declared, and scalars.

    Raises:
        ValueError: If the bytes are not one complete value.
    """
    reader = _Reader(data)
    found = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes follow the value")
    return found


class _Reader:
    """A place in the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError("the bytes end too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def value(self, marker: bytes, nested: int) -> Any:
        """Return the value that begins behind its marker."""
        if nested > MOST_NESTED:
            raise ValueError(f"more than {MOST_NESTED} levels are nested")
        if marker == b"{":
            return self._mapping(nested + 1)
        if marker == b"[":
            return self._sequence(nested + 1)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == b"S":
            return self._text()
        if marker == b"C":
            return self.take(1).decode("ascii")
        return self._number(marker)

    def _number(self, marker: bytes) -> Any:
        if marker not in _SCALARS:
            raise ValueError("a marker is none of UBJSON's")
        form = _SCALARS[marker]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def _length(self) -> int:
        marker = self.take(1)
        if marker[0] not in _WHOLE:
            raise ValueError("a length is not a whole number")
        return int(self._number(marker))

    def _text(self) -> str:
        return self.take(self._length()).decode("utf-8")

    def _mapping(self, nested: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (ahead := self.take(1)) != b"}":
            self.at -= len(ahead)
            name = self._text()
            found[name] = self.value(self.take(1), nested)
        return found

    def _sequence(self, nested: int) -> Any:
        marker = self.take(1)
        if marker == b"$":
            return self._typed()
        if marker == b"#":
            return [self.value(self.take(1), nested) for _ in range(self._length())]
        found = []
        while marker != b"]":
            found.append(self.value(marker, nested))
            marker = self.take(1)
        return found

    def _typed(self) -> Any:
        marker = self.take(1)
        if marker not in _SCALARS or self.take(1) != b"#":
            raise ValueError("an array's type or length is missing")
        kind = np.dtype(_SCALARS[marker])
        return np.frombuffer(self.take(self._length() * kind.itemsize), kind)
