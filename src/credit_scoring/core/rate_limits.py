"""How often a caller may ask a route."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil

from credit_scoring.core.errors import SettingsError, nearest


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``most`` requests in each window of ``window_s`` seconds."""

    most: int
    window_s: int

    @property
    def policy(self) -> str:
        """The limit as the header ``RateLimit-Policy`` tells it."""
        return f"{self.most};w={self.window_s}"


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """The limit of each route by its name, such as ``POST /v1/decisions``; None where there is none.

    ``unauthenticated`` is how many requests of one client address may bring no accepted key or token.
    """

    default: RateLimit | None
    unauthenticated: RateLimit | None
    by_route: Mapping[str, RateLimit | None]

    def of(self, route: str) -> RateLimit | None:
        """Return the limit of a route, None when it has none."""
        return self.by_route.get(route, self.default)

    def require_routes(self, routes: Collection[str]) -> None:
        """Find out whether each route that has a limit of its own exists.

        Raises:
            SettingsError: If one does not.
        """
        for route in self.by_route:
            if route not in routes:
                raise SettingsError(
                    f"CREDIT_RATE_LIMITS names the route '{route}', which does not exist.{nearest(route, routes)} "
                    f"Write a route like 'POST /v1/decisions'."
                )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit after one more request: ``used`` counts it, ``reset_s`` is until the window ends."""

    limit: RateLimit
    used: int
    reset_s: float

    @property
    def is_exceeded(self) -> bool:
        """Whether this request was one too many."""
        return self.used > self.limit.most

    def headers(self) -> dict[str, str]:
        """Return the response headers that tell it, in whole seconds."""
        return {
            "RateLimit-Limit": str(self.limit.most),
            "RateLimit-Remaining": str(max(0, self.limit.most - self.used)),
            "RateLimit-Reset": str(ceil(self.reset_s)),
            "RateLimit-Policy": self.limit.policy,
        }
