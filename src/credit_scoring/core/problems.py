"""Faults of a declaration: where each stands and what to do about it."""

from collections.abc import Collection
from dataclasses import dataclass

from credit_scoring.core.errors import nearest

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a declaration: where it stands (keys from the top) and what to do about it."""

    path: Path
    message: str


def unknown(what: str, word: str, allowed: Collection[str]) -> str:
    """Word that ``word`` names nothing that is declared."""
    known = ", ".join(sorted(allowed)) or "none"
    return f"names no {what} '{word}'.{nearest(word, allowed)} Declared: {known}."
