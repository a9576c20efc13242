"""How many connections each worker of one server holds, and how many of the waiting ones one of them is to take."""

import mmap
import os
import time
from collections.abc import Sequence
from pathlib import Path

SILENT_S = 0.5
"""A worker that gave no sign for so long is taken for dead or hung, and its share is its siblings'."""

_FILE = "connections"
_CELL_BYTES = 8
_AWAY = 0


class OpenConnections:
    """The workers' open connections: a row of two numbers in shared memory for each, which nobody else writes.

    Args:
        directory: What the workers of one server have in common.
        number: This worker's row, which no other living one has.
        rows: How many there may be; the same for all.
    """

    def __init__(self, directory: Path, number: int, rows: int) -> None:
        descriptor = os.open(directory / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, 2 * rows * _CELL_BYTES)  # the same size again changes nothing
            shared = mmap.mmap(descriptor, 2 * rows * _CELL_BYTES)
        finally:
            os.close(descriptor)
        # Whole machine words, so that nobody reads half of one. Ints in native byte order: last sign of life, count.
        self._cells = memoryview(shared).cast("q")
        self._number = number
        self._seen_at, self._count = 2 * number, 2 * number + 1
        self._cells[self._seen_at] = _AWAY
        self._cells[self._count] = 0

    @property
    def own(self) -> int:
        """How many this worker holds."""
        return self._cells[self._count]

    def opened(self) -> None:
        """Count one more."""
        self._cells[self._count] += 1

    def closed(self) -> None:
        """Count one less."""
        self._cells[self._count] -= 1

    def here(self) -> None:
        """Tell that this worker takes connections; to be told again and again, before it would count as silent."""
        self._cells[self._seen_at] = time.monotonic_ns()

    def away(self) -> None:
        """Tell that it takes none from now on."""
        self._cells[self._seen_at] = _AWAY

    def of_siblings(self) -> list[int]:
        """How many each of the other workers holds that take connections now."""
        cells = self._cells.tolist()
        since = time.monotonic_ns() - int(SILENT_S * 1e9)  # one clock for all processes
        seen = enumerate(zip(cells[::2], cells[1::2], strict=True))
        return [count for number, (seen_at, count) in seen if seen_at > since and number != self._number]


def own_share(own: int, siblings: Sequence[int], waiting: int) -> int:
    """Return how many of the ``waiting`` connections a worker takes that holds ``own``.

    As water fills a vessel with an uneven floor: the waiting ones raise those who hold fewest to one level, and a
    worker takes what it lacks of it. Above the k lowest alone the water would stand at the mean of what they hold and
    what waits; the level is the least of these means, over all k. What is left, less than one for each, goes to whoever
    holds fewest.
    """
    held, level = 0, own + waiting
    for lowest, count in enumerate(sorted((own, *siblings)), start=1):
        held += count
        level = min(level, (held + waiting) // lowest)
    if level > own:
        return level - own
    return 1 if waiting and own <= min(siblings, default=own) else 0
