"""Brings a database to the newest revision of the schema, by Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, func, select

from credit_scoring.adapters.database.engine import writing

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x63726564  # a number of this program's own among PostgreSQL's advisory locks


def upgrade(engine: Engine) -> None:
    """Run the revisions that the database lacks, in one transaction; safe when several processes do so at once."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    # One transaction that holds the write lock: who comes second waits, then finds nothing left to do.
    with writing(engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
