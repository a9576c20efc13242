"""From points to a band and a recommendation."""

from credit_scoring.api.decisions import Recommendation
from credit_scoring.core.portfolio import Policy


def recommendation(points: int, policy: Policy) -> Recommendation:
    """Return what ``policy`` recommends at ``points``."""
    if points >= policy.approve_from:
        return "approve"
    return "refer" if points >= policy.refer_from else "decline"


def band(points: int, policy: Policy) -> str:
    """Return the name of the band that ``points`` fall into."""
    return next(b.name for b in policy.bands if points >= b.from_points)
