"""Files and directories that are written whole or not at all."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ABANDONED_AFTER_S = 60
"""What is younger may be so new that its writer has not locked it yet."""


@contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """Give a directory to fill, which takes the place of ``target`` once the block ended without an error.

    A reader, or a run after a crash, finds the old directory, the new one or none; never half of one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    replaced = staged.with_name(f"{staged.name}.old")
    lock = _lock(staged)
    try:
        yield staged
        for path in staged.rglob("*"):
            if path.is_file():
                _flush(path)
        staged.chmod(0o755)
        if target.exists():
            target.rename(replaced)
        try:
            staged.rename(target)
        except OSError:
            if replaced.exists():
                replaced.rename(target)
            raise
        _remove_abandoned(target)
    finally:
        os.close(lock)
        shutil.rmtree(replaced, ignore_errors=True)
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """Give a path to write to, which takes the place of ``target`` once the block ended without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    os.close(descriptor)
    staged = Path(name)
    lock = _lock(staged)
    try:
        yield staged
        _flush(staged)
        staged.chmod(0o644)
        staged.replace(target)
        _remove_abandoned(target)
    finally:
        os.close(lock)
        staged.unlink(missing_ok=True)


def write_directory(target: Path, files: Mapping[str, bytes]) -> None:
    """Replace directory ``target`` by ``files`` (relative path to content), whole or not at all."""
    with replaced_directory(target) as staged:
        for name, content in files.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _lock(staged: Path) -> int:
    """Mark what is being written as somebody's; the system takes the mark away when its process dies."""
    descriptor = os.open(staged, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes have left beside ``target``: half-written, large, and with applicants' data."""
    for left in target.parent.glob(f".{target.name}-*"):
        try:
            if time.time() - left.stat().st_ctime < _ABANDONED_AFTER_S:
                continue
            lock = _lock(left)
        except (BlockingIOError, FileNotFoundError):  # somebody is writing it, or has just finished
            continue
        try:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        finally:
            os.close(lock)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_directory(source: Path) -> dict[str, bytes]:
    """Return every file below ``source`` by relative path; empty when there is no such directory."""
    return {str(p.relative_to(source)): p.read_bytes() for p in sorted(source.rglob("*")) if p.is_file()}
