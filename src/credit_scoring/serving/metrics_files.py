"""Where the workers of one server keep their counts, so that each of them can tell the sum.

Every worker holds a numbered slot, by a lock that its death releases. A worker that takes the place of a dead one gets
its slot and counts on from there: no counter ever goes down, and there are never more files than workers.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


@dataclass(frozen=True, slots=True)
class Slot:
    """One worker's part of the files in ``directory``; ``lock`` is held until the process ends."""

    directory: Path
    number: int
    lock: int


def take_slot(server_pid: int, root: Path | None = None) -> Slot:
    """Have this process's metrics kept with those of all workers of one server; call it before metrics are made.

    BentoML names one directory for all its servers of one user, and empties it whenever another one starts, so each
    server gets a directory of its own here. Those of servers that are gone are removed.
    """
    home = root or Path(tempfile.gettempdir()) / f"credit_scoring_metrics_{os.getuid()}"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(home)
    _remove_left_behind(home)
    directory = home / _name(server_pid)
    directory.mkdir(mode=0o700, exist_ok=True)
    number, lock = _free_slot(directory)
    os.environ[_DIRECTORY] = str(directory)
    from prometheus_client import values  # noqa: PLC0415 - it reads the environment when it is imported

    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
    _drop_gauges(directory, number)
    return Slot(directory, number, lock)


def drop_gauges_of_the_dead(slot: Slot) -> None:
    """Forget what workers that are gone last reported to be true at the time; what they counted stays."""
    for file in slot.directory.glob("*.lock"):
        number = int(file.stem)
        if number != slot.number and not _held(file):
            _drop_gauges(slot.directory, number)


def _held(file: Path) -> bool:
    lock = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _free_slot(directory: Path) -> tuple[int, int]:
    number = 0
    while True:
        lock = os.open(directory / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            number += 1
        else:
            return number, lock


def _drop_gauges(directory: Path, number: int) -> None:
    for file in directory.glob(f"gauge_live*_{number}.db"):
        file.unlink(missing_ok=True)


def _require_own(home: Path) -> None:
    """Refuse a directory that somebody else made first where everybody may write."""
    found = home.lstat()
    if found.st_uid != os.getuid() or not home.is_dir() or home.is_symlink():
        raise PermissionError(f"'{home}' belongs to another user, and metrics are not kept there. Set TMPDIR.")


def _name(pid: int) -> str:
    """Return a name that no other process will have, though its id may come again: the id, and when it started."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = "0"
    return f"{pid}-{started}"


def _remove_left_behind(home: Path) -> None:
    for directory in home.iterdir():
        pid = directory.name.partition("-")[0]
        served = pid.isdigit() and _alive(int(pid)) and directory.name == _name(int(pid))
        # A server of another container that shares this directory is not seen by its id, but by its workers' locks.
        if not served and not any(_held(lock) for lock in directory.glob("*.lock")):
            shutil.rmtree(directory, ignore_errors=True)


def _alive(pid: int) -> bool:
    with suppress(PermissionError):  # alive, and somebody else's
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
