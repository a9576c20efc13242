"""What is measured: the service beside its rivals, its workers, its modes, and batches."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serving.batches import Batches
from serving.checks import Checker
from serving.cores import ANYWHERE, Cores
from serving.figures import CONNECTIONS
from serving.ours import Settings
from serving.rounds import Options, Section
from serving.stores import Databases, postgres_server, redis_server
from serving.variants import Variant, Variants
from serving.workload import Workload
from serving.wrk import Wrk

ALL = ("rivals", "workers", "modes", "batches")


@dataclass(frozen=True)
class Bench:
    """Everything that a section needs."""

    directory: Path
    workload: Workload
    tag: str
    wrk: Wrk
    cores: Cores
    options: Options

    def measured(self, section: str) -> list[dict[str, Any]]:
        """Return what the rounds of one of ``ALL`` saw.

        Raises:
            ServerError: If a server fails, or an answer is not what it should be.
        """
        measure: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
            "rivals": self._rivals,
            "workers": self._workers,
            "modes": self._modes,
            "batches": self._batches,
        }
        own = self.directory / section
        own.mkdir()
        return measure[section](own)

    def shipped(self, directory: Path) -> Variant:
        """Return the service as it is shipped, by itself."""
        filled = Databases(directory, self.workload.package).sqlite()
        return self._variants(directory).ours("as_shipped", Settings(filled.url), filled)

    def trees_decide(self, directory: Path) -> Variant:
        """Return the service where the trees decide everybody, by itself."""
        filled = Databases(directory, self.workload.package).sqlite(trees_decide=True)
        return self._variants(directory).ours("trees_decide", Settings(filled.url), filled)

    def _rivals(self, directory: Path) -> list[dict[str, Any]]:
        variants = self._variants(directory)
        ours = [self.shipped(directory), self.trees_decide(directory)]
        floors = [variants.floor(), variants.bare_floor()]
        return self._run("rivals", [*ours, *variants.naive(), *variants.model_servers(), *floors], self.options)

    def _workers(self, directory: Path) -> list[dict[str, Any]]:
        """None is pinned: two workers take both cores, and the load tool what they leave."""
        variants, databases = self._variants(directory), Databases(directory, self.workload.package)
        ours = []
        for workers in (1, 2):
            filled = databases.sqlite()
            settings, passes = Settings(filled.url, workers), 1 if workers == 1 else 6
            name = f"as_shipped_{workers}"
            ours.append(variants.ours(name, settings, filled, pinned=False, passes=passes))
        return self._run("workers", [*ours, replace(variants.floor("floor_2", 2), pinned=False)], self.options)

    def _modes(self, directory: Path) -> list[dict[str, Any]]:
        variants, databases = self._variants(directory), Databases(directory, self.workload.package)
        with ExitStack() as open_:
            postgres = open_.enter_context(postgres_server())
            redis = open_.enter_context(redis_server(directory))
            modes: list[Variant] = []
            for records in ("SQLite", "PostgreSQL"):
                for cache in ("in-process", "Redis"):
                    for warm in (True, False):
                        filled = databases.sqlite() if records == "SQLite" else databases.postgres(postgres)
                        url = f"{redis}/{len(modes)}" if cache == "Redis" else None  # no two share what is cached
                        settings = Settings(filled.url, redis_url=url, warm=warm)
                        name = f"{records}, {cache} cache"
                        kind = "warm" if warm else "cold"
                        modes.append(variants.ours(f"{name}, {kind}", settings, filled))
                        if warm and cache == "in-process":  # what comes inline asks no cache
                            server = modes[-1].server
                            inline = variants.ours(f"{records}, inline", settings, filled, "inline", server=server)
                            modes.append(inline)
            return self._run("modes", modes, replace(self.options, connections=(CONNECTIONS,)))

    def _batches(self, directory: Path) -> list[dict[str, Any]]:
        variants, databases = self._variants(directory), Databases(directory, self.workload.package)
        warm, cold = databases.sqlite(), databases.sqlite()
        sent = [
            variants.ours("batch_warm", Settings(warm.url), warm),
            variants.ours("batch_cold", Settings(cold.url, warm=False), cold),
            variants.ours("batch_inline", Settings(warm.url), warm, "inline", server="batch_warm"),
        ]
        return Batches(directory, self.cores, self.options.rounds).run(sent)

    def _variants(self, directory: Path) -> Variants:
        return Variants(directory, self.workload, self.tag)

    def _run(self, name: str, variants: list[Variant], options: Options) -> list[dict[str, Any]]:
        section = Section(self.directory / name, self.wrk, self.cores, options)
        return section.run(name, variants, Checker(self.workload))

    @property
    def told(self) -> dict[str, Any]:
        """How it was measured, for the result."""
        return {
            "portfolio": self.workload.package.portfolio,
            "model": self.workload.model,
            "rounds": self.options.rounds,
            "seconds": self.options.seconds,
            "load_tool": self.wrk.version(),
            "cores": self.cores.told,
            "not_pinned": ANYWHERE.told + ": section workers, Redis, PostgreSQL",
            "bento": self.tag,
        }
