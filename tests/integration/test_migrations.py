import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from databases import migrate
from sqlalchemy import Engine, create_engine, inspect, text
from tenants import facts_of, owned

from credit_scoring.adapters.database import engine as database
from credit_scoring.adapters.database.engine import open_database, writing
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.schema import metadata
from credit_scoring.core.facts import Event

APRIL = datetime(2005, 4, 30, 12, tzinfo=UTC)


@pytest.fixture
def first_version(database_url: str) -> Iterator[str]:
    """A database as the first release left it, with facts."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        migrate(connection, "0001")
        fact = '{"limit": 5}'
        connection.execute(text("INSERT INTO applicants VALUES ('p', '1', :fact)"), {"fact": fact})
        moment = "2005-04-30 12:00:00" + (".000000" if engine.dialect.name == "sqlite" else "+00")
        for number in range(2):
            values = {"at": moment, "number": number, "fact": f'{{"bill": {number}}}'}
            insert = "INSERT INTO events VALUES ('p', '1', 'statements', :at, :number, :fact)"
            connection.execute(text(insert), values)
    engine.dispose()
    return database_url


@pytest.fixture
def upgraded(first_version: str) -> Iterator[Engine]:
    engine = open_database(first_version)
    yield engine
    engine.dispose()


def test_an_upgrade_keeps_the_facts_and_lets_events_without_applicants_in(upgraded):
    facts = facts_of(FactsRepository(upgraded), owned("p"), "1")
    assert facts.events["statements"] == [Event(APRIL, 0, {"bill": 0}), Event(APRIL, 1, {"bill": 1})]
    with writing(upgraded).begin() as connection:
        connection.execute(text("DELETE FROM applicants"))


def test_an_upgraded_database_is_the_one_that_the_code_declares(upgraded):
    with upgraded.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert inspect(upgraded).get_foreign_keys("events") == []


def test_processes_that_open_a_new_database_at_once_all_find_it_ready(database_url):
    with ThreadPoolExecutor(6) as pool:
        engines = list(pool.map(open_database, [database_url] * 6))
    for engine in engines:
        assert facts_of(FactsRepository(engine), owned("p"), "1") is None
        engine.dispose()


def test_the_newest_revision_is_the_last_migration_and_needs_no_alembic(database_url):
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == database.NEWEST_REVISION
    open_database(database_url).dispose()
    told = f"""
import sys
from credit_scoring.adapters.database.engine import open_database
open_database({database_url!r})
print([name for name in sys.modules if name.partition(".")[0] in ("alembic", "mako")])
"""
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
