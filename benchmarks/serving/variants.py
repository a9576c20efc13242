"""The variants: what is started, and what is sent to it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.ours import Settings, service
from serving.peers_environment import peers_bin
from serving.processes import Command, free_port
from serving.stores import Filled
from serving.workload import WARM_APPLICANTS, Workload, write_head, write_lines

PEERS = Path(__file__).with_name("peers")
DECIDE = "/v1/decisions"

Start = Callable[[int, frozenset[int] | None], Command]
"""From a port and the cores that may be used to the server's command."""


@dataclass(frozen=True)
class Variant:
    """A server and one kind of request to it.

    Variants of the same ``server`` share its process. ``filled`` is the database of the service, None for peers;
    ``features_from`` is what its answers say. With several workers, ``passes`` over
    all lines have each worker's cache know nearly all applicants.
    """

    name: str
    server: str
    start: Start
    path: str
    head: Path
    bodies: Path
    lines: int
    filled: Filled | None = None
    features_from: str = ""
    pinned: bool = True
    passes: int = 1


@dataclass
class Variants:
    """Makes variants for one benchmark; what they send lies below ``directory``."""

    directory: Path
    workload: Workload
    tag: str
    _bodies: dict[str, tuple[Path, int]] = field(default_factory=dict)

    def ours(self, name: str, settings: Settings, filled: Filled, sent: str = "stored", **more: Any) -> Variant:
        """Return the service, asked about ``stored`` applicants or with ``inline`` applications."""
        kind = f"{sent}_warm" if sent == "stored" and settings.warm else sent
        head = self._head(name, DECIDE, {"Authorization": f"Bearer {filled.key}"})
        origin = "request" if sent == "inline" else "cache" if settings.warm else "store"
        server = more.pop("server", name)

        def start(port: int, cpus: frozenset[int] | None) -> Command:
            return service(self.tag, settings, self.directory, port, cpus)

        return Variant(name, server, start, DECIDE, head, *self._sent(kind), filled, origin, **more)

    def floor(self, name: str = "floor", workers: int = 1) -> Variant:
        """Return the trivial handler in the service's stack."""
        start = self._bentoml("trivial_bentoml:Trivial", {"WORKERS": str(workers)})
        return Variant(
            name, name, start, DECIDE, self._head(name, DECIDE), *self._sent("stored_warm"), pinned=workers == 1
        )

    def bare_floor(self) -> Variant:
        """Return the trivial handler on uvicorn alone."""
        start = self._uvicorn("trivial_uvicorn:app", {})
        return Variant(
            "floor_uvicorn", "floor_uvicorn", start, DECIDE, self._head("uvicorn", DECIDE), *self._sent("stored_warm")
        )

    def naive(self) -> list[Variant]:
        """Return the naive code under BentoML and under FastAPI."""
        head, bodies = self._head("naive", "/decide"), self._sent("rows")
        model = {"MODEL": str(self._model())}
        starts = {
            "naive_bentoml": self._bentoml("naive_bentoml:Naive", model),
            "naive_fastapi": self._uvicorn("naive_fastapi:app", model),
        }
        return [Variant(name, name, start, "/decide", head, *bodies) for name, start in starts.items()]

    def model_servers(self) -> list[Variant]:
        """Return ``mlflow models serve`` and MLServer, which answer with the score alone.

        MLflow twice: with a frame, as its guide shows it, and with a tensor, which is the fastest that it takes.
        """
        starts = {
            "mlflow": (self._mlflow("frame"), "/invocations", "split"),
            "mlflow_tensor": (self._mlflow("tensor"), "/invocations", "inputs"),
            "mlserver": (self._mlserver(), "/v2/models/trees/infer", "tensors"),
        }
        return [
            Variant(name, name, start, path, self._head(name, path), *self._sent(kind))
            for name, (start, path, kind) in starts.items()
        ]

    def _sent(self, kind: str) -> tuple[Path, int]:
        if kind not in self._bodies:
            lines = list(self._lines(kind))
            self._bodies[kind] = write_lines(self.directory / f"{kind}.bodies", lines), len(lines)
        return self._bodies[kind]

    def _lines(self, kind: str) -> Any:
        work = self.workload
        if kind == "rows":
            return (json.dumps({"rows": [dict(zip(work.names, row, strict=True))]}) for row in work.rows())
        if kind == "split":
            split = ({"columns": work.names, "data": [_with_nan(row)]} for row in work.rows())
            return (json.dumps({"dataframe_split": one}) for one in split)
        if kind == "inputs":
            return (json.dumps({"inputs": [row]}) for row in work.rows())
        if kind == "tensors":
            shape = {"name": "columns", "shape": [1, len(work.names)], "datatype": "FP32"}
            return (json.dumps({"inputs": [shape | {"data": row}]}) for row in work.rows())
        return {"stored_warm": lambda: work.stored(WARM_APPLICANTS), "stored": work.stored, "inline": work.inline}[
            kind
        ]()

    def _head(self, name: str, path: str, headers: dict[str, str] | None = None) -> Path:
        return write_head(self.directory / f"{name}.head", path, headers)

    def _model(self) -> Path:
        file = self.directory / "model.ubj"
        if not file.exists():
            classifier: Any = self.workload.trees.classifier
            file.write_bytes(classifier.model)
        return file

    def _bentoml(self, app: str, environment: dict[str, str]) -> Start:
        own = environment | {"BENTOML_DO_NOT_TRACK": "true"}

        def start(port: int, cpus: frozenset[int] | None) -> Command:
            serve: list[str | Path] = [sys.executable, "-m", "bentoml", "serve", app, "--working-dir", PEERS]
            return Command([*serve, *_on(port)], self.directory, own, "/readyz", cpus)

        return start

    def _uvicorn(self, app: str, environment: dict[str, str]) -> Start:
        def start(port: int, cpus: frozenset[int] | None) -> Command:
            serve: list[str | Path] = [sys.executable, "-m", "uvicorn", app, "--app-dir", PEERS, "--no-access-log"]
            return Command([*serve, *_on(port)], self.directory, environment, "/readyz", cpus)

        return start

    def _mlflow(self, signature: str) -> Start:
        def start(port: int, cpus: frozenset[int] | None) -> Command:
            home, bin_ = self.directory / f"mlflow_{signature}", peers_bin()
            if not home.exists():
                save: list[str | Path] = [bin_ / "python", PEERS / "save_for_mlflow.py", self._model(), home, signature]
                subprocess.run(save, check=True, capture_output=True)  # noqa: S603 - our own command
            serve: list[str | Path] = [
                bin_ / "mlflow",
                "models",
                "serve",
                "--model-uri",
                home,
                "--env-manager",
                "local",
            ]
            path = {"PATH": f"{bin_}:/usr/bin:/bin"}
            return Command([*serve, *_on(port)], self.directory, path, "/ping", cpus)

        return start

    def _mlserver(self) -> Start:
        def start(port: int, cpus: frozenset[int] | None) -> Command:
            home = self.directory / "mlserver"
            home.mkdir(exist_ok=True)
            parameters = {"uri": str(self._model())}
            model = {"name": "trees", "implementation": "mlserver_xgboost.XGBoostModel", "parameters": parameters}
            ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
            # No parallel worker: on one core a second process only costs. Debug is on by default, and costs, too.
            settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False} | ports
            (home / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
            (home / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
            return Command(
                [peers_bin() / "mlserver", "start", home], self.directory, {}, "/v2/models/trees/ready", cpus
            )

        return start


def _on(port: int) -> list[str]:
    return ["--host", "127.0.0.1", "--port", str(port)]


def _with_nan(row: list[float | None]) -> list[float]:
    """A null would make a column of objects, which XGBoost refuses; MLflow reads NaN as Python writes it."""
    return [float("nan") if value is None else value for value in row]
