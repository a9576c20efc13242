"""A role book in memory, for tests; it passes the contract of ``RoleBook``."""

import threading
from datetime import datetime

from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import StaleRolesError
from credit_scoring.core.roles import SEEDED, Roles, RolesRow
from credit_scoring.ports import Clock


class InMemoryRoleBook:
    """``RoleBook`` that ends with its process."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._rows: dict[str, list[RolesRow]] = {}
        self._lock = threading.RLock()

    def current(self, portfolio: str) -> RolesRow | None:
        """See ``RoleBook.current``."""
        rows = self._rows.get(portfolio)
        return rows[-1] if rows else None

    def at(self, portfolio: str, moment: datetime) -> RolesRow | None:
        """See ``RoleBook.at``."""
        earlier = (row for row in reversed(self._rows.get(portfolio, [])) if row.recorded_at <= moment)
        return next(earlier, None)

    def row(self, portfolio: str, sequence: int) -> RolesRow | None:
        """See ``RoleBook.row``."""
        return next((row for row in self._rows.get(portfolio, []) if row.sequence == sequence), None)

    def seed(self, portfolio: str, roles: Roles) -> RolesRow:
        """See ``RoleBook.seed``."""
        with self._lock:
            return self.current(portfolio) or self.append(portfolio, 0, roles, SEEDED)

    def append(self, portfolio: str, after: int, roles: Roles, cause: str) -> RolesRow:
        """See ``RoleBook.append``."""
        with self._lock:
            rows = self._rows.setdefault(portfolio, [])
            if len(rows) != after:
                raise StaleRolesError(portfolio)
            rows.append(RolesRow(sequence=after + 1, recorded_at=self._clock(), cause=cause, roles=roles))
            return rows[-1]
