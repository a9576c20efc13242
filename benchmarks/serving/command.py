"""The command line: measure and keep, write the tables anew, draw the flame graph."""

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from kept import PROJECT, keep, machine

if TYPE_CHECKING:
    from serving.sections import Bench

HOME = PROJECT / "build/bench"
LAST = HOME / "last.json"
LEAST_ROUNDS = 5
"""Fewer give no spread worth keeping."""

ABOUT = """Measures the service beside naive services, model servers and its floor, over loopback, with wrk.

Needs what 'make run' leaves. Everything (5 rounds of 3 s, in turns) takes about 25 minutes; '--rounds 2 --seconds 1' a
few, without being kept. Any answer that is no 2xx, any record that is missing, fails the benchmark.
"""


def main() -> None:
    """Do what the command line says."""
    given = _parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupt)  # as Ctrl-C does, so that every server is ended
    if given.what == "tables":
        from serving.tables import write_tables  # noqa: PLC0415 - needs nothing else

        write_tables()
    elif given.what == "matrix":
        from serving.batches import matrix_rows_per_second  # noqa: PLC0415 - a process of its own

        print(f"rows/s {matrix_rows_per_second(given.rows)}")
    else:
        _measure(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "what",
        nargs="?",
        default="run",
        choices=("run", "tables", "profile", "matrix"),
        help="'run' measures and keeps; 'tables' writes the README's and the guide's from what is kept; 'profile' "
        "draws docs/flamegraph.svg; 'matrix' is a part of 'run' [run]",
    )
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="rivals, workers, modes, batches [all]")
    parser.add_argument("--rounds", type=int, default=5, help="kept rounds, after one that warms up [5]")
    parser.add_argument(
        "--seconds", type=int, default=3, help="of each load, whole ones [3]; of 'profile', five times that"
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64], help="of sections rivals and workers")
    parser.add_argument(
        "--bento", metavar="TAG", help="a Bento that is built; by default one of the sources as they are"
    )
    parser.add_argument("--keep", metavar="NAME", help="name of the result; 'serving' when everything was measured")
    parser.add_argument("--trees", action="store_true", help="'profile' where the trees decide everybody")
    parser.add_argument("--rows", type=int, default=10_000, help=argparse.SUPPRESS)
    return parser


def _measure(given: argparse.Namespace) -> None:
    from serving.cores import one_each  # noqa: PLC0415 - seconds that --help need not take
    from serving.ours import built_bento  # noqa: PLC0415
    from serving.peers_environment import peers_bin  # noqa: PLC0415
    from serving.rounds import Options  # noqa: PLC0415
    from serving.sections import ALL, Bench  # noqa: PLC0415
    from serving.workload import read_workload  # noqa: PLC0415
    from serving.wrk import found_wrk  # noqa: PLC0415

    only = tuple(given.only or ALL)
    if unknown := set(only) - set(ALL):
        sys.exit(f"There is no section {', '.join(sorted(unknown))}; there are {', '.join(ALL)}.")
    wrk = found_wrk(HOME / "wrk")
    if "rivals" in only or given.what == "profile":
        peers_bin()
    about = machine() | {"cpu": _cpu()}  # before it is measured: the Bento is of these sources
    if given.bento:
        about["commit"] = f"of Bento {given.bento}"  # whatever it was built from
    tag = given.bento or built_bento()
    options = Options(given.rounds, given.seconds, tuple(given.connections))
    HOME.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=HOME))  # on a disk that keeps what it says it has written
    try:
        bench = Bench(directory, read_workload(), tag, wrk, one_each(), options)
        if given.what == "profile":
            _profile(bench, given)
        else:
            _run(bench, about, only, given)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(bench: "Bench", about: Mapping[str, Any], only: Sequence[str], given: argparse.Namespace) -> None:
    from serving.sections import ALL  # noqa: PLC0415
    from serving.tables import as_text, write_tables  # noqa: PLC0415

    result = {**about, **bench.told}
    for section in only:
        result[section] = bench.measured(section)
        LAST.write_text(json.dumps(result, indent=1), encoding="utf-8")  # what fails later takes this not away
    everything = set(only) == set(ALL) and given.rounds >= LEAST_ROUNDS and not given.bento
    name = given.keep or ("serving" if everything else None)
    print(as_text(result))
    if name:
        keep(name, result)
    if name == "serving":
        write_tables()


def _profile(bench: "Bench", given: argparse.Namespace) -> None:
    from serving.flame import draw  # noqa: PLC0415

    variant = bench.trees_decide(bench.directory) if given.trees else bench.shipped(bench.directory)
    graph = draw(variant, bench.wrk, bench.cores, bench.directory, 5 * given.seconds)
    print(f"Written to {graph.relative_to(PROJECT)}")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what the signal module calls
    raise KeyboardInterrupt
