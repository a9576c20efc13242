"""Opens the database: durable settings, its directory, its newest schema."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from credit_scoring.adapters.database.direct import Direct
from credit_scoring.core.errors import RecordsError

BUSY_TIMEOUT_S = 3.0
"""How long a statement waits for another process's lock; below the service's own deadline of 10 seconds."""

CHECKPOINT_PAGES = 1_000
"""How many pages (of 4 KiB) SQLite writes ahead before a commit copies them to the file, while everybody waits.

Its own default. With four times as many the slowest hundredth of all decisions took twice as long, and none less time.
"""

NEWEST_REVISION = "0003"
"""The revision that this version of the package works on; a database that has it needs no Alembic."""

_GIVE_UP = {
    "connect_timeout": 3,
    "tcp_user_timeout": 8_000,
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
"""After how many seconds (``tcp_user_timeout``: milliseconds) a PostgreSQL that left the network is given up."""

_START_UP_TIMEOUT_S = 30.0
_LARGEST_POOL = 40  # one connection per worker thread of the service
_WRITES = "credit_scoring_writes"
_DIRECT = "credit_scoring_direct"


def open_database(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Return the database at ``url`` with its newest schema; safe when several processes open it at once.

    Args:
        url: SQLAlchemy URL. The directory of an embedded (SQLite) file is created.
        busy_timeout_s: Seconds that a statement waits for another process's lock.

    Raises:
        RecordsError: If the URL cannot be used, or the database cannot be reached, written or migrated.
    """
    parsed = _parsed(url)
    path = _embedded_file(parsed)
    where = path or parsed.render_as_string(hide_password=True)
    try:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            _switch_to_wal(path)
        _upgrade(_engine(parsed, path, _START_UP_TIMEOUT_S))
    except (SQLAlchemyError, sqlite3.Error, OSError) as exc:
        raise RecordsError(
            f"The database at '{where}' cannot be opened for writing ({_plain(exc)}). Check that the directory "
            f"exists and is writable and its disk is not full, or set CREDIT_DATABASE_URL to another place."
        ) from exc
    engine = _engine(parsed, path, busy_timeout_s, create=False)
    check = _still_there(path) if path else _nothing
    event.listen(engine, "checkout", lambda _connection, _record, _proxy: check())
    return _with_direct(engine, check)


def existing_database(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine | None:
    """Return the database at ``url`` as it is, neither created nor migrated; None where an embedded one is absent.

    Raises:
        RecordsError: If the URL cannot be used.
    """
    parsed = _parsed(url)
    path = _embedded_file(parsed)
    if path and not path.exists():
        return None
    return _with_direct(_engine(parsed, path, busy_timeout_s, create=False), _nothing)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Give the database as ``open_database`` does, and close its connections afterwards."""
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


def answers(engine: Engine) -> bool:
    """Return whether the database can be read now."""
    try:
        with engine.connect() as connection:
            connection.execute(select(1))
    except (SQLAlchemyError, RecordsError):
        return False
    return True


def writing(engine: Engine) -> Engine:
    """Return ``engine`` for transactions that write: SQLite then takes its lock at once and never half way."""
    return engine.execution_options(**{_WRITES: True})


def direct(engine: Engine) -> Direct:
    """Return the connections of ``engine`` for what every decision runs: the same ones for all who ask."""
    found: Direct = engine.get_execution_options()[_DIRECT]
    return found


def absolute_url(url: str) -> str:
    """Return ``url`` so that it names the same database from every working directory."""
    parsed = _parsed(url)
    path = _embedded_file(parsed)
    absolute = parsed.set(database=str(path)) if path else parsed
    return absolute.render_as_string(hide_password=False)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError) as exc:
        raise RecordsError(
            "CREDIT_DATABASE_URL is not a database URL that this installation can use. Write it like "
            "'sqlite:////var/lib/credit/credit_scoring.db'."
        ) from exc
    return parsed


def _embedded_file(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite":
        return None
    if url.database in (None, "", ":memory:"):
        raise RecordsError(
            "CREDIT_DATABASE_URL names a database in memory, which would lose every record. Name a file, such as "
            "'sqlite:///data/credit_scoring.db'."
        )
    return Path(str(url.database)).absolute()


def _engine(url: URL, path: Path | None, busy_timeout_s: float, *, create: bool = True) -> Engine:
    if path is None:
        ours = {"connect_args": _GIVE_UP} if url.get_driver_name() == "psycopg" else {}
        return create_engine(url, pool_pre_ping=True, pool_timeout=busy_timeout_s, **ours)
    # The absolute path: a process that changes its working directory keeps its database. Once in use, a file
    # that was deleted is not made again: an empty one would pass for the records.
    mode = "rwc" if create else "rw"
    file = url.set(database=f"file:{quote(str(path))}", query={**url.query, "mode": mode, "uri": "true"})
    engine = create_engine(file, pool_size=5, max_overflow=_LARGEST_POOL - 5, pool_timeout=busy_timeout_s)
    event.listen(engine, "connect", _durable(busy_timeout_s))
    event.listen(engine, "begin", _begin)
    return engine


def _switch_to_wal(path: Path) -> None:
    """Let readers and one writer work side by side; the switch itself stays in the file.

    It needs the file for itself and does not wait for a lock, so it is tried until other processes are through.
    """
    deadline = time.monotonic() + _START_UP_TIMEOUT_S
    while True:
        connection = sqlite3.connect(path, timeout=_START_UP_TIMEOUT_S)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()


def _durable(busy_timeout_s: float) -> Callable[[Any, Any], None]:
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where SQLAlchemy says so, below
        connection.execute(f"PRAGMA busy_timeout={round(busy_timeout_s * 1000)}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        connection.execute("PRAGMA foreign_keys=ON")

    return configure


def _begin(connection: Connection) -> None:
    # A reader that turns writer half way is refused without waiting; a writer says so from the start.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _with_direct(engine: Engine, check: Callable[[], None]) -> Engine:
    used_directly = Direct(engine, check)
    engine.update_execution_options(**{_DIRECT: used_directly})
    event.listen(engine, "engine_disposed", lambda _engine: used_directly.close())
    return engine


def _nothing() -> None:
    """Stand where nothing has to be checked: a server tells by itself that it is gone."""


def _still_there(path: Path) -> Callable[[], None]:
    """Return what refuses the database once its file was deleted or replaced: SQLite would go on into the void."""
    file, opened = str(path), path.stat()

    def check() -> None:
        try:
            present = os.stat(file)  # a Path takes twice as long, three times in every turn
        except OSError as exc:
            raise RecordsError(f"The database file '{file}' is gone. Restore it, then restart the service.") from exc
        if (present.st_dev, present.st_ino) != (opened.st_dev, opened.st_ino):
            raise RecordsError(f"The database file '{file}' was replaced while in use. Restart the service.")

    return check


def _upgrade(engine: Engine) -> None:
    if _revision(engine) != NEWEST_REVISION:
        from credit_scoring.adapters.database.upgrade import upgrade  # noqa: PLC0415 - Alembic, for new databases alone

        upgrade(engine)
    engine.dispose()


def _revision(engine: Engine) -> str | None:
    """Return the revision of the schema, None for a database without one; who may not write is refused here."""
    with writing(engine).begin() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def _plain(exc: Exception) -> str:
    return str(getattr(exc, "orig", None) or exc).splitlines()[0]
