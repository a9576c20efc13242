"""Decides applications: both models score each, one of them answers, and the records come before the answers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from credit_scoring.api.decisions import Decision
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import (
    ApplicationReusedError,
    CreditScoringError,
    IdempotencyKeyReusedError,
    RequestInProgressError,
    UnknownDecisionError,
)
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import ApplicationKey, DecisionRecord
from credit_scoring.ports import Clock, DecisionBook, DecisionObserver
from credit_scoring.usecases.applications import Application, Asked
from credit_scoring.usecases.assignment import Assignment
from credit_scoring.usecases.challenger import budget_s
from credit_scoring.usecases.feature_rows import FeatureRows
from credit_scoring.usecases.turns import Turn
from credit_scoring.usecases.unobserved import Unobserved

Answer = Decision | CreditScoringError


def random_id() -> str:
    """Return an identifier that nobody has used."""
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides applications of one portfolio; everything that varies from run to run is an argument.

    ``assignment`` tells what decides now, and is asked once for all applications that are decided together.
    """

    assignment: Callable[[], Assignment]
    features: FeatureRows
    decisions: DecisionBook
    clock: Clock = utc_now
    new_id: Callable[[], str] = random_id
    observer: DecisionObserver = field(default_factory=Unobserved)
    challenger_budget_s: Callable[[int], float] = budget_s

    def decide(self, application: Application) -> Decision:
        """Return the decision on one application, as ``decide_many`` does.

        Raises:
            CreditScoringError: What ``decide_many`` returns in its place.
        """
        [answer] = self.decide_many([application])
        if isinstance(answer, CreditScoringError):
            raise answer
        return answer

    def decide_many(self, applications: Sequence[Application]) -> list[Answer]:
        """Return the decision on each application, durable by then, or the error that kept it from being decided.

        A repeated application gets its first answer, also within ``applications``. One that cannot be decided harms
        no other: ``ApplicationReusedError`` and ``IdempotencyKeyReusedError`` (another body came first),
        ``InvalidApplicationError`` (``as_of`` lies in the future), ``UnknownApplicantError`` (no facts came and none
        are stored), ``ScoringError`` (the champion gives no finite score).

        Raises:
            RecordsError: If the database cannot be read or written; nothing was decided then.
        """
        assignment = self.assignment()
        asked = [Asked.of(application, assignment.portfolio.name) for application in applications]
        with self.observer.stage("held"):
            held = self.decisions.held([one.key for one in asked])
        firsts = _firsts(asked)
        new = [place for place, record in enumerate(held) if record is None and firsts[place] == place]
        decided = dict(zip(new, self._decided([asked[place] for place in new], assignment), strict=True))
        return [
            self._answer(one, asked[firsts[place]], record or decided[firsts[place]], is_new=place in decided)
            for place, (one, record) in enumerate(zip(asked, held, strict=True))
        ]

    def rehearsed(self, applications: Sequence[Application]) -> list[DecisionRecord | CreditScoringError]:
        """Return the records that ``decide_many`` would make of these applications, without adding or counting any."""
        assignment = self.assignment()
        asked = [Asked.of(application, assignment.portfolio.name) for application in applications]
        turn = Turn(assignment, self.features, self.clock(), self.new_id, Unobserved(), self.challenger_budget_s)
        return turn.decided(asked)

    def recorded(self, owner: Owner, decision_id: str) -> DecisionRecord:
        """Return the record of a decision.

        Raises:
            UnknownDecisionError: If there is none under this id.
            RecordsError: If the records cannot be read.
        """
        record = self.decisions.get(owner, decision_id)
        if record is None:
            raise UnknownDecisionError
        return record

    def _decided(self, asked: Sequence[Asked], assignment: Assignment) -> list[DecisionRecord | CreditScoringError]:
        """Decide what nobody decided before; the record that holds is another process's when that was faster."""
        if not asked:
            return []
        turn = Turn(assignment, self.features, self.clock(), self.new_id, self.observer, self.challenger_budget_s)
        found = turn.decided(asked)
        records = [one for one in found if isinstance(one, DecisionRecord)]
        with self.observer.stage("record"):
            holding = self.decisions.add(records) if records else []
        turn.keep_features()
        _observe(
            self.observer, [record.answer for record, held in zip(records, holding, strict=True) if held is record]
        )
        by_place = iter(holding)
        return [next(by_place) if isinstance(one, DecisionRecord) else one for one in found]

    def _answer(
        self, asked: Asked, first: Asked, found: DecisionRecord | CreditScoringError, *, is_new: bool
    ) -> Answer:
        """Return what became of ``asked``, whose application or key ``first`` brought first in this turn."""
        if isinstance(found, CreditScoringError):
            # Another body under a name that was not decided after all: sent again, it is decided by itself.
            return found if asked.digest == first.digest else RequestInProgressError()
        if found.received_digest != asked.digest:
            same = found.answer.application_id == asked.key.application_id
            return ApplicationReusedError() if same else IdempotencyKeyReusedError()
        if not is_new:
            self.observer.repeated()
        return found.answer


def _firsts(asked: Sequence[Asked]) -> list[int]:
    """For each request, the place of the first of the same application or the same key."""
    seen: dict[tuple[Owner, str, str], int] = {}
    return [
        min(seen.setdefault((one.key.owner, *name), place) for name in _names(one.key))
        for place, one in enumerate(asked)
    ]


def _names(key: ApplicationKey) -> Mapping[tuple[str, str], None]:
    names = [("application", key.application_id)]
    return dict.fromkeys(names if key.idempotency_key is None else [*names, ("key", key.idempotency_key)])


def _observe(observer: DecisionObserver, new: Sequence[Decision]) -> None:
    for source, count in Counter(answer.features_from for answer in new).items():
        observer.features_from(source, count)
    kinds = Counter((answer.arm, answer.decider, answer.recommendation, answer.fallback) for answer in new)
    for (arm, decider, recommendation, fallback), count in kinds.items():
        observer.decided(count, arm=arm, decider=decider, recommendation=recommendation, fallback=fallback)
