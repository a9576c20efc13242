"""The client as a lender has it: the built wheel with its dependencies, as locked, and nothing else."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
BINARIES = Path(sys.executable).parent
DOCUMENT = PROJECT / "docs" / "client.md"
LONGEST_IMPORT_S = 3.0
"""On a machine with much else to do; on an idle one it takes a tenth of that."""

USE = """
import asyncio, json, sys, time
began = time.perf_counter()
import credit_scoring.client
took_s = time.perf_counter() - began
from credit_scoring.client import AsyncCreditScoringClient, CreditScoringClient, UnknownApplicantError
ours = sorted(name for name in sys.modules if name.startswith("credit_scoring"))

import httpx
told = {"title": "Not Found", "status": 404, "code": "unknown_applicant", "detail": "d", "request_id": "r"}
transport = httpx.MockTransport(lambda request: httpx.Response(404, json=told))
seen = []
with CreditScoringClient("http://service", key="k", transport=transport) as client:
    try:
        client.decide("a", "b")
    except UnknownApplicantError as exc:
        seen.append(exc.code)

async def ask():
    async with AsyncCreditScoringClient("http://service", key="k", transport=transport) as client:
        try:
            await client.decide("a", "b")
        except UnknownApplicantError as exc:
            seen.append(exc.code)

asyncio.run(ask())
print(json.dumps({"took_s": took_s, "ours": ours, "seen": seen}))
"""

WALK = """
import importlib, pkgutil, credit_scoring.api, credit_scoring.client
for package in (credit_scoring.api, credit_scoring.client):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""

MISUSE = """
from credit_scoring.client import CreditScoringClient

with CreditScoringClient() as client:
    client.decide("a")
    points: str = client.decide("a", "b").points
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, timeout=300, check=False)


def done(*command: str | Path, cwd: Path) -> str:
    told = run(*command, cwd=cwd)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> set[str]:
    """What a bare install brings: base dependencies, and theirs."""
    found: set[str] = set()
    waiting = ["credit-scoring"]
    while waiting:
        for line in requires(waiting.pop()) or ():
            requirement = Requirement(line)
            name = normal(requirement.name)
            if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                found.add(name)
                waiting.append(name)
    return found


def locked(names: set[str]) -> str:
    """What the lock says of these packages, with their hashes."""
    entries = re.split(r"(?m)^(?=[a-z0-9])", (PROJECT / "requirements.lock").read_text())
    return "".join(entry for entry in entries if re.split(r"[=\[ ;]", entry)[0] in names)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel; what ``make setup`` fetched is not fetched again."""
    home = tmp_path_factory.mktemp("bare")
    uv, python = BINARIES / "uv", home / "venv" / "bin" / "python"
    (home / "bare.lock").write_text(locked(needed()))
    done(
        uv,
        "build",
        "--quiet",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "-o",
        home,
        PROJECT,
        cwd=home,
    )
    done(uv, "venv", "--quiet", "--python", sys.executable, "venv", cwd=home)
    done(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, "bare.lock", cwd=home)
    [wheel] = home.glob("*.whl")
    done(uv, "pip", "install", "--quiet", "--no-deps", "--no-index", "--python", python, wheel, cwd=home)
    return python


def test_a_bare_install_brings_httpx_and_pydantic_and_what_they_need_and_no_more(bare, tmp_path):
    told = json.loads(done(BINARIES / "uv", "pip", "list", "--format", "json", "--python", bare, cwd=tmp_path))
    assert {normal(package["name"]) for package in told} == {"credit-scoring"} | needed()
    assert {"httpx", "pydantic"} <= needed()
    assert len(needed()) < 20
    done(BINARIES / "uv", "pip", "check", "--quiet", "--python", bare, cwd=tmp_path)


def test_the_client_is_imported_and_used_there(bare, tmp_path):
    used = json.loads(done(bare, "-I", "-W", "error", "-c", USE, cwd=tmp_path))
    assert used["seen"] == ["unknown_applicant"] * 2
    assert {name.split(".")[1] for name in used["ours"] if "." in name} == {"api", "client"}
    assert used["took_s"] < LONGEST_IMPORT_S


def test_every_module_of_the_client_and_of_the_api_imports_there(bare, tmp_path):
    done(bare, "-I", "-W", "error", "-c", WALK, cwd=tmp_path)


@pytest.mark.parametrize("absent", ["fastapi", "numpy", "polars", "pydantic_settings", "sqlalchemy", "yaml"])
def test_nothing_else_is_there(bare, tmp_path, absent):
    assert "ModuleNotFoundError" in run(bare, "-I", "-c", f"import {absent}", cwd=tmp_path).stderr


def test_types_are_those_of_the_client_for_code_that_uses_it(bare, tmp_path):
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (tmp_path / "examples.py").write_text("\n".join(examples))
    (tmp_path / "misuse.py").write_text(MISUSE)
    command = [BINARIES / "mypy", "--strict", "--python-executable", bare, "--cache-dir", tmp_path / "cache"]
    assert "no issues found" in done(*command, "examples.py", cwd=tmp_path)
    refused = run(*command, "misuse.py", cwd=tmp_path).stdout
    assert 'Missing positional argument "applicant_id"' in refused
    assert 'expression has type "int", variable has type "str"' in refused
