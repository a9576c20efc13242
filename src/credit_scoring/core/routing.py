"""Which model decides an application; a pure function of the applicant, a salt and the day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol

from credit_scoring.api.decisions import Role
from credit_scoring.core.hashing import salted_draw
from credit_scoring.core.roles import (
    ChampionOnlyRouting,
    Experiment,
    RampStep,
    Routing,
    ScheduledRampRouting,
    ShadowRouting,
    StickySplitRouting,
)


@dataclass(frozen=True, slots=True)
class Route:
    """The arm an applicant is in, and the probability with which an applicant falls into it."""

    arm: Role
    arm_probability: float


class RoutingStrategy(Protocol):
    """Chooses an arm; the same for the same applicant and moment in every process."""

    @property
    def scores_challenger(self) -> bool:
        """Whether the challenger is scored at all."""
        ...

    def route(self, applicant_id: str, at: datetime) -> Route:
        """Return the route of an application decided ``at``; a wider share moves nobody back to the champion."""
        ...


@dataclass(frozen=True, slots=True)
class ChampionDecides:
    """The champion decides everything; the challenger is scored in its shadow, or not at all."""

    scores_challenger: bool

    def route(self, applicant_id: str, at: datetime) -> Route:  # noqa: ARG002 - part of the protocol
        """Return the champion's arm."""
        return Route("champion", 1.0)


@dataclass(frozen=True, slots=True)
class StickySplit:
    """The challenger decides a fixed share of applicants, drawn by hash with ``salt``."""

    salt: str
    challenger_share: float
    scores_challenger: bool = True

    def route(self, applicant_id: str, at: datetime) -> Route:  # noqa: ARG002 - part of the protocol
        """Return the challenger's arm when the applicant's draw falls below its share."""
        if salted_draw("experiment", self.salt, applicant_id) < self.challenger_share:
            return Route("challenger", self.challenger_share)
        return Route("champion", 1 - self.challenger_share)


@dataclass(frozen=True, slots=True)
class ScheduledRamp:
    """A sticky split whose share is that of the last step whose day has begun, in UTC."""

    salt: str
    steps: Sequence[RampStep]
    scores_challenger: bool = True

    def route(self, applicant_id: str, at: datetime) -> Route:
        """Return the arm at the share that holds ``at``; draws are those of ``StickySplit``."""
        return StickySplit(self.salt, _step_share(self.steps, at.astimezone(UTC).date())).route(applicant_id, at)


def strategy_of(experiment: Experiment) -> RoutingStrategy:
    """Return the strategy that an experiment declares."""
    routing = experiment.routing
    if isinstance(routing, ChampionOnlyRouting | ShadowRouting):
        return ChampionDecides(scores_challenger=isinstance(routing, ShadowRouting))
    if isinstance(routing, StickySplitRouting):
        return StickySplit(experiment.salt, routing.challenger_share)
    return ScheduledRamp(experiment.salt, routing.steps)


def challenger_share(routing: Routing, day: date) -> float:
    """Return the share of applicants whom the challenger decides on ``day``, in UTC."""
    if isinstance(routing, StickySplitRouting):
        return routing.challenger_share
    return _step_share(routing.steps, day) if isinstance(routing, ScheduledRampRouting) else 0.0


def first_lower_day(held: Routing, given: Routing, today: date) -> date | None:
    """Return the first day from ``today`` on whose share is lower under ``given`` than under ``held``; None if none is.

    From that day on, applicants whom the challenger has decided would go back to the champion.
    """
    days = {today, *(step.starts_on for routing in (held, given) for step in _steps(routing))}
    lower = (day for day in sorted(days) if day >= today and challenger_share(given, day) < challenger_share(held, day))
    return next(lower, None)


def routing_in_words(routing: Routing) -> str:
    """Return a routing as people read it, such as 'sticky_split (challenger 0.1)'."""
    if isinstance(routing, StickySplitRouting):
        return f"{routing.strategy} (challenger {routing.challenger_share:.4g})"
    steps = ", ".join(f"{step.challenger_share:.4g} from {step.starts_on}" for step in _steps(routing))
    return f"{routing.strategy} (challenger {steps})" if steps else routing.strategy


def _steps(routing: Routing) -> Sequence[RampStep]:
    return routing.steps if isinstance(routing, ScheduledRampRouting) else ()


def _step_share(steps: Sequence[RampStep], day: date) -> float:
    return next((step.challenger_share for step in reversed(steps) if step.starts_on <= day), 0.0)
