import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from credit_scoring.adapters.database import schema
from credit_scoring.adapters.database.engine import open_database, writing
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.roles import BundleRef, Experiment, Roles


def roles(mark: str = "a") -> Roles:
    champion, challenger = (
        BundleRef(model="m", version=version, algorithm="scorecard", digest=f"{mark}{version}") for version in (1, 2)
    )
    return Roles(
        champion=champion, challenger=challenger, experiment=Experiment(id="e", salt="s", challenger_share=0.1)
    )


def url(directory: Path) -> str:
    return f"sqlite:///{directory}/records/credit.db"


SEED_AT_A_MOMENT = """
import sys, time
from pathlib import Path
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.core.roles import Roles
url, roles, go = sys.argv[1:]
print("imported", flush=True)
while not Path(go).exists():
    time.sleep(0.001)
print(RoleRepository(open_database(url)).seed("p", Roles.model_validate_json(roles)).champion.digest)
"""


def test_nobody_holds_a_role_before_the_first_run(tmp_path):
    assert RoleRepository(open_database(url(tmp_path))).current("p") is None


def test_an_earlier_seed_wins(tmp_path):
    book = RoleRepository(open_database(url(tmp_path)))
    assert book.seed("p", roles("a")) == roles("a")
    assert book.seed("p", roles("b")) == roles("a")
    assert book.current("p") == roles("a")


def test_portfolios_have_roles_of_their_own(tmp_path):
    book = RoleRepository(open_database(url(tmp_path)))
    book.seed("p", roles("a"))
    book.seed("q", roles("b"))
    assert (book.current("p"), book.current("q")) == (roles("a"), roles("b"))


def test_processes_that_start_at_once_agree_on_schema_and_roles(tmp_path):
    go = tmp_path / "go"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SEED_AT_A_MOMENT, url(tmp_path), roles(mark).model_dump_json(), str(go)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for mark in ("a", "b", "c")
    ]
    assert [process.stdout.readline() for process in running] == ["imported\n"] * 3
    go.touch()
    held = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(held)) == 1


def test_the_migrations_leave_the_tables_that_are_declared(tmp_path):
    engine = open_database(url(tmp_path))
    found = sa.inspect(engine)
    for name, table in schema.metadata.tables.items():
        assert [column["name"] for column in found.get_columns(name)] == [column.name for column in table.columns]
        assert [bool(column["nullable"]) for column in found.get_columns(name)] == [
            bool(column.nullable) for column in table.columns
        ]


@pytest.mark.parametrize("statement", ["UPDATE roles SET cause = 'x'", "DELETE FROM roles"])
def test_a_row_cannot_be_changed_or_deleted(tmp_path, statement):
    engine = open_database(url(tmp_path))
    RoleRepository(engine).seed("p", roles())
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), writing(engine).begin() as connection:
        connection.exec_driver_sql(statement)


def test_records_survive_a_crash_of_the_machine(tmp_path):
    engine = open_database(url(tmp_path))
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


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
