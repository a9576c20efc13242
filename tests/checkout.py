"""A copy of the project for tests that run commands as the documentation gives them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
