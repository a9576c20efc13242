"""Which cores the server and the load tool may use: one each, when there are two and the system lets us say so."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Cores of the server's processes and of the load tool; None leaves it to the system."""

    server: frozenset[int] | None
    load: frozenset[int] | None

    @property
    def told(self) -> str:
        """What to tell about it."""
        if self.server is None:
            return "not pinned"
        return f"server on core {min(self.server)}, load tool on core {min(self.load or {0})}"


ANYWHERE = Cores(None, None)


def one_each() -> Cores:
    """Return a core for the server and another for the load tool, or none where they cannot be had."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return ANYWHERE
    server, load, *_ = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({server}), frozenset({load}))
