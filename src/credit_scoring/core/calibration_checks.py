"""How far probabilities of default are from what happened, and how far chance alone would take them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from credit_scoring.core.calibration import fit_affine
from credit_scoring.core.discrimination import Estimate, Floats, Labels, require_both_outcomes

_SMALLEST = float(np.finfo(np.float64).eps)
"""Nearest that a probability is let come to 0 and 1 where its logarithm is taken."""


@dataclass(frozen=True, slots=True)
class CalibrationError:
    """Expected calibration error (ECE) beside that of a perfect model on the same probabilities.

    All are probabilities in [0, 1]: ``chance_mean`` and ``chance_95`` are the mean and the 95th percentile of
    the ECE when each outcome is drawn from its own ``prob_default``. Only above ``chance_95`` is the error
    evidence against the model.
    """

    observed: float
    chance_mean: float
    chance_95: float


@dataclass(frozen=True, slots=True)
class CalibrationGroups:
    """Equally large groups of applicants by ``prob_default``, each array ``(k,)``, safest first.

    ``low`` and ``high`` hold the middle 95 % of the bad rate that a perfect model's group would show.
    """

    size: npt.NDArray[np.int64]
    mean_prob_default: Floats
    bad_rate: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class CalibrationLine:
    """``logit(P(bad)) = intercept + slope * logit(prob_default)``; slope 1 and intercept 0 are perfect.

    A slope under 1 says that the probabilities are too far apart. ``bias`` is the mean probability minus the bad rate.
    """

    slope: Estimate
    intercept: Estimate
    bias: float


def brier_score(is_bad: Labels, prob_default: Floats) -> float:
    """Return the mean squared distance of ``(n,)`` probabilities from outcomes (Brier 1950); lower is better."""
    return float(np.mean((prob_default - is_bad) ** 2))


def log_loss(is_bad: Labels, prob_default: Floats) -> float:
    """Return the mean negative log-likelihood per applicant, in nats; lower is better."""
    bounded = _bounded(prob_default)
    return float(-np.mean(np.where(is_bad == 1, np.log(bounded), np.log1p(-bounded))))


def calibration_line(is_bad: Labels, prob_default: Floats) -> CalibrationLine:
    """Return Cox's calibration line of ``(n,)`` probabilities with 95 % intervals (Cox 1958, Biometrika 45).

    Raises:
        EvaluationError: If only one outcome occurs.
    """
    require_both_outcomes(is_bad)
    bounded = _bounded(prob_default)
    fitted = fit_affine(np.log(bounded) - np.log1p(-bounded), is_bad)
    return CalibrationLine(
        slope=Estimate.of(fitted.slope, fitted.slope_error),
        intercept=Estimate.of(fitted.intercept, fitted.intercept_error),
        bias=float(prob_default.mean() - is_bad.mean()),
    )


def calibration_error(is_bad: Labels, prob_default: Floats, *, groups: int, draws: int, seed: int) -> CalibrationError:
    """Return the ECE over ``groups`` equally large groups, and what a perfect model would show by chance.

    The ECE (Naeini, Cooper and Hauskrecht 2015, AAAI) is positive even for perfect probabilities, because a
    group's bad rate scatters; drawing outcomes from the probabilities themselves shows by how much (consistency
    resampling, Bröcker and Smith 2007, Weather and Forecasting 22(3)).

    Args:
        is_bad: ``(n,)`` outcomes, 1 bad.
        prob_default: ``(n,)`` probabilities in [0, 1].
        groups: Number of groups; fewer applicants than that make one group each.
        draws: Number of simulated samples.
        seed: Seed of the simulation.
    """
    order, starts = _grouped(prob_default, groups)
    expected = np.add.reduceat(prob_default[order], starts)
    simulated = _simulated_bads(prob_default[order], starts, draws, seed)
    distances = np.abs(simulated - expected).sum(axis=1) / len(order)
    observed = np.abs(np.add.reduceat(is_bad[order], starts, dtype=np.float64) - expected).sum() / len(order)
    return CalibrationError(float(observed), float(distances.mean()), float(np.quantile(distances, 0.95)))


def calibration_groups(
    is_bad: Labels, prob_default: Floats, *, groups: int, draws: int, seed: int
) -> CalibrationGroups:
    """Return mean probability and bad rate by group, with the band that chance alone explains.

    The arguments are those of ``calibration_error``.
    """
    order, starts = _grouped(prob_default, groups)
    size = np.diff(np.append(starts, len(order)))
    low, high = np.quantile(_simulated_bads(prob_default[order], starts, draws, seed), (0.025, 0.975), axis=0)
    return CalibrationGroups(
        size=size,
        mean_prob_default=np.add.reduceat(prob_default[order], starts) / size,
        bad_rate=np.add.reduceat(is_bad[order], starts, dtype=np.float64) / size,
        low=low / size,
        high=high / size,
    )


def _grouped(prob_default: Floats, groups: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Order by probability, and where each of the equally large groups starts in it."""
    order = np.argsort(prob_default, kind="stable")
    starts = np.unique(np.arange(groups) * len(order) // groups)
    return order, starts


def _simulated_bads(ordered: Floats, starts: npt.NDArray[np.intp], draws: int, seed: int) -> Floats:
    """Bads per group, ``(draws, groups)``, when each outcome is drawn from its own probability."""
    generator = np.random.default_rng(seed)
    # One sample at a time: all at once would need n * draws numbers in memory.
    samples = [
        np.add.reduceat(generator.random(len(ordered)) < ordered, starts, dtype=np.float64) for _ in range(draws)
    ]
    return np.stack(samples)


def _bounded(prob_default: Floats) -> Floats:
    return np.clip(prob_default, _SMALLEST, 1 - _SMALLEST)
