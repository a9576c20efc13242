"""Who is champion and who is challenger, and the experiment that parts their traffic."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["champion", "challenger"]
ROLES: tuple[Role, Role] = ("champion", "challenger")


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


class Experiment(_Frozen):
    """How traffic is parted; applicants are drawn by hash with ``salt``, so the same salt parts them the same."""

    id: str = Field(min_length=1)
    salt: str = Field(min_length=1)
    challenger_share: float = Field(ge=0, le=1)


class Roles(_Frozen):
    """Both roles and the experiment between them, as they hold together."""

    champion: BundleRef
    challenger: BundleRef
    experiment: Experiment

    def holder(self, role: Role) -> BundleRef:
        """Return the bundle that holds ``role``."""
        return self.champion if role == "champion" else self.challenger
