"""A landing directory: what was received, kept as it came, written whole or not at all by one process at a time."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from credit_scoring.core.errors import ContractError

_LOCK_WAIT_S = 600.0
_UNFINISHED = ".unfinished-"


@contextmanager
def locked(landing: Path) -> Iterator[None]:
    """Hold a landing directory for this process; the lock of one that died is free.

    Raises:
        ContractError: If another process holds it for ten minutes.
    """
    landing.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(landing / ".lock", timeout=_LOCK_WAIT_S):
            for left in landing.glob(f"{_UNFINISHED}*"):
                left.unlink()  # of a process that was killed: only the holder of the lock writes
            yield
    except Timeout as exc:
        raise ContractError(
            f"Another run has been taking files into '{landing}' for ten minutes. Wait for it to end, or end it."
        ) from exc


@contextmanager
def whole_file(directory: Path) -> Iterator["Unfinished"]:
    """Give a file that appears under its name only when it is finished; otherwise nothing is left of it."""
    descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=directory)
    unfinished = Unfinished(Path(name), os.fdopen(descriptor, "wb"))
    try:
        yield unfinished
    finally:
        unfinished.file.close()
        unfinished.path.unlink(missing_ok=True)


class Unfinished:
    """A file while it is written."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file

    def finish(self, name: str) -> None:
        """Flush it to disk, and give it its name in the same directory."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.path.chmod(0o644)
        self.path.replace(self.path.with_name(name))
        flush_directory(self.path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file by ``content``, flushed to disk."""
    with whole_file(path.parent) as unfinished:
        unfinished.file.write(content)
        unfinished.finish(path.name)


def flush_directory(directory: Path) -> None:
    """Flush the names in a directory to disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
