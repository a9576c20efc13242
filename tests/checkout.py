"""A copy of the project for tests that run commands as the documentation gives them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from server_process import await_ready, free_port

PROJECT = Path(__file__).parents[1]
SOURCES = (
    ".telemetry",
    "bentofile.yaml",
    "conf",
    "data/1_raw",
    "pyproject.toml",
    "requirements-service.lock",
    "service.py",
    "src",
)


class Checkout:
    """A copy of the project in which commands run as the README gives them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in SOURCES:
            source, target = PROJECT / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, target)
        commands = str(Path(sys.executable).parent)
        self.environment = os.environ | {
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(root / "bentos"),
            "PATH": f"{commands}:{os.environ['PATH']}",
        }

    def run(self, command: str) -> str:
        shell = ["bash", "-c", command]
        told = subprocess.run(shell, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        return told.stdout

    @property
    def authorization(self) -> dict[str, str]:
        """Headers with the development key, once it was served."""
        return {"Authorization": f"Bearer {(self.root / 'data/development.key').read_text().strip()}"}

    @contextmanager
    def served(self, portfolio: str) -> Iterator[int]:
        """The port on which what ``make serve`` starts is ready."""
        port, log = free_port(), self.root / "serve.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["credit-scoring", "serve", "--portfolio", portfolio, "--port", str(port)],
                cwd=self.root,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                await_ready(client, process, log)
            yield port
        finally:
            process.terminate()
            assert process.wait(30) == 0
