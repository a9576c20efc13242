"""Population stability against frozen development deciles, and how much of it chance explains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from credit_scoring.core.scoring import Deciles, Floats, Matrix

POINTS = "points"
"""Name under which the score itself stands among the deciles; no feature may have it."""

_FLOOR = 1e-4
"""Share given to an empty group, so that its logarithm exists (the usual convention)."""


Level = Literal["stable", "watch", "drift"]


class MonitoringOptions(BaseModel):
    """What is held against what, and from where it is worth a look; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference_part: Literal["development", "holdout", "stream"] = "development"
    period_part: Literal["development", "holdout", "stream"] = "stream"
    watch_from: float = Field(default=0.10, gt=0)
    drift_from: float = Field(default=0.25, gt=0)
    false_alarm_rate: float = Field(default=0.05, gt=0, lt=1)
    chance_draws: int = Field(default=20_000, ge=1000)
    evidently_columns: int = Field(default=15, ge=1)
    evidently_rows: int = Field(default=5000, ge=100)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _watch_before_drift(self) -> "MonitoringOptions":
        if self.watch_from > self.drift_from:
            raise ValueError("'watch_from' must not be above 'drift_from'")
        return self


@dataclass(frozen=True, slots=True)
class Stability:
    """How one column moved: its PSI, the PSI that chance alone may show, and what to make of both.

    ``missing_share`` and ``missing_share_reference`` are the shares of missing values now and in development.
    """

    column: str
    psi: float
    chance_limit: float
    level: Level
    missing_share: float
    missing_share_reference: float


def development_deciles(features: Matrix, names: tuple[str, ...], points: Floats) -> dict[str, Deciles]:
    """Freeze ten groups of the development part by each feature, ``(n, p)``, and by its points, ``(n,)``."""
    columns = dict(zip(names, features.T, strict=True)) | {POINTS: points}
    return {name: _deciles(np.asarray(values, dtype=np.float64)) for name, values in columns.items()}


def population_stability_index(values: npt.NDArray[np.floating], deciles: Deciles) -> float:
    """Return the PSI of ``(n,)`` values against frozen deciles: sum of (a - e) * ln(a / e) over groups.

    Missing values are a group of their own, so a feature that stops arriving shows. Zero means the same
    distribution; by common usage 0.10 is worth a look and 0.25 a shift (Siddiqi 2006, ch. 9).
    """
    actual = _shares(np.asarray(values, dtype=np.float64), deciles.edges)
    return float(_divergence(actual, np.asarray(deciles.shares), len(values)))


def stability(
    columns: Mapping[str, npt.NDArray[np.floating]],
    deciles: Mapping[str, Deciles],
    reference_size: int,
    options: MonitoringOptions,
) -> tuple[Stability, ...]:
    """Return how each column moved against its frozen deciles, the most moved first.

    Args:
        columns: ``(n,)`` values of the period by name, NaN where missing.
        deciles: Frozen deciles of each of these columns.
        reference_size: Number of applicants that the deciles were frozen on.
        options: Thresholds, and the share of reports without any drift that may still show some.
    """
    rows = [
        _judged(name, values, deciles[name], reference_size, len(columns), options) for name, values in columns.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.psi, row.column)))


def chance_limit(
    deciles: Deciles, reference_size: int, period_size: int, false_alarm_rate: float, options: MonitoringOptions
) -> float:
    """Return the PSI that two samples of one population exceed with probability ``false_alarm_rate``.

    Without any change PSI is distributed roughly as ``(1/m + 1/n) * chi-squared(groups - 1)`` for samples of m
    and n (Yurdakul and Naranjo 2020, Statistical properties of the population stability index, Journal of Risk
    Model Validation 14(4)): 100 applicants show about 0.1 in ten groups on average, and a fixed threshold alone
    would call that drift. Far out and with few applicants the formula is too small, up to eightfold in the rate
    (measured), so both samples are drawn from the frozen shares instead.
    """
    shares = np.asarray(deciles.shares)
    generator = np.random.default_rng(options.seed)
    reference = generator.multinomial(reference_size, shares / shares.sum(), size=options.chance_draws)
    period = generator.multinomial(period_size, shares / shares.sum(), size=options.chance_draws)
    by_chance = _divergence(period / period_size, reference / reference_size, period_size)
    return float(np.quantile(by_chance, 1 - false_alarm_rate))


def _judged(
    name: str,
    values: npt.NDArray[np.floating],
    deciles: Deciles,
    reference_size: int,
    comparisons: int,
    options: MonitoringOptions,
) -> Stability:
    psi = population_stability_index(values, deciles)
    # Bonferroni: the false alarms are those of the whole report, not of each of its many columns.
    rate = options.false_alarm_rate / comparisons
    limit = chance_limit(deciles, reference_size, len(values), rate, options)
    level: Level = "stable"
    if psi > limit and psi >= options.watch_from:
        level = "drift" if psi >= options.drift_from else "watch"
    return Stability(name, psi, limit, level, float(np.isnan(values).mean()), deciles.shares[-1])


def _divergence(actual: Floats, expected: Floats, period_size: int) -> Floats:
    """PSI over the last axis of shares; an empty group gets a small share so that its logarithm exists."""
    # A group of a small sample is often empty by chance; half an applicant keeps its logarithm from shouting. Both
    # shares get the same, so that a group which is empty on both sides counts nothing.
    floor = max(_FLOOR, 0.5 / max(period_size, 1))
    actual, expected = np.maximum(actual, floor), np.maximum(expected, floor)
    return np.asarray(np.sum((actual - expected) * np.log(actual / expected), axis=-1))


def _deciles(values: Floats) -> Deciles:
    known = values[~np.isnan(values)]
    cuts = np.unique(np.quantile(known, np.arange(1, 10) / 10)) if len(known) else np.empty(0)
    return Deciles(tuple(float(c) for c in cuts), tuple(float(s) for s in _shares(values, cuts)))


def _shares(values: Floats, edges: Floats | tuple[float, ...]) -> Floats:
    """Shares of the groups ``edges[i-1] < value <= edges[i]``, then of missing values."""
    groups = np.searchsorted(np.asarray(edges), values, side="left")
    groups[np.isnan(values)] = len(edges) + 1
    return np.bincount(groups, minlength=len(edges) + 2) / max(len(values), 1)
