"""The one key of the embedded mode, in a file beside the database that only its owner reads."""

import logging
import os
import stat
import tempfile
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url

from credit_scoring.adapters.database.engine import absolute_url, writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.keys import insert_key, revoke_development_keys, select_key
from credit_scoring.core.api_keys import KeyHolder, RandomBytes, fits, new_key, presented_key
from credit_scoring.core.callers import SCOPES
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.owners import DEFAULT_TENANT
from credit_scoring.ports import Clock

FILE = "development.key"

logger = logging.getLogger(__name__)

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_LONGEST_FILE = 256


def development_key_file(url: str) -> Path | None:
    """Return where the key of an embedded database lies, or None for a server's database, which has none."""
    parsed = make_url(absolute_url(url))
    return Path(str(parsed.database)).with_name(FILE) if parsed.get_backend_name() == "sqlite" else None


def ensure_development_key(
    engine: Engine, file: Path, clock: Clock, random_bytes: RandomBytes, *, tenant: str = DEFAULT_TENANT
) -> Path:
    """Have ``file`` hold the one development key of the database, with all scopes, readable by its owner alone.

    A file that was lost or does not fit is written anew, and the key before it revoked. Processes that start at once
    agree: who makes the key holds the database's write lock, and the others find it made.

    Raises:
        RecordsError: If the database or the file cannot be written.
    """
    holder = KeyHolder("development", tenant, "development", frozenset(SCOPES))
    with told_as_records_error("looking for the development key"), engine.begin() as connection:
        if _holds(connection, file, holder, clock()):
            return file
    try:
        with told_as_records_error("making the development key"), writing(engine).begin() as connection:
            if not _holds(connection, file, holder, clock()):
                made = new_key(holder, clock(), random_bytes, development=True)
                revoke_development_keys(connection, clock())
                insert_key(connection, made.key)
                # Before the commit: a file without a row is noticed at the next start, and so is a lost one.
                _write(file, made.text)
    except OSError as exc:
        raise RecordsError(
            f"The development key cannot be written to '{file}' ({exc.strerror}). Make its directory writable, or "
            f"remove what is in its place."
        ) from exc
    return file


def _holds(connection: Connection, file: Path, holder: KeyHolder, now: datetime) -> bool:
    presented = presented_key(_read(file))
    key = select_key(connection, presented.key_id) if presented else None
    if presented is None or key is None or not fits(presented, key):
        return False
    return key.development and key.holder == holder and key.state(now) == "active"


def _read(file: Path) -> str:
    """Return what the file holds, or nothing where it cannot be trusted to be ours; taken from others' eyes first."""
    try:
        # No link that somebody else has laid, and no waiting for a pipe's other end.
        opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return ""
        if found.st_mode & _OTHERS:
            os.fchmod(opened, 0o600)
            logger.warning("development_key_was_readable: others could read '%s'; delete it to have a new one.", file)
        return os.read(opened, _LONGEST_FILE).decode("ascii", "replace").strip()
    finally:
        os.close(opened)


def _write(file: Path, text: str) -> None:
    """Replace the file, whole or not at all; under the write lock, so what killed processes left is nobody's."""
    for left in file.parent.glob(f".{FILE}-*"):
        left.unlink(missing_ok=True)
    opened, staged = tempfile.mkstemp(prefix=f".{FILE}-", dir=file.parent)  # mode 0600, whatever the umask
    try:
        with os.fdopen(opened, "w", encoding="ascii") as output:
            output.write(text + "\n")
            output.flush()
            os.fsync(output.fileno())
        Path(staged).replace(file)
    finally:
        Path(staged).unlink(missing_ok=True)
