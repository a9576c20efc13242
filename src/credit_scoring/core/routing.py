"""Which model decides an application; a pure function of the applicant and a salt."""

from dataclasses import dataclass
from typing import Protocol

from credit_scoring.core.hashing import salted_draw
from credit_scoring.core.roles import Experiment, Role


@dataclass(frozen=True, slots=True)
class Route:
    """The arm an applicant is in, and the probability with which an applicant falls into it."""

    arm: Role
    arm_probability: float


class RoutingStrategy(Protocol):
    """Chooses an arm; deterministic in ``applicant_id``."""

    def route(self, applicant_id: str) -> Route:
        """Return the same route for the same applicant, in every process and on every day."""
        ...


@dataclass(frozen=True, slots=True)
class StickySplit:
    """The challenger decides a fixed share of applicants; widening the share moves nobody back."""

    experiment: Experiment

    def route(self, applicant_id: str) -> Route:
        """Return the challenger's arm when the applicant's draw falls below its share."""
        share = self.experiment.challenger_share
        if salted_draw("experiment", self.experiment.salt, applicant_id) < share:
            return Route("challenger", share)
        return Route("champion", 1 - share)
