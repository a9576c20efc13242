from pathlib import Path

import pytest
import sqlalchemy as sa

from credit_scoring.adapters.database import schema
from credit_scoring.adapters.database.engine import CHECKPOINT_PAGES, open_database, writing
from credit_scoring.core.errors import RecordsError


def url(directory: Path) -> str:
    return f"sqlite:///{directory}/records/credit.db"


def test_the_migrations_leave_the_tables_that_are_declared(tmp_path):
    engine = open_database(url(tmp_path))
    found = sa.inspect(engine)
    for name, table in schema.metadata.tables.items():
        assert [column["name"] for column in found.get_columns(name)] == [column.name for column in table.columns]
        assert [bool(column["nullable"]) for column in found.get_columns(name)] == [
            bool(column.nullable) for column in table.columns
        ]


def test_records_survive_a_crash_of_the_machine(tmp_path):
    engine = open_database(url(tmp_path))
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_the_log_ahead_of_the_file_is_emptied_again_and_again(tmp_path):
    engine = open_database(url(tmp_path))
    log = tmp_path / "records" / "credit.db-wal"
    with writing(engine).begin() as connection:
        connection.execute(sa.text("CREATE TABLE filled (content BLOB)"))
    sizes = []
    for _ in range(60):
        with writing(engine).begin() as connection:
            connection.execute(sa.text("INSERT INTO filled VALUES (zeroblob(1000000))"))
        sizes.append(log.stat().st_size)
    assert (CHECKPOINT_PAGES - 500) * 4096 < max(sizes) < (CHECKPOINT_PAGES + 500) * 4096
    assert sizes[-1] == max(sizes)
    engine.dispose()


@pytest.mark.parametrize("unusable", ["nonsense", "nosuch://host/db", "sqlite://", "sqlite:///:memory:"])
def test_an_unusable_url_is_told_by_its_variable(unusable):
    with pytest.raises(RecordsError, match="CREDIT_DATABASE_URL"):
        open_database(unusable)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match=r"file/credit\.db' cannot be opened"):
        open_database(f"sqlite:///{tmp_path}/file/credit.db")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "credit.db").write_text("not a database " * 100)
    with pytest.raises(RecordsError, match="not a database"):
        open_database(f"sqlite:///{tmp_path}/credit.db")
