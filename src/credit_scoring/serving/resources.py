"""What routes work with, put together once by ``bootstrap``."""

from collections.abc import Callable
from dataclasses import dataclass

from credit_scoring.core.callers import Caller
from credit_scoring.core.model_cards import LoadedModel
from credit_scoring.core.owners import Owner
from credit_scoring.ports import Clock, DecisionBook, EventInbox, PushedApplicants, RoleBook, TimedFactsStore
from credit_scoring.serving.admission import Guard
from credit_scoring.serving.decision_queue import DecisionQueue
from credit_scoring.usecases.assignment import Assignment
from credit_scoring.usecases.idempotency import RepeatedRequests
from credit_scoring.usecases.replay_decisions import Replayer


@dataclass(frozen=True, slots=True)
class Resources:
    """What routes work with; ``assignment`` tells what decides now."""

    portfolio: str
    assignment: Callable[[], Assignment]
    guard: Guard
    queue: DecisionQueue
    decisions: DecisionBook
    roles: RoleBook
    clock: Clock
    replayer: Replayer
    applicants: PushedApplicants
    inbox: EventInbox
    timed_facts: TimedFactsStore
    repeated: RepeatedRequests
    loaded_models: Callable[[], list[LoadedModel]]
    is_ready: Callable[[], bool]
    metrics: Callable[[], tuple[bytes, str]]

    def owner(self, caller: Caller) -> Owner:
        """Return whose rows the caller may see."""
        return Owner(caller.tenant, self.portfolio)
