"""Split, cut-offs and bands that fit the number of rows and the bad rate, as a start."""

from dataclasses import dataclass

import numpy as np

from credit_scoring.core.portfolio import Scale
from credit_scoring.core.scoring import points_at
from credit_scoring.core.training.options import DevelopmentOptions

FEWEST_OF_EACH_OUTCOME = DevelopmentOptions().fewest_of_each_outcome

_FEW_BADS = 60
_REFERENCE_SHARE = 0.1
_REFERENCE = (50, 1000)
_RISKIEST = 0.95
_FITTED_SHARE = 0.8
"""Of the development part, in cross-validation by five."""

_ENOUGH_INFORMATION = 90
"""Four times what the shared options ask of a leaf: with 300 bads of 1,000 they work, with 50 of 300 they fail."""


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Points at some estimated probabilities of default, from safe to risky; each band begins at its points."""

    approve_from: int
    refer_from: int
    approved_risk: float
    referred_risk: float
    bands: tuple[tuple[str, int, float | None], ...]


def draft_cutoffs(bad_rate: float, scale: Scale) -> Cutoffs:
    """Return cut-offs: approve below about the average bad rate, refer to about twice that.

    Bands begin at a quarter, half, one and two times the average.
    """
    referred = min(2 * bad_rate, (bad_rate + 1) / 2, _RISKIEST)
    risks = [bad_rate / 4, bad_rate / 2, min(bad_rate, 0.9 * _RISKIEST), referred]
    points: list[int] = []
    for place, risk in enumerate(risks):
        exact = round(float(points_at(np.log(np.asarray(risk / (1 - risk))), scale)))
        highest = (points[-1] - 1) if points else scale.max
        lowest = scale.min + len(risks) - place
        points.append(max(min(exact, highest), lowest))
    named = tuple(zip("ABCD", points, risks, strict=True))
    return Cutoffs(points[2], points[3], risks[2], risks[3], (*named, ("E", scale.min, None)))


def draft_split(bads: int, goods: int) -> tuple[float, float, float]:
    """Return the shares of development, holdout and stream; with few of one outcome most are for development."""
    return (0.8, 0.1, 0.1) if min(bads, goods) < _FEW_BADS else (0.6, 0.2, 0.2)


def draft_reference_size(rows: int, development: float) -> int:
    """Return how many just approved applicants anchor reasons: a tenth of the development part, within limits."""
    lowest, highest = _REFERENCE
    wanted = int(rows * development * _REFERENCE_SHARE) // 10 * 10
    return min(max(wanted, lowest), highest)


def small_sample_options(bads: int, goods: int) -> dict[str, float] | None:
    """Return options of the boosted trees where the shared ones could not split so few rows; None where they can.

    A leaf needs ``min_child_weight`` of information, ``p * (1 - p)`` added up over its rows.
    """
    rows = bads + goods
    information = bads * goods / rows * draft_split(bads, goods)[0] * _FITTED_SHARE
    if information >= _ENOUGH_INFORMATION:
        return None
    return {"max_depth": 2, "min_child_weight": max(1, int(information / 20)), "gamma": 0}


def too_few(bads: int, goods: int) -> str | None:
    """Return a warning where training will refuse, or hardly learn from, so few outcomes; else nothing."""
    fewest, name = min((bads, "bad"), (goods, "good"))
    development = draft_split(bads, goods)[0]
    if fewest * development < FEWEST_OF_EACH_OUTCOME:
        return (
            f"only {fewest:,} {name} outcomes: training needs {FEWEST_OF_EACH_OUTCOME} in the development part and "
            f"will refuse; bring at least {round(FEWEST_OF_EACH_OUTCOME / 0.7)}"
        )
    if fewest < 200:
        return f"only {fewest:,} {name} outcomes: models and their judgement will be uncertain"
    return None
