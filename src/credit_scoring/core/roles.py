"""Who is champion and who is challenger, and the experiment that parts their traffic."""

from datetime import date, datetime
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from credit_scoring.api.decisions import Role

ROLES: tuple[Role, Role] = ("champion", "challenger")
SEEDED = "seed"
"""Cause of a portfolio's first row."""

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
"""A share of applicants; text and true or false are no numbers, whatever they could be read as."""


def _written_day(given: object) -> object:
    if isinstance(given, str | date):
        return given
    raise ValueError("must be a day such as 2026-01-31")  # Pydantic would read a number as seconds since 1970


Day = Annotated[date, BeforeValidator(_written_day)]


def model_name(portfolio: str) -> str:
    """Return the name under which a portfolio's bundles are registered and its Bento is built."""
    return f"credit_scoring_{portfolio}"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BundleRef(_Frozen):
    """A registered bundle: its place in the registry, and the digest that proves it is the one."""

    model: str
    version: int = Field(ge=1)
    algorithm: str
    digest: str


class ChampionOnlyRouting(_Frozen):
    """The champion decides everything, and the challenger is not even scored."""

    strategy: Literal["champion_only"]


class ShadowRouting(_Frozen):
    """The champion decides everything; the challenger is scored and recorded, and never answers."""

    strategy: Literal["shadow"]


class StickySplitRouting(_Frozen):
    """The challenger decides a fixed share of applicants."""

    strategy: Literal["sticky_split"] = "sticky_split"
    challenger_share: Share


class RampStep(_Frozen):
    """The challenger's share from a day on, 0:00 UTC."""

    model_config = ConfigDict(populate_by_name=True)

    starts_on: Day = Field(alias="from")
    challenger_share: Share


class ScheduledRampRouting(_Frozen):
    """The challenger's share grows by the calendar; before the first step it decides nothing."""

    strategy: Literal["scheduled_ramp"]
    steps: tuple[RampStep, ...]

    @model_validator(mode="after")
    def _rises(self) -> "ScheduledRampRouting":
        if not self.steps:
            raise ValueError("'steps' needs at least one step, a day and a share")
        for earlier, later in pairwise(self.steps):
            if later.starts_on <= earlier.starts_on:
                raise ValueError(f"'steps' must be in order of their days, but {later.starts_on} is not later")
            if later.challenger_share < earlier.challenger_share:
                raise ValueError(
                    f"the share may not fall, as it does on {later.starts_on}: applicants would change their arm"
                )
        return self


Routing = Annotated[
    ChampionOnlyRouting | ShadowRouting | StickySplitRouting | ScheduledRampRouting, Field(discriminator="strategy")
]


class FirstRoles(_Frozen):
    """Parameters ``registration``: who gets which role in a portfolio's first run, and the routing between them."""

    champion: str
    challenger: str
    routing: Routing


class Experiment(_Frozen):
    """How traffic is parted; applicants are drawn by hash with ``salt``, so the same salt parts them the same."""

    id: str = Field(min_length=1)
    salt: str = Field(min_length=1)
    routing: Routing

    @model_validator(mode="before")
    @classmethod
    def _of_older_rows(cls, given: Any) -> Any:
        """Read rows that were written when there was one strategy."""
        if isinstance(given, dict) and "challenger_share" in given and "routing" not in given:
            share = {"strategy": "sticky_split", "challenger_share": given["challenger_share"]}
            return {name: value for name, value in given.items() if name != "challenger_share"} | {"routing": share}
        return given


class Roles(_Frozen):
    """Both roles and the experiment between them, as they hold together."""

    champion: BundleRef
    challenger: BundleRef
    experiment: Experiment

    def holder(self, role: Role) -> BundleRef:
        """Return the bundle that holds ``role``."""
        return self.champion if role == "champion" else self.challenger


class RolesRow(_Frozen):
    """A row of a portfolio's history: the roles that hold from ``recorded_at`` until the next row."""

    sequence: int
    recorded_at: datetime
    cause: str
    roles: Roles
