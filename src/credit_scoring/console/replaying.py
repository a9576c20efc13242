"""Computes recorded decisions again and lists what differs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from credit_scoring.adapters.bento_package import MANIFEST, STAGE, read_package
from credit_scoring.adapters.bundle_shelf import BundleShelf
from credit_scoring.adapters.database.audit import AuditRepository, Selection
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.registry_fetch import fetched_from_registry
from credit_scoring.api.replays import Replay
from credit_scoring.console.audit import Progress, audited_database, printable
from credit_scoring.core.audit import Chained
from credit_scoring.core.bundles import from_files
from credit_scoring.core.errors import CreditScoringError, UnknownDecisionError
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scoring import SCORER_VERSIONS, ModelBundle
from credit_scoring.serving.received_bodies import ReceivedBodies
from credit_scoring.usecases.replay_decisions import Replayer

_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Which decisions, and how they are shown: ``values`` are an applicant's, ``as_json`` shows all of every replay."""

    selection: Selection
    values: bool = False
    as_json: bool = False


@dataclass(slots=True)
class _Found:
    """What came out so far."""

    options: ReplayOptions
    tell: Callable[[str], None]
    done: int = 0
    exact: int = 0
    near: int = 0
    bad: int = 0
    not_checked: Counter[str] = field(default_factory=Counter)

    def take(self, chained: Chained, found: Replay | CreditScoringError) -> None:
        """Count one decision; tell it when it differs."""
        self.done += 1
        if isinstance(found, Replay):
            self.not_checked.update(one.name.partition(".")[0] for one in found.not_checked)
            if self.options.as_json:
                self.tell(found.model_dump_json())
            if found.matches and found.link_valid:
                self.exact += found.exact
                self.near += not found.exact
                return
        self.bad += 1
        if self.bad <= _MOST_SHOWN and not (self.options.as_json and isinstance(found, Replay)):
            self.tell(printable(f"Decision {chained.entry.decision_id}: {self._told(found)}."))

    def _told(self, found: Replay | CreditScoringError) -> str:
        if isinstance(found, CreditScoringError):
            return f"not replayed: {str(found).removesuffix('.')}"
        told = [one.name for one in found.differences]
        if self.options.values:
            told = [f"{one.name} (recorded {one.recorded}, now {one.recomputed})" for one in found.differences]
        parts = [f"differs in {', '.join(told)}"] if told else []
        if not found.link_valid:
            parts.append("does not fit its chain, see 'credit-scoring audit verify'")
        return "; ".join(parts)

    def summary(self) -> str:
        """Return what came out, in one line."""
        told = [f"{self.exact:,} of {self.done:,} decisions came out bit for bit"]
        if self.near:
            kept = " and ".join(SCORER_VERSIONS)
            told.append(f"{self.near:,} of scorer versions other than {kept} within 1e-6 and 1 point")
        if self.bad:
            more = f" ({_MOST_SHOWN} are shown)" if self.bad > _MOST_SHOWN and not self.options.as_json else ""
            told.append(f"{self.bad:,} did not{more}")
        if self.not_checked:
            names = ", ".join(f"{name} of {count:,}" for name, count in sorted(self.not_checked.items()))
            told.append(f"not checked, as the records cannot tell: {names}")
        return "; ".join(told) + "."


def replay_recorded(options: ReplayOptions, tell: Callable[[str], None], progress: Callable[[str], None]) -> bool:
    """Replay the selected decisions and tell which differ; return whether none does.

    Raises:
        AuditError: If there is no database.
        BundleError: If what is staged in ``build/bento`` is damaged.
        RecordsError: If the records cannot be read.
        UnknownDecisionError: If the one that was asked for is not on record.
    """
    found = _Found(options, tell)
    with audited_database() as engine:
        records = AuditRepository(engine)
        replayer = Replayer(records, RoleRepository(engine), _bundles(), ReceivedBodies().read)
        told = Progress("Replayed", progress, total=records.count(options.selection))
        for page in records.pages(options.selection):
            for chained, replay in zip(page, replayer.replay_many(page), strict=True):
                found.take(chained, replay)
            told.at(found.done)
    if options.selection.decision_id is not None and not found.done:
        raise UnknownDecisionError
    (progress if options.as_json else tell)(found.summary())
    return not found.bad


def _bundles() -> Callable[[BundleRef], ModelBundle]:
    """Give bundles of the package that is staged here, if any, else those of the registry."""
    if (STAGE / MANIFEST).exists():
        return BundleShelf(read_package(STAGE), fetched_from_registry).get
    fetched: dict[str, ModelBundle | CreditScoringError] = {}

    def bundle_of(ref: BundleRef) -> ModelBundle:
        if ref.digest not in fetched:
            fetched[ref.digest] = _fetched(ref)
        found = fetched[ref.digest]
        if isinstance(found, CreditScoringError):
            raise found
        return found

    return bundle_of


def _fetched(ref: BundleRef) -> ModelBundle | CreditScoringError:
    try:
        return from_files(fetched_from_registry(ref).files, f"version {ref.version} of '{ref.model}'")
    except CreditScoringError as exc:
        return exc
