"""Files wherever fsspec reaches them, and what can go wrong on the way as errors that say what to do."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import fsspec
from kedro.utils import find_kedro_project

from credit_scoring.core.errors import ContractError

_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class Location:
    """A file or directory: on disk, in a bucket, in memory.

    ``name`` is what errors and batches call it: the path below the project, or the file's name; no credentials.
    """

    filesystem: Any
    path: str
    name: str

    @classmethod
    def of(cls, filepath: str, credentials: Mapping[str, Any] | None, fs_args: Mapping[str, Any] | None) -> Self:
        """Return the location of a catalog entry; ``credentials`` and ``fs_args`` go to fsspec, as in Kedro."""
        url = filepath if "://" in filepath else str(project_path(filepath))
        filesystem, path = fsspec.url_to_fs(url, **dict(fs_args or {}), **dict(credentials or {}))
        project = find_kedro_project(Path.cwd()) or Path.cwd()
        local = Path(url)  # Kedro has made the path of a catalog entry absolute
        name = str(local.relative_to(project)) if local.is_relative_to(project) else Path(path).name
        return cls(filesystem, path, name)

    def open(self) -> BinaryIO:
        """Return the bytes of the file, to be closed by the caller."""
        return cast("BinaryIO", self.filesystem.open(self.path, "rb"))

    def size(self) -> int:
        """Return the stored size in bytes."""
        return int(self.filesystem.info(self.path)["size"] or 0)


def project_path(path: str) -> Path:
    """Return a relative path as seen from the project, wherever in it the command was typed."""
    found = Path(path)
    return found if found.is_absolute() else (find_kedro_project(Path.cwd()) or Path.cwd()) / found


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Tell what keeps a file from being read, as ContractError."""
    try:
        yield
    except FileNotFoundError as exc:
        looked_for = exc.filename or (str(exc.args[0]) if len(exc.args) == 1 else name)
        raise ContractError(f"'{looked_for}' is absent. Put it there, or correct its path in the catalog.") from exc
    except PermissionError as exc:
        raise ContractError(f"'{name}' may not be read. Check permissions, or 'credentials' in the catalog.") from exc
    except _DAMAGED as exc:
        raise ContractError(
            f"'{name}' is cut off or damaged: nothing after that can be read. Ask for it again."
        ) from exc
    except OSError as exc:
        reason = exc.strerror or str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        raise ContractError(f"'{name}' cannot be read: {reason}. Mend or replace it, then run again.") from exc
