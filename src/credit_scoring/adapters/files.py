"""Directories that are written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_directory(target: Path, files: Mapping[str, bytes]) -> None:
    """Replace directory ``target`` by ``files`` (relative path to content), flushed to disk.

    A reader, or a run after a crash, finds the old directory, the new one or none; never half of one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    replaced = staged.with_name(f"{staged.name}.old")
    try:
        for name, content in files.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        staged.chmod(0o755)
        if target.exists():
            target.rename(replaced)
        try:
            staged.rename(target)
        except OSError:
            if replaced.exists():
                replaced.rename(target)
            raise
    finally:
        shutil.rmtree(replaced, ignore_errors=True)
        shutil.rmtree(staged, ignore_errors=True)


def read_directory(source: Path) -> dict[str, bytes]:
    """Return every file below ``source`` by relative path; empty when there is no such directory."""
    return {str(p.relative_to(source)): p.read_bytes() for p in sorted(source.rglob("*")) if p.is_file()}
