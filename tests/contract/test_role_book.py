import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from databases import KINDS, empty_database

from credit_scoring.adapters.database.engine import open_database, opened, writing
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.memory_roles import InMemoryRoleBook
from credit_scoring.core.errors import CreditScoringError, RecordsError, RegistryError, StaleRolesError
from credit_scoring.core.roles import BundleRef, Experiment, Roles
from credit_scoring.ports import RoleBook

NOON = datetime(2026, 1, 2, 12, 0, 0, 123_456, tzinfo=UTC)
ROUTINGS = {
    "champion_only": {"strategy": "champion_only"},
    "shadow": {"strategy": "shadow"},
    "sticky_split": {"strategy": "sticky_split", "challenger_share": 0.1},
    "scheduled_ramp": {"strategy": "scheduled_ramp", "steps": [{"from": "2026-02-01", "challenger_share": 0.3}]},
}


def roles(mark: str = "a", routing: str = "sticky_split") -> Roles:
    champion, challenger = (
        BundleRef(model="m", version=version, algorithm="scorecard", digest=f"{mark}{version}") for version in (1, 2)
    )
    experiment = Experiment.model_validate({"id": "e", "salt": "s", "routing": ROUTINGS[routing]})
    return Roles(champion=champion, challenger=challenger, experiment=experiment)


class Clock:
    """Tells noon, and an hour more each time."""

    def __init__(self) -> None:
        self.now = NOON - timedelta(hours=1)

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


@pytest.fixture(params=["memory", *KINDS])
def book(request: pytest.FixtureRequest) -> Iterator[RoleBook]:
    if request.param == "memory":
        yield InMemoryRoleBook(Clock())
        return
    with empty_database(request.param, request) as url, opened(url) as engine:
        yield RoleRepository(engine, Clock())


def test_nobody_holds_a_role_before_the_first_run(book):
    assert book.current("p") is None
    assert book.row("p", 1) is None
    assert book.at("p", NOON + timedelta(days=999)) is None


def test_an_earlier_seed_wins(book):
    first = book.seed("p", roles("a"))
    assert (first.sequence, first.recorded_at, first.cause, first.roles) == (1, NOON, "seed", roles("a"))
    assert book.seed("p", roles("b")) == first
    assert book.current("p") == first


def test_portfolios_have_roles_of_their_own(book):
    book.seed("p", roles("a"))
    book.seed("q", roles("b"))
    assert (book.current("p").roles, book.current("q").roles) == (roles("a"), roles("b"))
    assert {book.current(name).sequence for name in "pq"} == {1}


def test_every_row_of_the_history_stays_and_holds_from_its_moment_to_that_of_the_next(book):
    rows = [book.seed("p", roles("a")), *(book.append("p", n, roles(str(n)), f"cause {n}") for n in (1, 2))]
    assert [row.sequence for row in rows] == [1, 2, 3]
    assert [book.row("p", number) for number in (1, 2, 3)] == rows
    assert book.row("p", 4) is None
    instant = timedelta(microseconds=1)
    for row, before in zip(rows, [None, *rows], strict=False):
        assert book.at("p", row.recorded_at - instant) == before
        assert book.at("p", row.recorded_at) == row
    assert book.at("p", NOON + timedelta(days=1)) == rows[-1]


@pytest.mark.parametrize("routing", ROUTINGS)
def test_every_strategy_is_kept_as_it_was_given(book, routing):
    book.seed("p", roles("a", routing))
    assert book.current("p").roles.experiment == roles("a", routing).experiment


@pytest.mark.parametrize("after", [0, 2, 99])
def test_who_does_not_know_the_newest_row_adds_none(book, after):
    held = book.seed("p", roles("a"))
    with pytest.raises(StaleRolesError, match="Look at who holds them now"):
        book.append("p", after, roles("b"), "promotion")
    assert book.current("p") == held


def test_of_two_who_append_at_once_one_wins(book):
    book.seed("p", roles("a"))

    def append(mark: str) -> str | None:
        try:
            book.append("p", 1, roles(mark), "promotion")
        except StaleRolesError:
            return None
        return mark

    with ThreadPoolExecutor(8) as pool:
        [winner] = filter(None, pool.map(append, "bcdefghi"))
    assert book.current("p").roles == roles(winner)
    assert book.row("p", 3) is None


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
print(RoleRepository(open_database(url)).seed("p", Roles.model_validate_json(roles)).roles.champion.digest)
"""


def test_processes_that_start_at_once_agree_on_schema_and_roles(database_url, tmp_path):
    go = tmp_path / "go"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SEED_AT_A_MOMENT, database_url, roles(mark).model_dump_json(), str(go)],
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


@pytest.mark.parametrize("statement", ["UPDATE roles SET cause = 'x'", "DELETE FROM roles"])
def test_a_row_cannot_be_changed_or_deleted(database_url, statement):
    with opened(database_url) as engine:
        RoleRepository(engine).seed("p", roles())
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), writing(engine).begin() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture
def written(database_url: str) -> Iterator[Callable[[str], RoleRepository]]:
    """Puts a row into the history as it stands, as another version of this project would."""
    with opened(database_url) as engine:

        def write(content: str) -> RoleRepository:
            with writing(engine).begin() as connection:
                row = {"portfolio": "p", "sequence": 1, "recorded_at": NOON, "cause": "seed"}
                names = ", ".join([*row, "roles"])
                values = ", ".join(f":{name}" for name in row)
                cast = ":roles" if engine.dialect.name == "sqlite" else "CAST(:roles AS JSON)"
                moment = {} if engine.dialect.name == "postgresql" else {"recorded_at": "2026-01-02 12:00:00.123456"}
                statement = sa.text(f"INSERT INTO roles ({names}) VALUES ({values}, {cast})")  # noqa: S608
                connection.execute(statement, row | moment | {"roles": content})
            return RoleRepository(engine)

        yield write


HOLDERS = (
    '"champion": {"model": "m", "version": 1, "algorithm": "scorecard", "digest": "a1"}, '
    '"challenger": {"model": "m", "version": 2, "algorithm": "scorecard", "digest": "a2"}'
)


def test_a_row_from_when_there_was_one_strategy_is_read(written):
    book = written(f'{{{HOLDERS}, "experiment": {{"id": "e", "salt": "s", "challenger_share": 0.1}}}}')
    assert book.current("p").roles == roles("a")


def test_a_row_of_a_strategy_that_only_a_newer_version_knows_is_an_error_of_ours(written):
    book = written(f'{{{HOLDERS}, "experiment": {{"id": "e", "salt": "s", "routing": {{"strategy": "bandit"}}}}}}')
    for read in (lambda: book.current("p"), lambda: book.at("p", NOON), lambda: book.row("p", 1)):
        with pytest.raises(RegistryError, match="Row 1 of the roles of 'p' says what this version"):
            read()


def test_a_database_that_is_gone_is_an_error_of_ours(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/credit.db")
    (tmp_path / "credit.db").unlink()
    for use in ("current", "seed"):
        with pytest.raises(CreditScoringError) as found:
            getattr(RoleRepository(engine), use)("p", *([roles()] if use == "seed" else []))
        assert isinstance(found.value, RecordsError)
