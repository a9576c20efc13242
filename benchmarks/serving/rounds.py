"""All variants of a section, running side by side and loaded one after another, round after round."""

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from serving.checks import Checker, require_recorded
from serving.cores import ANYWHERE, Cores
from serving.processes import Server, free_port, running
from serving.variants import Variant
from serving.wrk import Load, Wrk

FIGURES = ("rps", "p50_ms", "p99_ms", "cpu_us", "memory_mb", "others")
"""``others`` is how many cores everything took that is neither the server nor the load tool: noise, when it is much."""

MOST_WARM_UPS = 20
"""Loads before the first round; a service that is too slow for more starts with a cache that knows some applicants."""

_AT_WORK = ("user", "nice", "system", "irq", "softirq", "steal")


@dataclass(frozen=True)
class Options:
    """How much is measured: the first round, as long as the others, warms up and is not kept."""

    rounds: int
    seconds: int
    connections: tuple[int, ...]


@dataclass
class Case:
    """A variant at so many connections, and what each round saw.

    ``answers`` are all so far, the warm-up's included; ``in_hand`` is how many more may have been asked for when loads
    ended.
    """

    variant: Variant
    connections: int
    server: Server
    answers: int = 0
    in_hand: int = 0
    seen: list[dict[str, float]] = field(default_factory=list)

    @property
    def kept(self) -> dict[str, Any]:
        """What goes into the result: each figure as a list, one value a round."""
        lists = {name: [round(one[name], 4) for one in self.seen] for name in FIGURES}
        return {"variant": self.variant.name, "connections": self.connections, "pinned": self.variant.pinned} | lists


@dataclass(frozen=True)
class Section:
    """Runs variants with one load tool."""

    directory: Path
    wrk: Wrk
    cores: Cores
    options: Options

    def run(self, name: str, variants: Sequence[Variant], checker: Checker) -> list[dict[str, Any]]:
        """Measure all variants at all connections and return what the rounds saw of each.

        Raises:
            ServerError: If a server fails, or an answer is not what it should be.
        """
        with ExitStack() as open_:
            servers: dict[str, Server] = {}
            for variant in tqdm(variants, desc=f"{name}: starting", leave=False, disable=None):
                if variant.server not in servers:
                    servers[variant.server] = open_.enter_context(self._started(variant))
            cases = [Case(v, count, servers[v.server]) for count in self.options.connections for v in variants]
            for case in [case for case in cases if case.connections == max(self.options.connections)]:
                self._warmed(case)
            for number, case in tqdm(list(self._turns(cases)), desc=name, unit="load", disable=None):
                seen = self._seen(case, number)
                if number:
                    case.seen.append(seen)
            records = _counted(cases)
            notes = {one.name: checker.sample(one, servers[one.server]) | records.get(one.name, {}) for one in variants}
        return [case.kept | {"checked": notes[case.variant.name]} for case in cases]

    def _started(self, variant: Variant) -> Any:
        port = free_port()
        command = variant.start(port, self._cores(variant).server)
        return running(command, port, self.directory / f"{variant.server}.log")

    def _turns(self, cases: Sequence[Case]) -> Iterator[tuple[int, Case]]:
        """Round 0 warms up. Every other round goes backwards, so that nobody always follows the same neighbour."""
        for number in range(self.options.rounds + 1):
            yield from ((number, case) for case in (cases if number % 2 == 0 else reversed(cases)))

    def _warmed(self, case: Case) -> None:
        """Have the caches of all workers know the applicants, who are few where answers shall come from a cache."""
        wanted = case.variant.lines * case.variant.passes if case.variant.features_from == "cache" else 0
        for _ in range(MOST_WARM_UPS):
            if case.answers >= wanted:
                return
            self._seen(case, 0)

    def _seen(self, case: Case, number: int) -> dict[str, float]:
        variant, server = case.variant, case.server
        name = f"{secrets.token_hex(4)}-{number}-{case.connections}-"
        address = f"http://127.0.0.1:{server.port}{variant.path}"
        first = number * 7_919 % variant.lines
        load = Load(address, variant.head, variant.bodies, name, first, self._cores(variant).load)
        cpu_s, all_s, since_s = server.cpu_seconds(), _cpu_s_beside_load(), time.perf_counter()
        seen = self.wrk.run(load, self.options.seconds, case.connections)
        server.require_running()
        spent_s = server.cpu_seconds() - cpu_s
        own = {
            "rps": seen["answers"] / seen["seconds"],
            "cpu_us": 1e6 * spent_s / seen["answers"],
            "others": max(0.0, _cpu_s_beside_load() - all_s - spent_s) / (time.perf_counter() - since_s),
        }
        tqdm.write(
            f"  {variant.name} at {case.connections}: {own['rps']:,.0f}/s, p50 {seen['p50_ms']:.2f} ms, "
            f"p99 {seen['p99_ms']:.2f} ms, {own['cpu_us']:,.0f} us, others {own['others']:.2f} cores"
            + ("" if number else " (warm-up)")
        )
        case.answers += int(seen["answers"])
        case.in_hand += case.connections
        return seen | own | {"memory_mb": server.memory_mb()}

    def _cores(self, variant: Variant) -> Cores:
        return self.cores if variant.pinned else ANYWHERE


def _counted(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """Compare each database with the answers of all that wrote to it; return both by variant."""
    found = {}
    for variant in {case.variant.name: case.variant for case in cases if case.variant.filled}.values():
        writing = [case for case in cases if case.variant.filled == variant.filled]
        answers, in_hand = sum(case.answers for case in writing), sum(case.in_hand for case in writing)
        found[variant.name] = {"answers": answers, "records": require_recorded(variant, answers, in_hand)}
    return found


def _cpu_s_beside_load() -> float:
    """CPU seconds of the whole machine, without those of this process and of load tools that have ended."""
    all_, own = psutil.cpu_times(), os.times()
    return sum(getattr(all_, name, 0.0) for name in _AT_WORK) - sum(own[:4])
