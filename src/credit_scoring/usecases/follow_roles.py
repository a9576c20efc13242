"""Follows the roles: what decides is swapped as a whole, without a restart, when a new row is in the history."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from credit_scoring.core.errors import CreditScoringError, RecordsError, RegistryError
from credit_scoring.core.roles import ROLES, BundleRef, Roles, RolesRow
from credit_scoring.core.routing import strategy_of
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.ports import RoleBook
from credit_scoring.usecases.assignment import Assignment, RoleModel

LOOK_EVERY_S = 1.0
"""How often each process looks for new roles; it follows within this and the time to load a bundle."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swap:
    """What became of a new row: its sequence, and the code of the error that kept the old one, if any."""

    sequence: int
    failure: str | None = None


class RolesFollower:
    """What decides now, after the newest row whose bundles can be used here."""

    def __init__(
        self,
        portfolio: str,
        book: RoleBook,
        bundle_of: Callable[[BundleRef], ModelBundle],
        told: Callable[[Swap], None] = lambda _swap: None,
    ) -> None:
        self._portfolio = portfolio
        self._book = book
        self._bundle_of = bundle_of
        self._told = told
        self._current: Assignment | None = None
        self._failed: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="roles", daemon=True)

    def open(self, first: Roles) -> None:
        """Take up the roles that hold, which are ``first`` where the history is empty, and follow them from then on.

        Raises:
            BundleError: If a bundle in role cannot be used here.
            RegistryError: If one has to be fetched and is not given.
            RecordsError: If the history cannot be read or begun.
        """
        self._current = self._assigned(self._book.seed(self._portfolio, first))
        self._thread.start()

    def close(self) -> None:
        """Follow no more."""
        self._stop.set()

    @property
    def is_following(self) -> bool:
        """Whether new roles would be seen."""
        return self._thread.is_alive()

    def assignment(self) -> Assignment:
        """Return what decides now."""
        if self._current is None:
            raise RegistryError(f"The roles of '{self._portfolio}' were not taken up yet. Open the follower first.")
        return self._current

    def look(self) -> None:
        """Take up the newest row if it is new; when that fails, what decides stays, and the next look tries again."""
        try:
            row = self._book.current(self._portfolio)
        except RecordsError as exc:
            logger.warning("roles_unread: %s", exc)
            return
        if row is None or row.sequence == self.assignment().sequence:
            return
        try:
            self._current = self._assigned(row)
        except CreditScoringError as exc:
            self._tell_failure(row, exc)
        else:
            logger.info("roles_swapped sequence=%d", row.sequence)
            self._told(Swap(row.sequence))

    def _tell_failure(self, row: RolesRow, exc: CreditScoringError) -> None:
        if self._failed == row.sequence:  # once a row: it is tried every second
            return
        self._failed = row.sequence
        logger.critical("roles_not_swapped sequence=%d code=%s: %s", row.sequence, exc.code, exc)
        self._told(Swap(row.sequence, exc.code))

    def _assigned(self, row: RolesRow) -> Assignment:
        holders = {role: row.roles.holder(role) for role in ROLES}
        models = {role: RoleModel(ref, self._bundle_of(ref)) for role, ref in holders.items()}
        return Assignment(row.sequence, models, strategy_of(row.roles.experiment))

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self.look()
