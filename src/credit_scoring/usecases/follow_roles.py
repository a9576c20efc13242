"""Follows the roles: what decides is swapped as a whole, without a restart, when a new row is in the history."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from credit_scoring.core.errors import BundleError, CreditScoringError, RegistryError
from credit_scoring.core.roles import ROLES, BundleRef, Roles, RolesRow, model_name
from credit_scoring.core.routing import strategy_of
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.ports import RoleBook
from credit_scoring.usecases.assignment import Assignment, RoleModel

LOOK_EVERY_S = 1.0
"""How often each process looks for new roles; it follows within this and the time to load a bundle."""

logger = logging.getLogger(__name__)

BundleOf = Callable[[BundleRef], ModelBundle]


@dataclass(frozen=True, slots=True)
class Swap:
    """What became of a row: its sequence, the version in each role, and the code of the error that kept it out."""

    sequence: int
    versions: Mapping[str, int] = field(default_factory=dict)
    failure: str | None = None


def assigned(row: RolesRow, bundle_of: BundleOf) -> Assignment:
    """Return what decides by a row of the roles' history.

    Raises:
        BundleError: If a bundle is not what the row calls it; also what ``bundle_of`` raises.
    """
    holders = {role: row.roles.holder(role) for role in ROLES}
    models = {role: RoleModel(ref, bundle_of(ref)) for role, ref in holders.items()}
    for model in models.values():
        _require_same(model, row.sequence)
    return Assignment(row.sequence, models, strategy_of(row.roles.experiment))


def _require_same(model: RoleModel, sequence: int) -> None:
    """Refuse a row that gives a bundle another name: records would tell of a model that never decided."""
    made = model_name(model.bundle.portfolio.name), model.bundle.classifier.algorithm
    if (model.ref.model, model.ref.algorithm) != made:
        raise BundleError(
            f"Row {sequence} of the roles calls a bundle '{model.ref.model}' ({model.ref.algorithm}), but its digest "
            f"is that of '{made[0]}' ({made[1]}). Record the roles again, with the bundle as it is registered."
        )


class RolesFollower:
    """What decides now, after the newest row whose bundles can be used here."""

    def __init__(
        self,
        portfolio: str,
        book: RoleBook,
        bundle_of: BundleOf,
        told: Callable[[Swap], None] = lambda _swap: None,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._portfolio, self._book, self._bundle_of, self._told = portfolio, book, bundle_of, told
        self._look_every_s = look_every_s
        self._current: Assignment | None = None
        self._loading: _Loading | None = None
        self._complaint = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="roles", daemon=True)

    def open(self, first: Roles) -> None:
        """Take up the roles that hold, which are ``first`` where the history is empty, and follow them from then on.

        Raises:
            BundleError: If a bundle in role cannot be used here.
            RegistryError: If one has to be fetched and is not given.
            RecordsError: If the history cannot be read or begun.
        """
        self._current = assigned(self._book.seed(self._portfolio, first), self._bundle_of)
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
        """Take up the newest row if it is new; when that fails, what decides stays, and the next look tries again.

        Loading that takes longer than a look goes on beside the next ones, so that a row that comes meanwhile, such
        as one that takes the slow one back, is followed at once.
        """
        try:
            row = self._book.current(self._portfolio)
        except CreditScoringError as exc:
            self._complain(f"roles_unread code={exc.code}", exc)
            return
        if row is None or row.sequence == self.assignment().sequence:
            self._loading, self._complaint = None, ""
            return
        if self._loading is None or self._loading.row.sequence != row.sequence:
            self._loading = _Loading.of(row, self._bundle_of)
        if self._loading.is_done(within_s=self._look_every_s):
            loaded, self._loading = self._loading, None
            self._take_up(loaded)

    def _take_up(self, loaded: "_Loading") -> None:
        sequence = loaded.row.sequence
        try:
            self._current = loaded.result()
        except CreditScoringError as exc:
            if self._complain(f"roles_not_swapped sequence={sequence} code={exc.code}", exc):
                self._told(Swap(sequence, failure=exc.code))
            return
        self._complaint = ""
        logger.info("roles_swapped sequence=%d", sequence)
        self._told(Swap(sequence, self._current.versions))

    def _complain(self, complaint: str, exc: CreditScoringError) -> bool:
        """Log a complaint unless it is the same as at the last look; return whether it is new."""
        if self._complaint == complaint:
            return False
        self._complaint = complaint
        logger.critical("%s: %s", complaint, exc)
        return True

    def _follow(self) -> None:
        try:
            while not self._stop.wait(self._look_every_s):
                self.look()
        finally:
            if not self._stop.is_set():  # an error that is none of ours ends the thread, and readiness says so
                logger.critical("roles_not_followed portfolio=%s: restart the service", self._portfolio)


@dataclass(frozen=True, slots=True)
class _Loading:
    """The bundles of a row on their way, on a thread of their own."""

    row: RolesRow
    _found: "Future[Assignment]"

    @classmethod
    def of(cls, row: RolesRow, bundle_of: BundleOf) -> "_Loading":
        found: Future[Assignment] = Future()

        def load() -> None:
            try:
                found.set_result(assigned(row, bundle_of))
            except BaseException as exc:  # noqa: BLE001 - told to the thread that follows, which ends by it
                found.set_exception(exc)

        threading.Thread(target=load, name="roles-loading", daemon=True).start()
        return cls(row, found)

    def is_done(self, within_s: float) -> bool:
        try:
            self._found.exception(within_s)
        except TimeoutError:
            return False
        return True

    def result(self) -> Assignment:
        return self._found.result()
