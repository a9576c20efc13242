"""What decides at this moment: a bundle in each role, and how applicants are parted between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from credit_scoring.api.decisions import Role
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.routing import RoutingStrategy
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.usecases.challenger import ChallengerThread


@dataclass(frozen=True)
class RoleModel:
    """A registered bundle in a role."""

    ref: BundleRef
    bundle: ModelBundle

    @cached_property
    def named(self) -> Mapping[str, Any]:
        """What names the model in every record of what it said."""
        return self.ref.model_dump() | {"feature_set": self.bundle.plan.version}


@dataclass(frozen=True, slots=True)
class Assignment:
    """Both models and the routing as one row of the roles' history gives them; swapped as a whole.

    ``sequence`` is that row's. The challenger's thread is this assignment's own: a challenger that hangs holds up
    nobody who comes after it.
    """

    sequence: int
    models: Mapping[Role, RoleModel]
    routing: RoutingStrategy
    challenger_thread: ChallengerThread = field(default_factory=ChallengerThread)

    @property
    def portfolio(self) -> Portfolio:
        """The champion's declaration, by which moments are truncated."""
        return self.models["champion"].bundle.portfolio

    @property
    def versions(self) -> dict[str, int]:
        """The version in each role."""
        return {role: model.ref.version for role, model in self.models.items()}
