"""Empty databases for tests: files of SQLite, and databases of the session's PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, make_url, text

from credit_scoring.adapters.database import engine as database

KINDS = ("sqlite", "postgres")


@contextmanager
def empty_database(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a database without any table."""
    if kind == "sqlite":
        directory: Path = request.getfixturevalue("tmp_path")
        yield f"sqlite:///{directory}/credit.db"
        return
    server = make_url(request.getfixturevalue("postgres_url"))
    name = f"test_{uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def migrate(connection: Connection, revision: str) -> None:
    """Leave an empty database as an earlier version of this project did."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database of each kind in turn, without any table."""
    with empty_database(request.param, request) as url:
        yield url
