"""Hash chains of decision records: whoever changes, removes or reorders one breaks every link after it."""

import hashlib
from dataclasses import dataclass

GENESIS = "0" * 64
"""What the first record of a writer's chain stands on."""


@dataclass(frozen=True, slots=True)
class Link:
    """A record's place in its writer's chain; ``sequence`` counts from 1."""

    writer: str
    sequence: int
    previous_hash: str
    hash: str


def link(writer: str, sequence: int, previous_hash: str, content: str) -> Link:
    """Return the link of a record's ``content`` after ``previous_hash``.

    The SHA-256 covers the writer and the place too, so that a record fits nowhere else.
    """
    told = f"{previous_hash}\n{writer}\n{sequence}\n{content}"
    return Link(writer, sequence, previous_hash, hashlib.sha256(told.encode()).hexdigest())
