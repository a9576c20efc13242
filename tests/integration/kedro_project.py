"""A project directory of its own for ``kedro run``: cut data, small models, own registry, records and Bentos.

Importing what Kedro needs takes about ten seconds, so it is done once, in a process from which every run is
forked; nothing of the project itself is imported there. ``run_alone`` starts a new interpreter, as a user does.
"""

import atexit
import gzip
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PORTFOLIO = "taiwan_cards"
MODEL = "credit_scoring_taiwan_cards"
APPLICANTS = f"data/1_raw/{PORTFOLIO}/applicants.csv.gz"
FEATURES = f"data/3_features/{PORTFOLIO}/applicants.parquet"
MODELS = f"data/4_models/{PORTFOLIO}"
ROWS = 3_000
TIMEOUT_S = 240

_SOURCES = (".telemetry", "bentofile.yaml", "conf", "pyproject.toml", "requirements-service.lock", "service.py", "src")
_PARAMETERS = f"conf/{PORTFOLIO}/parameters.yml"
_SMALL = """
scorecard: {calibration: {folds: 2}}
boosted_trees: {fit: {rounds: 30, max_depth: 3, learning_rate: 0.2}, calibration: {folds: 2}}
evaluation: {explained_applicants: 100}
monitoring: {chance_draws: 1000, evidently_columns: 3, evidently_rows: 200}
"""
_PRELOADED = ["mlflow.store.tracking.sqlalchemy_store", "alembic.command", "optuna", "shap", "xgboost", "optbinning"]

Before = Callable[[], None]


