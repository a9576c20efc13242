"""From points to a band and a recommendation."""

from typing import Literal

from credit_scoring.core.portfolio import Policy

Recommendation = Literal["approve", "refer", "decline"]


def recommendation(points: int, policy: Policy) -> Recommendation:
    """Return what ``policy`` recommends at ``points``."""
    if points >= policy.approve_from:
        return "approve"
    return "refer" if points >= policy.refer_from else "decline"


def band(points: int, policy: Policy) -> str:
    """Return the name of the band that ``points`` fall into."""
    return next(b.name for b in policy.bands if points >= b.from_points)
