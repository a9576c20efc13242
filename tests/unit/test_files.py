import subprocess
import sys
from pathlib import Path

import pytest

from credit_scoring.adapters import files
from credit_scoring.adapters.files import replaced_directory, replaced_file, write_directory

WRITES_AND_WAITS = """
import sys, time
from pathlib import Path
from credit_scoring.adapters.files import replaced_directory
with replaced_directory(Path(sys.argv[1])) as staged:
    (staged / "rows").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ABANDONED_AFTER_S", 0)


def writer(target: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", WRITES_AND_WAITS, target], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path):
    target = tmp_path / "checked"
    killed, living = writer(target), writer(target)
    killed.kill()
    killed.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    write_directory(target, {"rows": b"whole"})
    assert (target / "rows").read_bytes() == b"whole"
    left = [path for path in tmp_path.iterdir() if path != target]
    assert [(path / "rows").read_text() for path in left] == ["half"]  # the living one's
    living.kill()
    living.communicate()
    write_directory(target, {"rows": b"again"})
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_whole_or_as_it_was(tmp_path: Path):
    target = tmp_path / "table"
    target.write_text("old")
    (tmp_path / ".table-left").write_text("half")
    with pytest.raises(ZeroDivisionError), replaced_file(target) as staged:
        staged.write_text(str(1 / 0))
    assert target.read_text() == "old"
    with replaced_file(target) as staged:
        staged.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_young_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "_ABANDONED_AFTER_S", 60)
    (tmp_path / ".checked-new").mkdir()
    with replaced_directory(tmp_path / "checked") as staged:
        (staged / "rows").write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {".checked-new", "checked"}
