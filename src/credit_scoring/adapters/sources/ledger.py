"""Which contents were taken from a partner: an append-only file of JSON lines."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from credit_scoring.core.errors import ContractError


@dataclass(frozen=True, slots=True)
class Taken:
    """One content that was taken: the partner's name for it, SHA-256, size in bytes and times (RFC 3339)."""

    name: str
    sha256: str
    size: int
    modified: str
    taken_at: str


class Ledger:
    """The ledger of one landing directory; written under its lock only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> list[Taken]:
        """Return what was taken, in that order. A last line cut off by a crash was not taken yet.

        Raises:
            ContractError: If another line cannot be read.
        """
        whole, _, _ = self._content().rpartition(b"\n")
        lines = whole.splitlines()
        try:
            return [Taken(**json.loads(line)) for line in lines]
        except (ValueError, TypeError) as exc:
            raise ContractError(
                f"The ledger '{self._path}' is damaged, so that nobody can tell which files were taken. Restore it "
                f"from a backup; without one, move its whole directory away, and all files are taken again."
            ) from exc

    def append(self, taken: Taken) -> None:
        """Add one entry, flushed to disk; what a crash left of an earlier one goes."""
        content = self._content()
        with self._path.open("r+b" if content else "wb") as file:
            file.truncate(content.rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(asdict(taken), ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _content(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""