@dataclass(frozen=True)
class Finished:
    """How a run ended; ``code`` is minus the signal when one ended it."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Running:
    """A run under way; its output grows in files."""

    process: ForkServerProcess
    output: Path

    def wait(self) -> Finished:
        self.process.join(TIMEOUT_S)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"kedro runs for more than {TIMEOUT_S} s: {self.stderr}")
        return Finished(self.process.exitcode, (self.output / "stdout").read_text(), self.stderr)

    def kill_once(self, told: str) -> Finished:
        """Kill the run as soon as it has told this."""
        deadline = time.monotonic() + TIMEOUT_S
        while told not in self.stderr and self.process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.process.kill()
        return self.wait()

    @property
    def stderr(self) -> str:
        path = self.output / "stderr"
        return path.read_text() if path.exists() else ""


@dataclass(frozen=True)
class Project:
    """A directory with everything that ``kedro run`` reads, and all that it writes."""

    root: Path

    @property
    def bentos(self) -> Path:
        return self.root.with_name(f"{self.root.name}-bentos")

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "BENTOML_HOME": str(self.bentos),
            "BENTOML_DO_NOT_TRACK": "true",
            "CREDIT_DATABASE_URL": f"sqlite:///{self.root}/records.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MPLCONFIGDIR": str(self.root / "matplotlib"),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        return inherited | own

    def start(self, *arguments: str, before: Before | None = None, **environment: str) -> Running:
        """Start ``kedro run`` with these arguments; ``before`` is called in its process first."""
        output = self.root / "output" / str(time.monotonic_ns())
        output.mkdir(parents=True)
        given = (self.root, ["kedro", "run", *arguments], self.environment | environment, output, before)
        process = _context().Process(target=_kedro, args=given)
        process.start()
        return Running(process, output)

    def run(self, *arguments: str, before: Before | None = None, **environment: str) -> Finished:
        return self.start(*arguments, before=before, **environment).wait()

    def run_alone(self, *arguments: str, **environment: str) -> Finished:
        """Run it in an interpreter of its own."""
        told = subprocess.run(
            [sys.executable, "-m", "kedro", "run", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Finished(told.returncode, told.stdout, told.stderr)

    def json(self, path: str) -> Any:
        return json.loads((self.root / path).read_text(encoding="utf-8"))

    def records(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the records database; none while there is no such table."""
        return _rows(self.root / "records.db", query)

    def registry(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of MLflow's database."""
        return _rows(self.root / "mlflow.db", query)

    def registered(self) -> list[dict[str, str]]:
        """The tags of every version by number, with 'version', 'description' and 'run_id'."""
        versions = self.registry(
            "select version, description, run_id from model_versions "
            "where current_stage != 'Deleted_Internal' order by version"
        )
        tags = self.registry("select version, key, value from model_version_tags")
        return [
            {"version": str(version), "description": description, "run_id": run_id}
            | {key: value for of, key, value in tags if of == version}
            for version, description, run_id in versions
        ]

    def aliases(self) -> dict[str, int]:
        return dict(self.registry("select alias, version from registered_model_aliases"))

    def roles(self) -> dict[str, int]:
        """The versions that hold roles, by role."""
        rows = self.records(f"select roles from roles where portfolio = '{PORTFOLIO}' order by sequence")  # noqa: S608
        held = json.loads(rows[-1][0]) if rows else {}
        return {role: held[role]["version"] for role in ("champion", "challenger") if role in held}

    def last_run(self) -> dict[str, Any]:
        """MLflow's newest run: its status, params, metrics and artifacts."""
        run_id, status, uri = self.registry(
            "select run_uuid, status, artifact_uri from runs order by start_time desc limit 1"
        )[0]
        artifacts = Path(uri.removeprefix("file://"))
        return {
            "status": status,
            "params": dict(self.registry(f"select key, value from params where run_uuid = '{run_id}'")),  # noqa: S608
            "metrics": dict(self.registry(f"select key, value from metrics where run_uuid = '{run_id}'")),  # noqa: S608
            "artifacts": sorted(str(path.relative_to(artifacts)) for path in artifacts.rglob("*") if path.is_file()),
        }

    def state(self) -> tuple[Any, ...]:
        """Everything that a run which fails must leave alone."""
        return self.registered(), self.aliases(), self.records("select * from roles")

    def copy(self, target: Path) -> "Project":
        """A project with the same sources and data but an empty registry and no roles."""
        left = shutil.ignore_patterns("mlflow.db*", "mlruns", "records.db*", "output", "build", "matplotlib")
        shutil.copytree(self.root, target, ignore=left, symlinks=True)
        (target / "build").mkdir()
        return Project(target)


def new_project(root: Path) -> Project:
    """A project of the first ``ROWS`` applicants, with parameters that fit in seconds."""
    root.mkdir(parents=True)
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root)
    (root / _PARAMETERS).write_text(_SMALL)
    declaration = root / f"conf/{PORTFOLIO}/portfolio.yml"
    declaration.write_text(declaration.read_text().replace("reference_size: 1000", "reference_size: 100"))
    write_rows(root / APPLICANTS, received_rows())
    for command in (["init", "--quiet"], ["add", "conf", "src"], ["commit", "--quiet", "--message=A project"]):
        author = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
        subprocess.run(["git", *author, *command], cwd=root, check=True)
    return Project(root)


def received_rows() -> list[str]:
    """Header and rows of the shipped file, cut to ``ROWS``."""
    with gzip.open(ROOT / APPLICANTS, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in islice(file, ROWS + 1)]


def write_rows(path: Path, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        file.writelines(f"{row}\n" for row in rows)


def die_after_the_first_version() -> None:
    """Have this process killed right after it has created a model version."""
    from mlflow import MlflowClient  # noqa: PLC0415 - in the process of the run

    create = MlflowClient.create_model_version

    def create_and_die(*given: Any, **named: Any) -> None:
        create(*given, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    MlflowClient.create_model_version = create_and_die


def allow_small_files_only() -> None:
    """Have every write beyond 60 kB of a file fail, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _kedro(root: Path, arguments: list[str], environment: dict[str, str], output: Path, before: Before | None) -> None:
    """Become ``kedro`` in ``root``."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = arguments
    if before:
        before()
    from kedro.framework.cli.cli import main  # noqa: PLC0415 - it reads the working directory

    try:
        main()
    finally:
        atexit._run_exitfuncs()  # multiprocessing ends its processes without


def _rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    if not database.exists():
        return []
    connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError as exc:
        if "no such table" not in str(exc):
            raise
        return []
    finally:
        connection.close()
