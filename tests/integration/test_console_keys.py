import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from credit_scoring.adapters.database.development_key import development_key_file, ensure_development_key
from credit_scoring.adapters.database.engine import open_database, opened, writing
from credit_scoring.adapters.database.keys import KeyRepository
from credit_scoring.console import app
from credit_scoring.core.api_keys import ApiKey, presented_key
from credit_scoring.core.callers import SCOPES, Accepted
from credit_scoring.core.errors import RecordsError
from credit_scoring.usecases.admission import KeyCheck


def now() -> datetime:
    return datetime.now(UTC)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def checked(url: str, text: str) -> Accepted | None:
    with opened(url) as engine:
        return KeyCheck(KeyRepository(engine), now, development=True)(text)


@pytest.fixture
def database(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the environment names, seen from a directory without an ``.env``."""
    monkeypatch.setenv("CREDIT_DATABASE_URL", database_url)
    monkeypatch.delenv("CREDIT_TENANT", raising=False)
    monkeypatch.chdir(tmp_path)
    return database_url


def test_a_key_is_shown_once_alone_and_opens_what_was_asked_for(database):
    made = run("create", "--name", "Origination", "--scopes", "decide, read", "--person", "ana", "--expires-in", "90d")
    assert made.exit_code == 0
    text = made.stdout.removesuffix("\n")
    accepted = checked(database, text)
    assert accepted.caller.scopes == {"decide", "read"}
    assert (accepted.caller.tenant, accepted.caller.person) == ("default", "ana")
    assert abs(accepted.expires_at - now() - timedelta(days=90)) < timedelta(minutes=1)
    assert "not shown again" in made.stderr
    assert presented_key(text).secret not in made.stderr + run("list").output
    assert checked(database, text[:-1] + ("0" if text[-1] != "0" else "1")) is None


def test_a_key_is_of_the_tenant_that_the_option_or_the_environment_names(database, monkeypatch):
    monkeypatch.setenv("CREDIT_TENANT", "north")
    assert checked(database, made("a")).caller.tenant == "north"
    assert checked(database, made("b", "--tenant", "south")).caller.tenant == "south"


def test_keys_are_listed_with_their_state(database):
    first = presented_key(made("first", "--person", "ana maria", "--tenant", "north")).key_id
    second = presented_key(made("second", "--expires-in", "12h")).key_id
    run("revoke", second)
    heading, *rows = run("list").stdout.splitlines()
    assert heading.split() == ["id", "name", "tenant", "person", "scopes", "created", "expires", "state"]
    assert [row.split()[0] for row in rows] == [first, second]
    assert [row.split()[-1] for row in rows] == ["active", "revoked"]
    assert "north" in rows[0]
    assert "ana maria" in rows[0]
    assert "never" in rows[0]


def test_a_revoked_key_is_refused_and_stays_so(database):
    text = made("first")
    told = run("revoke", presented_key(text).key_id)
    assert (told.exit_code, "within 5 seconds" in told.stdout) == (0, True)
    assert checked(database, text) is None
    assert "was revoked on" in run("revoke", presented_key(text).key_id).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--name", "a", "--scopes", "raed"), ("'raed'", "'read'")),
        (("create", "--name", "a", "--scopes", ","), ("scope",)),
        (("create", "--name", "a", "--scopes", "approve"), ("--person",)),
        (("create", "--name", "a", "--scopes", "read", "--expires-in", "soon"), ("'soon'", "90d")),
        (("create", "--name", "a", "--scopes", "read", "--expires-in", "0d"), ("90d",)),
        (("create", "--name", "", "--scopes", "read"), ("name",)),
        (("revoke", "0123456789abcdef"), ("keys list",)),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(database, arguments, words):
    told = run(*arguments)
    assert told.exit_code == 1
    assert told.stderr.startswith("Error: ")
    assert told.stderr.count("\n") == 1
    assert all(word in told.stderr for word in words)


def test_a_key_that_is_given_instead_of_its_id_is_not_repeated(database):
    text = made("first")
    assert presented_key(text).secret not in run("revoke", text).output


def made(name: str, *more: str) -> str:
    told = run("create", "--name", name, "--scopes", "read", *more)
    assert told.exit_code == 0, told.output
    return told.stdout.strip()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[sa.Engine]:
    with opened(f"sqlite:///{tmp_path}/credit.db") as engine:
        yield engine


def ensured(engine: sa.Engine, tmp_path: Path, **given: str) -> str:
    file = development_key_file(f"sqlite:///{tmp_path}/credit.db")
    assert ensure_development_key(engine, file, now, os.urandom, **given) == tmp_path / "development.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.is_file()
    assert not file.is_symlink()
    return file.read_text().strip()


def active(engine: sa.Engine) -> list[ApiKey]:
    return [key for key in KeyRepository(engine).listed() if key.state(now()) == "active"]


def accepted(engine: sa.Engine, text: str) -> Accepted | None:
    return KeyCheck(KeyRepository(engine), now, development=True)(text)


def test_only_an_embedded_database_has_a_development_key(tmp_path, monkeypatch):
    assert development_key_file("postgresql+psycopg://user:secret@host/credit") is None
    monkeypatch.chdir(tmp_path)
    assert development_key_file("sqlite:///data/credit.db") == tmp_path / "data/development.key"


def test_the_first_start_makes_a_key_with_all_scopes_and_the_next_keeps_it(embedded, tmp_path):
    old = os.umask(0)
    try:
        text = ensured(embedded, tmp_path)
    finally:
        os.umask(old)
    found = accepted(embedded, text)
    assert found.caller.scopes == set(SCOPES)
    assert found.loopback_only
    assert ensured(embedded, tmp_path) == text
    assert len(KeyRepository(embedded).listed()) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if "development" in path.name) == ["development.key"]


def spoil(how: str, file: Path, engine: sa.Engine) -> None:
    text = file.read_text().strip()
    if how == "revoked":
        KeyRepository(engine).revoke(presented_key(text).key_id, now())
        return
    if how == "without its row":
        with writing(engine).begin() as connection:
            connection.execute(sa.text("DELETE FROM api_keys"))
        return
    file.unlink()
    if how == "emptied":
        file.touch()
    elif how == "cut off":
        file.write_text(text[:50])
    elif how == "another secret":
        file.write_text(text[:-4] + "zzzz")
    elif how == "rubbish":
        file.write_bytes(os.urandom(5000))
    elif how == "a link":
        file.with_name("elsewhere").write_text(text)
        file.symlink_to(file.with_name("elsewhere"))
    elif how == "a pipe":
        os.mkfifo(file)


@pytest.mark.parametrize(
    "how",
    ["lost", "emptied", "cut off", "another secret", "rubbish", "a link", "a pipe", "revoked", "without its row"],
)
def test_a_file_that_was_lost_or_spoilt_is_replaced_and_the_old_key_revoked(embedded, tmp_path, how):
    old = ensured(embedded, tmp_path)
    spoil(how, tmp_path / "development.key", embedded)
    new = ensured(embedded, tmp_path)
    assert new != old
    assert accepted(embedded, old) is None
    assert accepted(embedded, new) is not None
    assert len(active(embedded)) == 1


def test_a_file_that_others_could_read_is_closed_again(embedded, tmp_path):
    text = ensured(embedded, tmp_path)
    (tmp_path / "development.key").chmod(0o644)
    assert ensured(embedded, tmp_path) == text


def test_keys_that_people_made_are_left_alone(embedded, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DATABASE_URL", f"sqlite:///{tmp_path}/credit.db")
    text = made("mine")
    ensured(embedded, tmp_path)
    (tmp_path / "development.key").write_text(text)
    assert ensured(embedded, tmp_path) != text
    assert accepted(embedded, text) is not None


def test_the_development_key_is_of_the_tenant_that_is_named(embedded, tmp_path):
    ensured(embedded, tmp_path)
    assert accepted(embedded, ensured(embedded, tmp_path, tenant="north")).caller.tenant == "north"
    assert len(active(embedded)) == 1


def test_a_place_that_cannot_be_written_is_named_and_leaves_no_key(embedded, tmp_path):
    (tmp_path / "development.key").mkdir()
    with pytest.raises(RecordsError, match=r"development\.key"):
        ensured(embedded, tmp_path)
    assert active(embedded) == []


START = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from credit_scoring.adapters.database.development_key import development_key_file, ensure_development_key
from credit_scoring.adapters.database.engine import open_database
url, go = sys.argv[1:]
engine = open_database(url)
print("opened", flush=True)
while not Path(go).exists():
    time.sleep(0.001)
file = ensure_development_key(engine, development_key_file(url), lambda: datetime.now(UTC), os.urandom)
print(file.read_text().strip())
"""


def test_processes_that_start_at_once_agree_on_one_key(tmp_path):
    url, go = f"sqlite:///{tmp_path}/records/credit.db", tmp_path / "go"
    command = [sys.executable, "-c", START, url, str(go)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    assert [process.stdout.readline() for process in running] == ["opened\n"] * 5
    go.touch()
    told = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0] * 5
    engine = open_database(url)
    assert len(told) == len(KeyRepository(engine).listed()) == 1
    assert accepted(engine, told.pop().strip()) is not None
    engine.dispose()
