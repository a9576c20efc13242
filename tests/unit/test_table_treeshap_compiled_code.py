"""Where table TreeSHAP's machine code comes from, in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tree_models import Recipe, as_bytes

from table_treeshap import TreeExplainer, compiled_code

RECIPE = Recipe(seed=31, trees=5, depth=4)

SCRIPT = """
import json, sys
import numpy as np
from table_treeshap import TreeExplainer, compiled_code
model, rows = open(sys.argv[1], "rb").read(), np.load(sys.argv[2])
found = TreeExplainer.of(model).contributions(rows)
kernels = compiled_code.kernels()
heavy = sorted({"numba", "xgboost", "credit_scoring"} & set(sys.modules))
print(json.dumps([kernels.compiled_now, kernels.level, heavy, found.tobytes().hex(), compiled_code.__file__]))
"""


@dataclass(frozen=True)
class Told:
    compiled_now: bool
    level: str
    heavy: list[str]
    found: str
    file: str


class Elsewhere:
    """A copy of the package in a place of its own, and processes that import it from there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root / "src" / "table_treeshap"
        shutil.copytree(compiled_code.SHIPPED.parent, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.shipped = self.package / "build"
        shutil.rmtree(self.shipped, ignore_errors=True)
        (root / "model").write_bytes(as_bytes(RECIPE.model()))
        np.save(root / "rows.npy", RECIPE.rows())

    def ship(self) -> None:
        compiled_code.compiled_files(self.shipped)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        own = os.environ | {
            "PYTHONPATH": str(self.root / "src"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TABLE_TREESHAP_CACHE": str(self.root / "cache"),
        }
        command = [sys.executable, "-P", "-c", SCRIPT, str(self.root / "model"), str(self.root / "rows.npy")]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=own | environment, cwd=self.root, **pipes)

    def told(self, process: subprocess.Popen[str] | None = None, **environment: str) -> Told:
        process = process or self.start(**environment)
        out, problems = process.communicate(timeout=120)
        assert process.returncode == 0, problems
        told = Told(*json.loads(out))
        assert Path(told.file).parent == self.package
        assert told.found == expected()
        return told


def expected() -> str:
    return TreeExplainer.of(as_bytes(RECIPE.model())).contributions(RECIPE.rows()).tobytes().hex()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path)


def test_what_was_shipped_is_loaded_without_compiling_or_importing_a_compiler(elsewhere: Elsewhere):
    elsewhere.ship()
    before = {path: path.stat().st_mtime_ns for path in elsewhere.shipped.iterdir()}
    for path in (*elsewhere.shipped.iterdir(), elsewhere.shipped, elsewhere.package):
        path.chmod(0o555 if path.is_dir() else 0o444)
    # A numba that cannot even be imported is not missed.
    (elsewhere.root / "src" / "numba.py").write_text("raise ImportError('no compiler here')")
    told = elsewhere.told(TABLE_TREESHAP_CACHE="/proc/nowhere")
    assert not told.compiled_now
    assert told.heavy == []
    assert {path: path.stat().st_mtime_ns for path in elsewhere.shipped.iterdir()} == before


def test_the_lowest_level_says_the_same_to_the_bit(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch):
    elsewhere.ship()
    lowest = compiled_code.levels()[-1]
    data = (elsewhere.shipped / compiled_code.file_name(lowest)).read_bytes()
    loaded = compiled_code._linked(compiled_code.unpacked(data, lowest), lowest, compiled_now=False)
    monkeypatch.setattr(compiled_code, "_LOADED", [loaded])
    at_lowest = TreeExplainer.of(as_bytes(RECIPE.model()))
    assert at_lowest._kernels.level == lowest
    monkeypatch.undo()
    rows = RECIPE.rows(300)
    for some in (rows, rows[:1]):
        told, usual = at_lowest.explained(some), TreeExplainer.of(as_bytes(RECIPE.model())).explained(some)
        assert [part.tobytes() for part in told] == [part.tobytes() for part in usual]


@pytest.mark.parametrize(
    ("features", "level"),
    [({}, -1), (dict.fromkeys(("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt"), True), -1)],
)
def test_an_older_processor_gets_the_lowest_level(
    features: dict[str, bool], level: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: features)
    assert compiled_code.best_level() == compiled_code.levels()[level]


def test_code_for_all_levels_of_the_family_is_shipped(elsewhere: Elsewhere):
    elsewhere.ship()
    assert {path.name for path in elsewhere.shipped.iterdir()} == set(
        map(compiled_code.file_name, compiled_code.levels())
    )


def test_what_is_damaged_is_compiled_anew_and_replaced_by_two_processes_at_once(elsewhere: Elsewhere):
    elsewhere.ship()
    for path in elsewhere.shipped.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    both = [elsewhere.start(), elsewhere.start()]
    told = [elsewhere.told(process) for process in both]
    assert any(one.compiled_now for one in told)
    again = elsewhere.told()
    assert not again.compiled_now
    assert again.heavy == []
    assert len(list(elsewhere.shipped.iterdir())) == len(compiled_code.levels())  # and nothing half written


def damaged(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "cut": data[:-100],
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "empty": b"",
        "other": data.replace(b'"source": "', b'"source": "0', 1),
        "rubbish": b"[1]\nrubbish",
    }


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "other", "rubbish"])
def test_damaged_code_is_as_if_it_were_absent(how: str, elsewhere: Elsewhere):
    elsewhere.ship()
    level = compiled_code.best_level()
    path = elsewhere.shipped / compiled_code.file_name(level)
    whole = path.read_bytes()
    with pytest.raises(ValueError, match=r"^its? "):
        compiled_code.unpacked(damaged(whole)[how], level)
    path.write_bytes(damaged(whole)[how])
    assert compiled_code._read(path, level) is None


def test_without_a_place_to_write_it_compiles_into_memory(elsewhere: Elsewhere):
    elsewhere.shipped.write_text("not a folder")
    told = elsewhere.told(TABLE_TREESHAP_CACHE="/proc/nowhere")
    assert told.compiled_now
    assert told.heavy == []


def test_without_numba_and_without_code_the_reason_is_told(elsewhere: Elsewhere):
    (elsewhere.root / "src" / "numba.py").write_text("raise ImportError('no compiler here')")
    process = elsewhere.start()
    _, problems = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "CompilationError: Table TreeSHAP's kernels could not be compiled: ImportError: no compiler" in problems
