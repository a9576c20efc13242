"""The load tool, wrk: found or unpacked, and one run of it with what it saw."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.processes import ServerError

SCRIPT = Path(__file__).with_name("load.lua")
PACKAGES = ("wrk", "libluajit-5.1-2", "libluajit-5.1-common")
"""What Debian's wrk needs beside libraries that are there anyway."""

SLOWEST_S = 30
"""A request that takes longer is an error, and an error fails the benchmark."""


class LoadToolError(RuntimeError):
    """There is no wrk, and it cannot be had here."""


@dataclass(frozen=True)
class Wrk:
    """wrk as an executable and the libraries that were unpacked with it."""

    executable: Path
    libraries: Path | None = None

    def version(self) -> str:
        """Return what it says of itself."""
        told = subprocess.run(  # noqa: S603 - our own command
            [self.executable, "--version"], capture_output=True, text=True, check=False, env=self._environment()
        )
        return (told.stdout or told.stderr).partition(" Copyright")[0].strip()

    def run(self, load: "Load", seconds: int, connections: int) -> dict[str, float]:
        """Load a server closed-loop and return what was seen.

        Returns:
            ``answers``, ``seconds``, ``p50_ms``, ``p99_ms`` and ``max_ms``.

        Raises:
            ServerError: If any request was not answered with a 2xx.
        """
        arguments = [load.head, load.bodies, load.name, str(load.first_line)]
        told = subprocess.run(  # noqa: S603 - our own command
            [
                *(self.executable, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
                *("--timeout", f"{SLOWEST_S}s", "--script", SCRIPT, load.address, "--", *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment(),
            preexec_fn=None if load.cpus is None else lambda: os.sched_setaffinity(0, load.cpus or ()),
            timeout=seconds + 2 * SLOWEST_S,
        )
        _, marked, figures = told.stdout.partition("figures ")
        if told.returncode or not marked:
            raise LoadToolError(f"wrk failed with {told.returncode}: {told.stderr or told.stdout}")
        return _without_errors(json.loads(figures.partition("\n")[0]), load)

    def _environment(self) -> dict[str, str] | None:
        return None if self.libraries is None else os.environ | {"LD_LIBRARY_PATH": str(self.libraries)}


@dataclass(frozen=True)
class Load:
    """What is sent: a head without a length, and bodies, one a line; ``name`` makes their ids this run's own."""

    address: str
    head: Path
    bodies: Path
    name: str
    first_line: int = 0
    cpus: frozenset[int] | None = None


def found_wrk(unpacked: Path) -> Wrk:
    """Return wrk from PATH, or Debian's unpacked below ``unpacked``, for which nobody needs to be root.

    Raises:
        LoadToolError: If there is neither; the message says what to do.
    """
    if on_path := shutil.which("wrk"):
        return Wrk(Path(on_path))
    executable = unpacked / "usr/bin/wrk"
    if not executable.exists():
        _unpack(unpacked)
    [libraries, *_] = [path.parent for path in unpacked.glob("usr/lib/*/libluajit-5.1.so.2")]
    return Wrk(executable, libraries)


def _unpack(target: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise LoadToolError("'wrk', the load tool, is not installed: 'brew install wrk' or your system's package.")
    target.mkdir(parents=True, exist_ok=True)
    commands = [["apt-get", "download", "--quiet", *PACKAGES]]
    for command in commands:
        _run(command, target)
    for package in sorted(target.glob("*.deb")):
        _run(["dpkg-deb", "--extract", package.name, "."], target)


def _run(command: list[str], directory: Path) -> None:
    told = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603
    if told.returncode:
        raise LoadToolError(
            f"'{' '.join(command)}' failed: {told.stderr.strip()[-500:]} Install wrk by hand: 'apt-get install wrk'."
        )


def _without_errors(figures: Mapping[str, float], load: Load) -> dict[str, float]:
    errors = {name: figures[name] for name in ("not_2xx", "connect", "read", "write", "timeout") if figures[name]}
    if errors or not figures["answers"]:
        raise ServerError(f"{load.name} at {load.address}: {errors or 'no answers'}; a benchmark counts answers only.")
    return {name: figures[name] for name in ("answers", "seconds", "p50_ms", "p99_ms", "max_ms")}
