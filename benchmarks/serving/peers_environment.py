"""The peers' own virtual environment, made once from pinned and hashed requirements; git ignores where it lies."""

import hashlib
import subprocess
import sys
from pathlib import Path

from kept import PROJECT

REQUIREMENTS = Path(__file__).with_name("peers-requirements.txt")
HOME = PROJECT / "build/bench/peers"


def peers_bin() -> Path:
    """Return the environment's ``bin``, made or made anew when the requirements are others than it was made from."""
    stamp, digest = HOME / ".made-from", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != digest:
        print("Making the environment of MLflow's server and MLServer (1 GB, once) ...", flush=True)
        uv = Path(sys.executable).with_name("uv")
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, HOME)
        _run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", HOME / "bin/python", REQUIREMENTS)
        stamp.write_text(digest, encoding="utf-8")
    return HOME / "bin"


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)  # noqa: S603 - our own commands
