"""From what the rounds saw to medians, ratios and targets. Standard library alone: the tables' tests import it."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CONNECTIONS = 8
"""Where the targets hold."""

OURS = ("as_shipped", "trees_decide")
"""The service as it is shipped, where trees answer one applicant in ten, and where they answer everybody."""


@dataclass(frozen=True)
class Spread:
    """Median of the rounds, with the least and the most of them."""

    median: float
    least: float
    most: float


@dataclass(frozen=True)
class Target:
    """What the issue asks for, and what was found; ``reached`` is by the median."""

    what: str
    limit: float
    at_least: bool
    found: Spread

    @property
    def reached(self) -> bool:
        """Whether the median is on the right side of the limit."""
        return self.found.median >= self.limit if self.at_least else self.found.median <= self.limit


ASKED = (
    ("naive_bentoml", 20.0, "naive BentoML service"),
    ("mlserver", 2.5, "MLServer, label only"),
    ("mlflow", 10.0, "`mlflow models serve`, label only, a frame"),
    ("mlflow_tensor", 10.0, "`mlflow models serve`, label only, a tensor"),
    ("floor", 0.45, "floor, the trivial handler in the same stack"),
)
"""Rival, least ratio of requests per second, and its name in full."""

SLOWEST_TO_MEDIAN = 5.0
"""Largest p99 in p50s."""


def spread(values: Sequence[float]) -> Spread:
    """Return the median, least and most of what the rounds saw."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the ratios of two variants, each of one round's own figures."""
    return spread([above / below for above, below in zip(numerators, denominators, strict=True)])


def case(section: Sequence[Mapping[str, Any]], variant: str, connections: int) -> Mapping[str, Any] | None:
    """Return what the rounds saw of a variant at so many connections, None when it was not measured."""
    found = (one for one in section if one["variant"] == variant and one["connections"] == connections)
    return next(found, None)


def targets(section: Sequence[Mapping[str, Any]], ours: str) -> list[Target]:
    """Return the issue's targets for one of ``OURS``, as far as both sides were measured."""
    own = case(section, ours, CONNECTIONS)
    if own is None:
        return []
    found = []
    for rival, limit, name in ASKED:
        other = case(section, rival, CONNECTIONS)
        if other is not None:
            found.append(Target(f"requests/s / {name}", limit, True, ratio(own["rps"], other["rps"])))
    slowest = ratio(own["p99_ms"], own["p50_ms"])
    return [*found, Target("p99 in p50s", SLOWEST_TO_MEDIAN, False, slowest)]
