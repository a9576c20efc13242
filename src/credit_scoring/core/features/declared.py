"""The kinds of features that a declaration can name."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator


class Declared(BaseModel):
    """Base of everything that is declared: unknown keys are refused, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Condition(Declared):
    """Holds for a value when every bound that is given holds; never for a missing value."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    one_of: tuple[float | str, ...] | None = Field(default=None, min_length=1)

    @property
    def bounded(self) -> bool:
        """Whether it compares numbers."""
        return any(bound is not None for bound in (self.at_least, self.at_most, self.above, self.below))


class Ratio(Declared):
    """``of`` divided by ``to``; missing when either is missing or ``to`` is not above zero."""

    of: str
    to: str


class Difference(Declared):
    """``of`` less ``minus``; missing when either is missing."""

    of: str
    minus: str


Aggregate = Literal["count", "sum", "mean", "min", "max", "last", "trend", "share"]

WITHOUT_COLUMN = ("count", "share")
"""Aggregates of events rather than of a value of theirs."""


class Window(Declared):
    """One aggregate over the applicant's events that occurred, and were known, strictly before ``as_of``.

    The newest ``skip`` events are passed over, then the ``last`` newest are taken (all without ``last``), and of
    these the ones that occurred at most ``days`` days before ``as_of`` (without ``days``, at any time). Events
    that fail ``where`` are left out, except for ``share``, which is the share of events that meet it.
    Missing values take no part. Missing when no event is left (``count``: when the applicant has no event
    before ``as_of`` at all). ``trend`` is the least-squares slope per 30 days; missing below two distinct times,
    which are told apart by the second.
    """

    table: str
    aggregate: Aggregate
    column: str | None = None
    last: int | None = Field(default=None, ge=1)
    days: int | None = Field(default=None, ge=1)
    skip: int = Field(default=0, ge=0)
    where: dict[str, Condition] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _column_fits_the_aggregate(self) -> "Window":
        needs_column = self.aggregate not in WITHOUT_COLUMN
        if needs_column and self.column is None:
            raise ValueError(f"the aggregate '{self.aggregate}' needs 'column'")
        if not needs_column and self.column is not None:
            raise ValueError(f"the aggregate '{self.aggregate}' takes no 'column'")
        if self.aggregate == "share" and not self.where:
            raise ValueError("the aggregate 'share' needs 'where', the condition whose share it is")
        return self


class WindowFamily(Declared):
    """Several windows over one table at once: every aggregate, of every column, over every period.

    A family ``spend`` makes features such as ``spend_sum_30d``, ``spend_mean_last3`` (or ``spend_amount_sum_30d``
    when it has several columns; ``spend_sum`` over all events when it names no period).
    """

    table: str
    aggregates: tuple[Aggregate, ...] = Field(min_length=1)
    columns: tuple[str, ...] = ()
    last: tuple[int, ...] = ()
    days: tuple[int, ...] = ()
    where: dict[str, Condition] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _columns_fit_the_aggregates(self) -> "WindowFamily":
        needing = [aggregate for aggregate in self.aggregates if aggregate not in WITHOUT_COLUMN]
        if bool(needing) != bool(self.columns):
            told = f"'{needing[0]}' needs 'columns'" if needing else "'count' and 'share' take no 'columns'"
            raise ValueError(told)
        if "share" in self.aggregates and not self.where:
            raise ValueError("the aggregate 'share' needs 'where', the condition whose share it is")
        return self

    def members(self, name: str) -> dict[str, Window]:
        """Return the windows of family ``name`` by feature name, in declared order."""
        periods: dict[str, dict[str, int]] = {f"_last{last}": {"last": last} for last in self.last}
        periods |= {f"_{days}d": {"days": days} for days in self.days}
        found = {}
        for aggregate in self.aggregates:
            columns = (None,) if aggregate in WITHOUT_COLUMN else self.columns
            for column in columns:
                of = f"_{column}" if column is not None and len(self.columns) > 1 else ""
                for suffix, period in (periods or {"": {}}).items():
                    window = Window(table=self.table, aggregate=aggregate, column=column, where=self.where, **period)
                    found[f"{name}{of}_{aggregate}{suffix}"] = window
        return found


class TimeSince(Declared):
    """Days (or 30-day months) to ``as_of``, from the newest event of ``table`` that meets ``where`` or from a date.

    ``column`` names a date of the applicants table. Missing when there is no such event before ``as_of``, or the
    date is missing or not before ``as_of``.
    """

    table: str | None = None
    column: str | None = None
    where: dict[str, Condition] = Field(default_factory=dict)
    unit: Literal["days", "months"] = "days"

    @model_validator(mode="after")
    def _table_or_column(self) -> "TimeSince":
        if (self.table is None) == (self.column is None):
            raise ValueError("needs either 'table', whose newest event is meant, or 'column', a date")
        if self.column is not None and self.where:
            raise ValueError("takes 'where' with 'table' only; a date column has one value")
        return self


class PythonFunction(Declared):
    """A function of the portfolio's ``features.py`` that is named like the feature.

    ``reads`` are its arguments: columns of the applicants table, or other features. ``source`` is the SHA-256 of
    the source of the file that holds it, so that a model never reads another function than it was fitted on.
    Both are filled in when the declaration is read; it says ``python: true``.
    """

    reads: tuple[str, ...] = Field(min_length=1)
    source: str


class FeatureDeclaration(Declared):
    """One feature: exactly one kind, the direction of its risk, and the reason it gives.

    ``higher_is`` binds both models: a higher value never lowers (``riskier``) or never raises (``safer``)
    the estimated risk. ``special`` names values that are states of their own rather than amounts; they
    get their own bin and stand outside the direction; a feature that is a column has the column's. A feature with
    ``scored: false`` only serves others. Without ``reason`` the code is the feature's own name in capitals.
    """

    column: str | None = None
    ratio: Ratio | None = None
    difference: Difference | None = None
    window: Window | None = None
    windows: WindowFamily | None = None
    time_since: TimeSince | None = None
    python: Annotated[PythonFunction | None, WithJsonSchema({"const": True})] = None
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
        return self

    @field_validator("python", mode="before")
    @classmethod
    def _found_function(cls, python: Any) -> Any:
        if isinstance(python, bool):
            raise ValueError("needs a function of this name in 'features.py' beside the declaration")  # noqa: TRY004 - for Pydantic
        return python

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of columns of the applicants table, or of other features, that it is made of."""
        if self.column is not None:
            return (self.column,)
        if self.ratio is not None:
            return (self.ratio.of, self.ratio.to)
        if self.difference is not None:
            return (self.difference.of, self.difference.minus)
        if self.time_since is not None and self.time_since.column is not None:
            return (self.time_since.column,)
        return self.python.reads if self.python is not None else ()

    @property
    def reading(self) -> Window | TimeSince | None:
        """What it reads from an event table; None when it is made of its row alone."""
        if self.time_since is not None and self.time_since.table is not None:
            return self.time_since
        return self.window


KINDS = ("column", "ratio", "difference", "window", "windows", "time_since", "python")
