"""Rows per second of batch requests, beside the same bundles on a matrix in a process without a service."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tqdm import tqdm

from credit_scoring.core.scoring import explain, score
from serving.cores import Cores
from serving.ours import recorded
from serving.processes import ONE_THREAD, Server, ServerError, free_port, running
from serving.variants import DECIDE, Variant
from serving.workload import Workload, read_workload

SIZES = (1_000, 10_000)
ANSWERED_WITHIN_S = 120
LABELS = {
    "batch_warm": "batch request, features from the cache",
    "batch_cold": "batch request, features from stored facts",
    "batch_inline": "batch request, whole applications in it",
    "matrix": "both models and all reasons on a matrix, no service",
}


@dataclass
class Batches:
    """Batch requests on one connection, and the matrix, in turns."""

    directory: Path
    cores: Cores
    rounds: int

    def run(self, variants: Sequence[Variant]) -> list[dict[str, Any]]:
        """Return rows per second of each round for each variant and size.

        Raises:
            ServerError: If any application was not decided, or not recorded.
        """
        seen: dict[tuple[str, int], list[float]] = {}
        with ExitStack() as open_:
            servers = {}
            for one in variants:
                if one.server not in servers:
                    port = free_port()
                    command = one.start(port, self.cores.server)
                    servers[one.server] = open_.enter_context(
                        running(command, port, self.directory / f"{one.server}.log")
                    )
            turns = [
                (number, one, size) for number in range(self.rounds + 1) for size in SIZES for one in (*variants, None)
            ]
            for number, variant, size in tqdm(turns, desc="batches", unit="batch", disable=None):
                rows_s = self._matrix(size) if variant is None else _batch(variant, servers[variant.server], size)
                name = variant.name if variant else "matrix"
                tqdm.write(f"  {name} of {size:,}: {rows_s:,.0f} rows/s" + ("" if number else " (warm-up)"))
                if number:
                    seen.setdefault((name, size), []).append(round(rows_s, 1))
        return [
            {"variant": name, "label": LABELS[name], "rows": size, "rows_s": rows_s}
            for (name, size), rows_s in seen.items()
        ]

    def _matrix(self, rows: int) -> float:
        cores = self.cores.server
        told = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, str(Path(__file__).parent), "matrix", "--rows", str(rows)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | ONE_THREAD,
            preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, cores),
        )
        return float(told.stdout.rpartition("rows/s ")[2])


def matrix_rows_per_second(rows: int) -> float:
    """Return how many applicants a second both bundles score and explain in this process, all at once."""
    workload: Workload = read_workload()
    features = workload.features[:rows]
    for _ in range(2):  # the first time loads and compiles
        started = time.perf_counter()
        for bundle in workload.package.bundles.values():
            score(features, bundle)
            explain(features, bundle)
        spent = time.perf_counter() - started
    return rows / spent


def _batch(variant: Variant, server: Server, size: int) -> float:
    """Send one batch under new ids and return the decided rows per second, from the first byte sent to the last got."""
    body = _body(variant, size)
    head = variant.head.read_bytes().decode().split("\r\n")[1:]
    headers = dict(text.split(": ", 1) for text in head if text)
    assert variant.filled is not None  # noqa: S101 - for the type
    before = recorded(variant.filled.url)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWERED_WITHIN_S)
    try:
        started = time.perf_counter()
        connection.request("POST", f"{DECIDE}/batch", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        spent = time.perf_counter() - started
    finally:
        connection.close()
    added = recorded(variant.filled.url) - before
    decided = json.loads(content).get("decided") if answer.status == 200 else None
    if decided != size or added != size:
        raise ServerError(f"{variant.name}: {answer.status}, {decided} of {size} decided, {added} recorded.")
    return size / spent


def _body(variant: Variant, size: int) -> bytes:
    with variant.bodies.open(encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file]
    items = (lines[place % len(lines)].replace("@", uuid4().hex, 1) for place in range(size))
    return f'{{"applications": [{", ".join(items)}]}}'.encode()
