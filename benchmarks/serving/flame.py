"""A flame graph of the worker under load, without a path of this machine in it."""

import re
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from kept import PROJECT

from serving.cores import Cores
from serving.figures import CONNECTIONS
from serving.peers_environment import peers_bin
from serving.processes import Server, ServerError, free_port, running
from serving.variants import Variant
from serving.wrk import Load, Wrk

GRAPH = PROJECT / "docs/flamegraph.svg"
WARM_UP_S = 5
RATE_HZ = 250
_TITLE = re.compile(r"py-spy[^<]*")
_PATH = re.compile(r"(?<![\w.])/(?:[\w.+@-]+/)+([\w.+@-]+)")


def draw(variant: Variant, wrk: Wrk, cores: Cores, directory: Path, seconds: int) -> Path:
    """Load the service at the targets' connections, watch its busiest process, and return the graph."""
    port = free_port()
    with running(variant.start(port, cores.server), port, directory / "profiled.log") as server:
        address = f"http://127.0.0.1:{port}{variant.path}"
        load = Load(address, variant.head, variant.bodies, "profile-", 0, cores.load)
        wrk.run(load, WARM_UP_S, CONNECTIONS)
        loading = threading.Thread(target=wrk.run, args=(_named(load, "profiled-"), seconds + 4, CONNECTIONS))
        loading.start()
        try:
            time.sleep(1)
            _recorded(_busiest(server), directory / "flame.svg", seconds)
        finally:
            loading.join()
    GRAPH.write_text(without_paths((directory / "flame.svg").read_text(encoding="utf-8")), encoding="utf-8")
    return GRAPH


def without_paths(graph: str) -> str:
    """Return the graph with a title of our own, and files by their names where they had a directory of the machine."""
    return _PATH.sub(r"\1", _TITLE.sub(f"one worker under {CONNECTIONS} connections", graph))


def _named(load: Load, name: str) -> Load:
    return Load(load.address, load.head, load.bodies, name, load.first_line, load.cpus)


def _busiest(server: Server) -> int:
    processes = server.tree()
    earlier = {process.pid: sum(process.cpu_times()[:2]) for process in processes}
    time.sleep(0.5)
    return int(max(processes, key=lambda process: _cpu_s(process) - earlier[process.pid]).pid)


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(sum(process.cpu_times()[:2]))
    return 0.0


def _recorded(pid: int, target: Path, seconds: int) -> None:
    told = subprocess.run(  # noqa: S603 - our own command
        [
            *(peers_bin() / "py-spy", "record", "--pid", str(pid), "--duration", str(seconds)),
            # Stopped for each sample, threads that wait would be seen at work whenever they were just let go.
            *("--rate", str(RATE_HZ), "--nonblocking"),
            *("--format", "flamegraph", "--function", "--output", target),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode or not target.exists():
        raise ServerError(f"py-spy failed; it needs the right to trace processes (root): {told.stderr[-1000:]}")
