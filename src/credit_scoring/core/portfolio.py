"""The declaration of a portfolio, typed: tables, outcome, features, reasons, scale and policy."""

from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, WithJsonSchema, field_validator

from credit_scoring.core.features.declared import Declared, FeatureDeclaration

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""A word of the portfolio's vocabulary: lower case, digits and underscores."""

LARGEST_EXACT_INTEGER = 2**53
"""Beyond this a JSON number no longer names one integer, so no declared number may be larger."""


_CATEGORIES = {
    "anyOf": [
        {"type": "array", "items": {"type": ["string", "integer"]}},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ]
}
"""What may be written for a category's values, for editors."""


class Column(Declared):
    """One column of a table.

    ``source`` is its name in the received file (default: the same name); ``values`` lists the allowed
    categories, either as they are or as ``{received code: readable category}``. Without ``min`` and
    ``max`` a number may be anything whose magnitude is at most 2**53.
    """

    type: Literal["integer", "number", "category"]
    source: str | None = None
    min: float | None = None
    max: float | None = None
    values: Annotated[dict[str, str] | None, WithJsonSchema(_CATEGORIES)] = None
    nullable: bool = False
    protected: bool = False
    after_outcome: bool = False
    unit: str | None = None
    description: str = ""
    example: float | str | None = None

    @field_validator("values", mode="before")
    @classmethod
    def _codes_as_text(cls, values: object) -> object:
        """Read a list as categories that are received under their own name, and codes as text."""
        if isinstance(values, list):
            return {str(value): str(value) for value in values}
        if isinstance(values, dict):
            return {str(code): category for code, category in values.items()}
        return values

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value that a number of this column may have."""
        limit = float(LARGEST_EXACT_INTEGER)
        return (-limit if self.min is None else self.min, limit if self.max is None else self.max)

    @property
    def categories(self) -> tuple[str, ...]:
        """Readable categories in declared order; a category's position is its number in a feature."""
        return tuple(dict.fromkeys((self.values or {}).values()))


class ApplicantsTable(Declared):
    """The table with one row per applicant; ``key`` is the received column that names the applicant."""

    key: str
    columns: dict[Name, Column]


class WideMonths(Declared):
    """Events that arrive as columns of the applicants table: one set of columns per moment."""

    at: dict[date, dict[Name, str]] = Field(min_length=1)


class EventsTable(Declared):
    """A table with any number of rows per applicant, each with the moment at which it occurred."""

    columns: dict[Name, Column] = Field(min_length=1)
    from_wide: WideMonths
    description: str = ""


class AsOf(Declared):
    """The moment up to which facts may be used, truncated to ``granularity``; the clock if not constant."""

    constant: date | None = None
    granularity: Literal["day", "hour", "second"] = "day"

    def moment(self, requested: datetime | None, now: datetime) -> datetime:
        """Return the decision's ``as_of`` in UTC: the requested one, the constant, or ``now``."""
        if requested is not None:
            moment = requested.astimezone(UTC)
        elif self.constant is not None:
            moment = datetime.combine(self.constant, time(), UTC)
        else:
            moment = now.astimezone(UTC)
        if self.granularity == "day":
            return moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.granularity == "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        return moment.replace(microsecond=0)


class Outcome(Declared):
    """What happened in the performance window after ``as_of``, and which values are bad and good."""

    column: Name
    bad: tuple[int | str, ...] = Field(min_length=1)
    good: tuple[int | str, ...] = Field(min_length=1)
    window_days: int = Field(gt=0)


class Split(Declared):
    """Shares of applicants per part, drawn by salted hash of the applicant."""

    salt: str = Field(min_length=1)
    development: float = Field(gt=0, lt=1)
    holdout: float = Field(gt=0, lt=1)
    stream: float = Field(ge=0, lt=1)


class Reason(Declared):
    """A reason code's wording, when a value is known and when it is missing."""

    text: str
    missing_text: str | None = None


class Scale(Declared):
    """Points: ``points`` at ``odds`` good to one bad; every ``points_to_double_odds`` doubles the odds."""

    points: float = 600
    odds: float = Field(default=30, gt=0)
    points_to_double_odds: float = Field(default=20, gt=0)
    min: int = 300
    max: int = 850


class Band(Declared):
    """A named range of points, from ``from_points`` up to the next band."""

    name: str
    from_points: int


class Policy(Declared):
    """Points to recommendation and band; ``reference_size`` applicants just above ``approve_from`` anchor reasons."""

    version: str
    approve_from: int
    refer_from: int
    bands: tuple[Band, ...] = Field(min_length=1)
    max_reasons: int = Field(default=4, ge=1, le=10)
    reference_size: int = Field(default=1000, ge=50)


class Portfolio(Declared):
    """A whole declaration. References between its parts are checked by ``declaration_problems``."""

    name: Name
    title: str
    description: str = ""
    citation: str = ""
    as_of: AsOf
    applicants: ApplicantsTable
    events: dict[Name, EventsTable] = Field(default_factory=dict)
    outcome: Outcome
    split: Split
    features: dict[Name, FeatureDeclaration] = Field(min_length=1)
    reasons: dict[str, Reason]
    scale: Scale = Scale()
    policy: Policy

    @cached_property
    def application_columns(self) -> dict[str, Column]:
        """Columns of the applicants table that are known at the decision and may be used in it."""
        return {
            name: column
            for name, column in self.applicants.columns.items()
            if not (column.protected or column.after_outcome)
        }

    @cached_property
    def protected_columns(self) -> dict[str, Column]:
        """Columns kept for fairness measurement only."""
        return {name: column for name, column in self.applicants.columns.items() if column.protected}
