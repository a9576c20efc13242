"""The kinds of features that a declaration can name."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Declared(BaseModel):
    """Base of everything that is declared: unknown keys are refused, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Condition(Declared):
    """Holds for an event's value when every bound that is given holds; never for a missing value."""

    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[float | str, ...] | None = None


class Ratio(Declared):
    """``of`` divided by ``to``; missing when either is missing or ``to`` is not above zero."""

    of: str
    to: str


class Difference(Declared):
    """``of`` less ``minus``; missing when either is missing."""

    of: str
    minus: str


class Window(Declared):
    """One aggregate over the applicant's events strictly before ``as_of``.

    The newest ``skip`` events are passed over, then the ``last`` newest are taken (all without ``last``);
    events that fail ``where`` are left out, except for ``share``, which is the share of events that meet it.
    Missing values take no part. Missing when no event is left (``count``: when the applicant has no event
    before ``as_of`` at all). ``trend`` is the least-squares slope per 30 days; missing below two distinct times,
    which are told apart by the second.
    """

    table: str
    aggregate: Literal["count", "sum", "mean", "min", "max", "last", "trend", "share"]
    column: str | None = None
    last: int | None = Field(default=None, ge=1)
    skip: int = Field(default=0, ge=0)
    where: dict[str, Condition] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _column_fits_the_aggregate(self) -> "Window":
        needs_column = self.aggregate not in ("count", "share")
        if needs_column and self.column is None:
            raise ValueError(f"the aggregate '{self.aggregate}' needs 'column'")
        if not needs_column and self.column is not None:
            raise ValueError(f"the aggregate '{self.aggregate}' takes no 'column'")
        if self.aggregate == "share" and not self.where:
            raise ValueError("the aggregate 'share' needs 'where', the condition whose share it is")
        return self


class TimeSince(Declared):
    """Days (or 30-day months) from the newest event that meets ``where`` to ``as_of``; missing when there is none."""

    table: str
    where: dict[str, Condition] = Field(default_factory=dict)
    unit: Literal["days", "months"] = "days"


class FeatureDeclaration(Declared):
    """One feature: exactly one kind, the direction of its risk, and the reason it gives.

    ``higher_is`` binds both models: a higher value never lowers (``riskier``) or never raises (``safer``)
    the estimated risk. ``special`` names values that are states of their own rather than amounts; they
    get their own bin and stand outside the direction. A feature with ``scored: false`` only serves others.
    """

    column: str | None = None
    ratio: Ratio | None = None
    difference: Difference | None = None
    window: Window | None = None
    time_since: TimeSince | None = None
    higher_is: Literal["riskier", "safer"] | None = None
    special: dict[float, str] = Field(default_factory=dict)
    scored: bool = True
    reason: str | None = None
    unit: str | None = None
    description: str = ""

    @model_validator(mode="after")
    def _exactly_one_kind(self) -> "FeatureDeclaration":
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}; it has {', '.join(given) or 'none'}")
        if self.scored and self.reason is None:
            raise ValueError("needs 'reason', the code given when it costs points (or 'scored: false')")
        return self

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of columns of the applicants table, or of other features, that it is made of."""
        if self.column is not None:
            return (self.column,)
        if self.ratio is not None:
            return (self.ratio.of, self.ratio.to)
        if self.difference is not None:
            return (self.difference.of, self.difference.minus)
        return ()


KINDS = ("column", "ratio", "difference", "window", "time_since")
