"""How well scores part bads from goods: AUC, Gini, KS, and DeLong's comparison of two models."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from credit_scoring.core.calibration import Z_95
from credit_scoring.core.errors import EvaluationError

Floats: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its standard error and 95 % Wald interval."""

    value: float
    error: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, error: float) -> "Estimate":
        """Return ``value`` with the interval that ``error`` gives."""
        return cls(value, error, value - Z_95 * error, value + Z_95 * error)


@dataclass(frozen=True, slots=True)
class AucComparison:
    """AUC of the first model minus that of the second on the same applicants.

    ``p_value`` is two-sided, for the hypothesis that both rank equally well; 1 where the two scores never differ.
    """

    difference: Estimate
    p_value: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Cumulative shares of bads and of goods, each ``(k,)``, from riskiest to safest, and ``risk`` at each cut."""

    risk: Floats
    bads: Floats
    goods: Floats


def require_both_outcomes(is_bad: Labels) -> None:
    """Refuse a sample in which only one outcome occurs.

    Raises:
        EvaluationError: If there are no goods or no bads among ``(n,)`` outcomes.
    """
    bads = int(np.sum(is_bad))
    if bads in (0, len(is_bad)):
        raise EvaluationError(
            f"Evaluation needs good and bad outcomes; the sample has {len(is_bad) - bads} goods and {bads} bads. "
            f"Check 'outcome' and 'split' in the declaration, or wait for more outcomes."
        )


def auc(is_bad: Labels, risk: Floats) -> Estimate:
    """Return the area under the ROC curve: P(a bad scores riskier than a good), ties counted half.

    Args:
        is_bad: ``(n,)`` outcomes, 1 bad.
        risk: ``(n,)`` scores, higher is riskier.

    Returns:
        The area with DeLong's standard error (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44, eq. 5).

    Raises:
        EvaluationError: If only one outcome occurs.
    """
    of_bads, of_goods = placements(is_bad, risk)
    return Estimate.of(float(of_bads.mean()), float(np.sqrt(_variance(of_bads) + _variance(of_goods))))


def compare_auc(is_bad: Labels, first: Floats, second: Floats) -> AucComparison:
    """Return how much better ``first`` ranks than ``second``, both ``(n,)`` risks of the same applicants.

    The variance of the difference is that of the paired placements' differences (DeLong et al. 1988, eq. 6),
    which counts in that both models were tried on the same people.

    Raises:
        EvaluationError: If only one outcome occurs.
    """
    first_bads, first_goods = placements(is_bad, first)
    second_bads, second_goods = placements(is_bad, second)
    difference = float(first_bads.mean() - second_bads.mean())
    error = float(np.sqrt(_variance(first_bads - second_bads) + _variance(first_goods - second_goods)))
    # Two scores that order everybody alike have no error; they are equal, not infinitely different.
    p_value = 2 * NormalDist().cdf(-abs(difference) / error) if error > 0 else float(difference == 0)
    return AucComparison(Estimate.of(difference, error), p_value)


def placements(is_bad: Labels, risk: Floats) -> tuple[Floats, Floats]:
    """Return for each bad the share of goods scored safer, and for each good the share of bads scored riskier.

    Ties count half. From midranks in O(n log n) (Sun and Xu 2014, IEEE Signal Processing Letters 21(11),
    algorithm 2) instead of comparing each bad with each good.

    Raises:
        EvaluationError: If only one outcome occurs.
    """
    require_both_outcomes(is_bad)
    bad = is_bad == 1
    among_all = _midranks(risk)
    goods_safer = among_all[bad] - _midranks(risk[bad])
    bads_safer = among_all[~bad] - _midranks(risk[~bad])
    return goods_safer / np.sum(~bad), 1 - bads_safer / np.sum(bad)


def cumulative_shares(is_bad: Labels, risk: Floats) -> Curve:
    """Return the shares of bads and goods at least as risky as each distinct ``risk``, beginning at none.

    Raises:
        EvaluationError: If only one outcome occurs.
    """
    require_both_outcomes(is_bad)
    order = np.argsort(-risk, kind="stable")
    ordered, bads = risk[order], np.cumsum(is_bad[order] == 1)
    goods = np.arange(1, len(order) + 1) - bads
    last = np.append(np.flatnonzero(np.diff(ordered)), len(order) - 1)
    return Curve(
        risk=np.append(np.inf, ordered[last]),
        bads=np.append(0.0, bads[last] / bads[-1]),
        goods=np.append(0.0, goods[last] / goods[-1]),
    )


def kolmogorov_smirnov(is_bad: Labels, risk: Floats) -> float:
    """Return the largest distance between the score distributions of bads and goods, in [0, 1].

    Raises:
        EvaluationError: If only one outcome occurs.
    """
    curve = cumulative_shares(is_bad, risk)
    return float(np.max(np.abs(curve.bads - curve.goods)))


def gini(area: float) -> float:
    """Return the Gini coefficient (accuracy ratio) of an area under the ROC curve: ``2 * area - 1``."""
    return 2 * area - 1


def _midranks(values: Floats) -> Floats:
    """Ranks from 1; tied values share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group], dtype=np.float64)


def _variance(placed: Floats) -> float:
    """Variance of the mean of placements; of a single one nothing is known, so it counts as none."""
    return float(np.var(placed, ddof=1)) / len(placed) if len(placed) > 1 else 0.0
