"""What is sent: stored applicants, whole applications, and the trees' columns ready for models that are no service."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import xgboost as xgb
from kept import PROJECT

from credit_scoring.adapters.bento_package import BentoPackage, read_package
from credit_scoring.core.boosted_trees import BoostedTrees
from credit_scoring.core.scoring import Matrix, ModelBundle

PORTFOLIO = "taiwan_cards"
STAGE = PROJECT / "build/bento"
WARM_APPLICANTS = 1_000
"""Applicants whose decisions come from the cache: few enough that a warm-up touches them all."""


@dataclass(frozen=True)
class Workload:
    """The staged bundles, the applicants and their features, in one order.

    ``ids`` are ``(n,)``, ``features`` are ``(n, p)`` in the plan's order, ``columns`` are ``(n, c)`` as the trees read
    them, all with NaN where missing.
    """

    package: BentoPackage
    ids: tuple[str, ...]
    features: Matrix
    columns: npt.NDArray[np.float32]
    names: tuple[str, ...]

    @property
    def trees(self) -> ModelBundle:
        """The bundle whose model all peers serve."""
        return _trees(self.package)

    @property
    def model(self) -> dict[str, int]:
        """What the trees are like: how many, their greatest depth, and the columns that they read."""
        booster = xgb.Booster(model_file=bytearray(_boosted(self.trees).model))
        dumped = booster.get_dump()
        depth = max(
            line.count("\t", 0, len(line) - len(line.lstrip("\t"))) for tree in dumped for line in tree.split("\n")
        )
        return {"trees": len(dumped), "depth": depth, "columns": len(self.names), "features": self.features.shape[1]}

    def stored(self, most: int | None = None) -> Iterator[str]:
        """Return bodies that name an applicant and no facts, for the first ``most`` applicants."""
        for applicant in self.ids[:most]:
            yield _line({"application_id": "@", "applicant_id": applicant})

    def inline(self) -> Iterator[str]:
        """Return bodies with the whole application and its statements, for the first 5,000 applicants."""
        table = PROJECT / "data/2_validated" / PORTFOLIO
        wanted = pl.DataFrame({"applicant_id": self.ids[:5_000]})
        applicants = pl.read_parquet(table / "applicants.parquet").join(wanted, on="applicant_id", how="semi")
        statements = pl.read_parquet(table / "events/statements.parquet").join(wanted, on="applicant_id", how="semi")
        usable = self.trees.portfolio.events["statements"].usable_columns
        rows = {
            key[0]: [_statement(row, usable) for row in own.sort("occurred_at", "event_number").to_dicts()]
            for key, own in statements.partition_by("applicant_id", as_dict=True).items()
        }
        fields = self.trees.portfolio.application_columns
        for applicant in applicants.to_dicts():
            own = {name: applicant[name] for name in fields if applicant[name] is not None}
            events = {"statements": rows.get(applicant["applicant_id"], [])}
            name = applicant["applicant_id"]
            yield _line({"application_id": "@", "applicant_id": name, "application": own, "events": events})

    def rows(self, most: int = 5_000) -> list[list[float | None]]:
        """Return the trees' columns of the first ``most`` applicants as JSON has them, null where missing."""
        return [[None if np.isnan(v) else float(v) for v in row] for row in self.columns[:most]]


def read_workload() -> Workload:
    """Return what ``make run`` left: the staged package and all applicants' features."""
    package = read_package(STAGE)
    bundle = _trees(package)
    table = pl.read_parquet(PROJECT / "data/3_features" / PORTFOLIO / "applicants.parquet")
    order = np.random.default_rng(5).permutation(table.height)  # no order of ids that a cache could like
    table = table[order.tolist()]
    features = np.ascontiguousarray(table.select(bundle.classifier.inputs).to_numpy(), dtype=np.float32)
    encoder = _boosted(bundle).encoder
    names = tuple(f"c{place}_{column.feature}" for place, column in enumerate(encoder.columns))
    return Workload(package, tuple(table["applicant_id"]), features, encoder.encode(features), names)


def write_lines(target: Path, lines: Iterable[str]) -> Path:
    """Write one body a line."""
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return target


def write_head(target: Path, path: str, headers: dict[str, str] | None = None) -> Path:
    """Write a request's head up to its length, which each request adds."""
    lines = {"Host": "127.0.0.1", "Content-Type": "application/json"} | (headers or {})
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    target.write_bytes(f"POST {path} HTTP/1.1\r\n{text}".encode())
    target.chmod(0o600)  # it may hold a key
    return target


def _trees(package: BentoPackage) -> ModelBundle:
    return next(bundle for bundle in package.bundles.values() if isinstance(bundle.classifier, BoostedTrees))


def _boosted(bundle: ModelBundle) -> BoostedTrees:
    if not isinstance(bundle.classifier, BoostedTrees):
        raise TypeError("The bundle holds no boosted trees.")
    return bundle.classifier


def _statement(row: dict[str, Any], usable: Iterable[str]) -> dict[str, Any]:
    values = {name: row[name] for name in usable if row[name] is not None}
    return {"occurred_at": row["occurred_at"].isoformat().replace("+00:00", "Z")} | values


def _line(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))
