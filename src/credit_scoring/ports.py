"""What the inside asks of the outside: protocols that adapters fulfil."""

from datetime import datetime
from typing import Protocol

from credit_scoring.core.roles import Roles


class Clock(Protocol):
    """Tells the time; an argument, so that a run can be repeated."""

    def __call__(self) -> datetime:
        """Return the present moment in UTC."""
        ...


class RoleBook(Protocol):
    """Who holds which role, as rows that are only ever added."""

    def current(self, portfolio: str) -> Roles | None:
        """Return the roles that hold now, or None before the first run."""
        ...

    def seed(self, portfolio: str, roles: Roles) -> Roles:
        """Record the first roles of a portfolio, and return those that hold: an earlier seed wins."""
        ...
