"""Taking a partner's files: each content once, only when it is whole, and never half."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from credit_scoring.adapters.sources.landing import locked, whole_file
from credit_scoring.adapters.sources.ledger import Ledger, Taken
from credit_scoring.adapters.sources.locations import Location, reading

_LOG = logging.getLogger(__name__)
_UNFINISHED = ("*.tmp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*~")
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True)
class Offered:
    """A file as its partner's storage tells of it; any difference means that it changed."""

    name: str
    path: str
    size: int
    modified: datetime | None
    etag: str

    @property
    def modified_text(self) -> str:
        """The time of the last change, or what else tells one state of the file from another."""
        return self.modified.isoformat() if self.modified else self.etag


@dataclass(frozen=True, slots=True)
class Partner:
    """Where a partner puts files, which of them are meant, and how long one must have been left alone."""

    location: Location
    pattern: str
    skip: Sequence[str]
    settled_seconds: float


def take_new_files(partner: Partner, landing: Path, clock: Callable[[], datetime]) -> list[Taken]:
    """Copy every new, settled file into ``landing`` under its content's SHA-256; return all that were ever taken.

    A file that was modified less than ``settled_seconds`` ago, or changes while it is copied, is left for next time.

    Raises:
        ContractError: If the partner's directory cannot be read, or the ledger is damaged.
    """
    with locked(landing), reading(partner.location.name):
        ledger = Ledger(landing / "ledger.jsonl")
        taken = ledger.entries()
        known = {(entry.name, entry.size, entry.modified) for entry in taken}
        contents = {entry.sha256 for entry in taken}
        for offered in _offered(partner):
            if (offered.name, offered.size, offered.modified_text) in known or not _settled(offered, partner, clock()):
                continue
            sha256 = _copied(offered, partner.location.filesystem, landing, contents)
            if sha256 is None or sha256 in contents:
                continue
            entry = Taken(offered.name, sha256, offered.size, offered.modified_text, clock().isoformat())
            ledger.append(entry)
            taken.append(entry)
            contents.add(sha256)
            _LOG.info("taken file %s of %d bytes", offered.name, offered.size)
    return taken


def _offered(partner: Partner) -> list[Offered]:
    """Return the files that are meant, oldest first."""
    files = partner.location.filesystem
    files.invalidate_cache()
    found = (
        _described(partner.location, path, told)
        for path, told in files.find(partner.location.path, detail=True).items()
    )
    meant = [offered for offered in found if _is_meant(offered.name, partner)]
    return sorted(meant, key=lambda offered: (offered.modified_text, offered.name))


def _is_meant(name: str, partner: Partner) -> bool:
    path = PurePosixPath(name)
    if any(part.startswith(".") for part in path.parts) or any(fnmatchcase(path.name.lower(), p) for p in _UNFINISHED):
        return False
    return fnmatchcase(name, partner.pattern) and name not in partner.skip


def _described(location: Location, path: str, told: dict[str, Any]) -> Offered:
    modified = told.get("mtime", told.get("LastModified", told.get("created")))
    if isinstance(modified, int | float):
        modified = datetime.fromtimestamp(modified, UTC)
    name = path.removeprefix(location.path.rstrip("/")).lstrip("/")
    return Offered(name, path, int(told["size"] or 0), modified, str(told.get("ETag", "")).strip('"'))


def _settled(offered: Offered, partner: Partner, now: datetime) -> bool:
    if not offered.size:
        _LOG.warning("file %s is empty; it is taken once it has content", offered.name)
        return False
    age = (now - offered.modified).total_seconds() if offered.modified else partner.settled_seconds
    if 0 <= age < partner.settled_seconds:
        _LOG.warning("file %s was modified %.0f s ago; it is taken next time", offered.name, age)
        return False
    return True


def _copied(offered: Offered, files: Any, landing: Path, contents: set[str]) -> str | None:
    """Copy a file and return its SHA-256; None, and nothing is left, if it changed or went meanwhile."""
    location = Location(files, offered.path, offered.name)
    with whole_file(landing) as copy:
        digest = hashlib.sha256()
        try:
            with location.open() as original:
                while chunk := original.read(_CHUNK):
                    digest.update(chunk)
                    copy.file.write(chunk)
            files.invalidate_cache()
            after = _described(Location(files, "", ""), offered.path, files.info(offered.path))
        except FileNotFoundError:
            _LOG.warning("file %s went while it was read; it is not taken", offered.name)
            return None
        unchanged = (after.size, after.modified, after.etag) == (offered.size, offered.modified, offered.etag)
        if not unchanged or copy.file.tell() != offered.size:
            _LOG.warning("file %s changed while it was read; it is taken next time", offered.name)
            return None
        if digest.hexdigest() not in contents:
            copy.finish(digest.hexdigest())
        return digest.hexdigest()
