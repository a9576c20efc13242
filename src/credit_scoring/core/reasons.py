"""Reason codes: what cost points against the reference, in the words of the declaration."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from credit_scoring.api.decisions import GivenReason
from credit_scoring.core.declaration_checks import MISSING_SUFFIX
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scoring import Floats, Matrix

MATERIAL_POINTS = 0.05
"""Below this a loss would be told as 0.0 points, so it is no reason."""


def reasons(features: Matrix, contributions: Floats, names: Sequence[str], portfolio: Portfolio) -> list[GivenReason]:
    """Return at most ``policy.max_reasons`` reasons of one applicant, the costliest first.

    Args:
        features: ``(p,)`` features, NaN where missing.
        contributions: ``(p,)`` points that each feature adds against the reference.
        names: The p features, in declared order.
        portfolio: The declaration that the scored bundle carries.

    Contributions are added up per code first, so a code is given only when all of its features together
    cost at least ``MATERIAL_POINTS``; equal losses keep the declared order of features.
    """
    total: dict[str, float] = defaultdict(float)
    costliest: dict[str, tuple[float, str]] = {}
    for name, value, points in zip(names, features, contributions, strict=True):
        code = str(portfolio.features[name].reason) + (MISSING_SUFFIX if np.isnan(value) else "")
        total[code] += float(points)
        if code not in costliest or points < costliest[code][0]:
            costliest[code] = (float(points), name)
    lost = sorted((item for item in total.items() if item[1] <= -MATERIAL_POINTS), key=lambda item: item[1])
    return [
        GivenReason(code, _text(code, costliest[code][1], portfolio), costliest[code][1], -points)
        for code, points in lost[: portfolio.policy.max_reasons]
    ]


def _text(code: str, feature: str, portfolio: Portfolio) -> str:
    reason = portfolio.reasons[code.removesuffix(MISSING_SUFFIX)]
    if not code.endswith(MISSING_SUFFIX):
        return reason.text
    return reason.missing_text or f"{reason.text}: not known ({portfolio.features[feature].description or feature})"
