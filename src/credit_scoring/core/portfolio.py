"""The declaration of a portfolio, typed: tables, outcome, features, reasons, scale and policy."""

from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from credit_scoring.core.features.declared import Condition, Declared, FeatureDeclaration
from credit_scoring.core.features.families import completed_features, default_reasons

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


def _as_tokens(tokens: object) -> object:
    return tuple(str(token) for token in tokens) if isinstance(tokens, list | tuple) else tokens


Tokens = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_tokens),
    WithJsonSchema({"type": "array", "items": {"type": ["string", "number"]}}),
]
"""Texts that stand for a value that is not known, such as NA or -1."""


class Column(Declared):
    """One column of a table.

    ``source`` is its name in the received file (default: the same name); ``values`` lists the allowed
    categories, either as they are or as ``{received code: readable category}``. Without ``min`` and
    ``max`` a number may be anything whose magnitude is at most 2**53. ``missing`` are texts that stand for a value
    that is not known, beside those of the table. ``special`` names codes outside the range that are states of their
    own, different kinds of missing for instance: as they stand they get a bin of their own, and whatever is computed
    takes them as missing. ``formats`` are those of a date (as in ``strptime``; by default ISO 8601), ``decimal`` and
    ``thousands`` the marks of a number. A ``text`` is received and left out.
    """

    type: Literal["integer", "number", "category", "date", "text"]
    source: str | None = None
    min: float | date | None = None
    max: float | date | None = None
    values: Annotated[dict[str, str] | None, WithJsonSchema(_CATEGORIES)] = None
    special: dict[float, str] = Field(default_factory=dict)
    missing: Tokens = ()
    formats: tuple[str, ...] = ()
    decimal: Literal[".", ","] = "."
    thousands: Literal[",", ".", " ", "'"] | None = None
    nullable: bool = False
    protected: bool = False
    after_outcome: bool = False
    unit: str | None = None
    description: str = ""
    example: float | date | str | None = None

    @field_validator("values", mode="before")
    @classmethod
    def _codes_as_text(cls, values: object) -> object:
        """Read a list as categories that are received under their own name, and codes as text."""
        if isinstance(values, list) and all(isinstance(value, str | int | float) for value in values):
            return {str(value): str(value) for value in values}
        if isinstance(values, dict):
            return {str(code): category for code, category in values.items()}
        return values

    @property
    def is_number(self) -> bool:
        """Whether its values can be computed with."""
        return self.type in ("integer", "number")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest amount that a number of this column may have; special codes lie where they like."""
        limit = float(LARGEST_EXACT_INTEGER)
        low = self.min if isinstance(self.min, int | float) else -limit
        high = self.max if isinstance(self.max, int | float) else limit
        return (low, high)

    @property
    def days(self) -> tuple[date, date]:
        """First and last day that a date of this column may be."""
        first = self.min if isinstance(self.min, date) else date.min
        last = self.max if isinstance(self.max, date) else date.max
        return (first, last)

    def allows(self, value: object) -> bool:
        """Whether a checked value of this column can be ``value``."""
        match self.type:
            case "category":
                return value in self.categories
            case "date":
                return isinstance(value, date) and self.days[0] <= value <= self.days[1]
            case "text":
                return False
        low, high = self.bounds
        if not isinstance(value, int | float) or not (low <= value <= high or value in self.special):
            return False
        return self.type == "number" or float(value).is_integer()

    @property
    def categories(self) -> tuple[str, ...]:
        """Readable categories in declared order; a category's position is its number in a feature."""
        return tuple(dict.fromkeys((self.values or {}).values()))


class ApplicantsTable(Declared):
    """The table with one row per applicant.

    ``key`` is the received column that names the applicant; without one, applicants are named by the number of
    their row. ``grouped_by`` is the received column that names the person where one person may have several rows,
    such as several loans: all rows of a person fall into the same part of the split.
    """

    key: str | None = None
    grouped_by: str | None = None
    missing: Tokens = ()
    columns: dict[Name, Column]


class Lookup(Declared):
    """A table of another source, such as figures of the district, joined to the applicants at ingestion.

    ``key`` is its received column whose value ``by`` has, a column of the applicants table or of an earlier lookup.
    From then on its columns are the applicant's; they are missing where nothing is found.
    """

    key: str
    by: Name
    missing: Tokens = ()
    columns: dict[Name, Column] = Field(min_length=1)
    description: str = ""


class WideMonths(Declared):
    """Events that arrive as columns of the applicants table: one set of columns per moment."""

    at: dict[date, dict[Name, str]] = Field(min_length=1)


class TimeColumn(Declared):
    """A received column of moments: ISO 8601, or one of ``formats`` (as in ``strptime``); UTC without an offset."""

    source: str
    formats: tuple[str, ...] = ()


def _named_source(given: object) -> object:
    return {"source": given} if isinstance(given, str) else given


Moments = Annotated[TimeColumn, BeforeValidator(_named_source, json_schema_input_type=str | TimeColumn)]
"""A ``TimeColumn``, of which the name alone may be written."""


class EventsTable(Declared):
    """A table with any number of rows per applicant, each with the moment at which it occurred.

    Either it is received as a table of its own: ``occurred_at`` and, where the source has it, ``known_at`` (when the
    lender came to know of the event; before that no feature sees it), ``key`` naming the applicant (by default the
    applicants' key) and ``id`` naming the event, so that one that is sent twice counts once. Or it arrives
    ``from_wide``, in the applicants' rows.
    """

    columns: dict[Name, Column] = Field(min_length=1)
    occurred_at: Moments | None = None
    known_at: Moments | None = None
    key: str | None = None
    id: str | None = None
    missing: Tokens = ()
    from_wide: WideMonths | None = None
    description: str = ""

    @property
    def usable_columns(self) -> dict[str, Column]:
        """Columns that are known when the event is, and may be used in a decision."""
        return {
            name: column
            for name, column in self.columns.items()
            if not (column.protected or column.after_outcome or column.type == "text")
        }

    @model_validator(mode="after")
    def _one_origin(self) -> "EventsTable":
        if (self.occurred_at is None) == (self.from_wide is None):
            raise ValueError("needs either 'occurred_at', of a table of its own, or 'from_wide'")
        own = [name for name in ("known_at", "key", "id", "missing") if getattr(self, name)]
        if self.from_wide is not None and own:
            raise ValueError(f"arrives 'from_wide', so it has no {' or '.join(own)} of its own")
        return self


class AsOf(Declared):
    """The moment up to which facts may be used, truncated to ``granularity``: a constant, a column, or the clock."""

    constant: date | None = None
    column: Name | None = None
    granularity: Literal["day", "hour", "second"] = "day"

    @model_validator(mode="after")
    def _one_origin(self) -> "AsOf":
        if self.constant is not None and self.column is not None:
            raise ValueError("is either a constant or a column; with neither it is the clock")
        return self

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


class Observed(Declared):
    """When the outcomes were read: one day for all, or a date column."""

    constant: date | None = None
    column: Name | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Observed":
        if (self.constant is None) == (self.column is None):
            raise ValueError("needs either 'constant', a day, or 'column', a date")
        return self


def _as_condition(given: object) -> object:
    return {"one_of": given} if isinstance(given, list | tuple) else given


OutcomeRule = Annotated[
    Condition, BeforeValidator(_as_condition, json_schema_input_type=tuple[float | str, ...] | Condition)
]
"""Values that are meant, as a list, or bounds such as ``{above: 30}``."""


class Outcome(Declared):
    """What happened in the performance window, and which values are bad, good, indeterminate or excluded.

    The window begins at ``starts``, a date column such as that of booking (by default at ``as_of``), and is closed
    ``window_days`` later; outcomes read before (``observed``) are immature and never trained on. Without
    ``observed`` every window is closed, which only a constant ``as_of`` may say. Rows decided before ``decided_from``
    are out of scope, for instance because a source has no facts of that time: they are excluded and in no part.
    """

    column: Name
    bad: OutcomeRule
    good: OutcomeRule
    indeterminate: OutcomeRule | None = None
    excluded: OutcomeRule | None = None
    window_days: int = Field(gt=0)
    starts: Name | None = None
    observed: Observed | None = None
    decided_from: date | None = None

    @property
    def rules(self) -> dict[str, Condition]:
        """The declared rules by what they make of an outcome."""
        rules = {"excluded": self.excluded, "bad": self.bad, "indeterminate": self.indeterminate, "good": self.good}
        return {label: rule for label, rule in rules.items() if rule is not None}


class HashSplit(Declared):
    """Shares of applicants per part, drawn by salted hash of the applicant."""

    by: Literal["hash"] = "hash"
    salt: str = Field(min_length=1)
    development: float = Field(gt=0, lt=1)
    holdout: float = Field(gt=0, lt=1)
    stream: float = Field(ge=0, lt=1)


class TimeSplit(Declared):
    """Parts by ``as_of``: development before ``holdout_from``, then holdout, then stream from ``stream_from`` on.

    A person with several rows falls into the part of the first; rows from the time of a later part are left out.
    """

    by: Literal["time"]
    holdout_from: date
    stream_from: date | None = None


def _kind_of_split(split: Any) -> str:
    return str((split.get("by") if isinstance(split, dict) else getattr(split, "by", None)) or "hash")


Split = Annotated[
    Annotated[HashSplit, Tag("hash")] | Annotated[TimeSplit, Tag("time")],
    Discriminator(_kind_of_split),
]


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
    """A whole declaration. References between its parts are checked by ``declaration_problems``.

    Without ``features``, or with ``features_from_columns``, every column that may be used is a feature as it stands.
    What the declaration leaves to defaults (those features, window families, reason codes) is filled in here, so
    that everybody who reads a portfolio, from a file or from a bundle, finds it complete.
    """

    name: Name
    title: str
    description: str = ""
    citation: str = ""
    as_of: AsOf
    applicants: ApplicantsTable
    lookups: dict[Name, Lookup] = Field(default_factory=dict)
    events: dict[Name, EventsTable] = Field(default_factory=dict)
    outcome: Outcome
    split: Split
    features: dict[Name, FeatureDeclaration] = Field(default_factory=dict)
    features_from_columns: bool = False
    reasons: dict[str, Reason] = Field(default_factory=dict)
    scale: Scale = Scale()
    policy: Policy

    @model_validator(mode="after")
    def _with_defaults(self) -> "Portfolio":
        columns = self.application_columns if self.features_from_columns or not self.features else {}
        features = completed_features(self.features, columns, self.application_columns)
        reasons = {code: Reason(text=text) for code, text in default_reasons(features).items()}
        filled = {"features": features, "reasons": reasons | self.reasons, "features_from_columns": False}
        return self.model_copy(update=filled)

    @cached_property
    def row_columns(self) -> dict[str, Column]:
        """Columns of an applicant's row once the lookups are joined, by declared name."""
        joined = {name: column for lookup in self.lookups.values() for name, column in lookup.columns.items()}
        return self.applicants.columns | joined

    @cached_property
    def bookkeeping(self) -> frozenset[str]:
        """Columns that date the decision and its outcome, or tell it; no model reads them."""
        observed = self.outcome.observed.column if self.outcome.observed else None
        named = (self.as_of.column, self.outcome.column, self.outcome.starts, observed)
        return frozenset(name for name in named if name is not None)

    @cached_property
    def application_columns(self) -> dict[str, Column]:
        """Columns of an applicant's row that are known at the decision and may be used in it."""
        return {
            name: column
            for name, column in self.row_columns.items()
            if not (column.protected or column.after_outcome or column.type == "text" or name in self.bookkeeping)
        }

    @cached_property
    def protected_columns(self) -> dict[str, Column]:
        """Columns kept for fairness measurement only."""
        return {name: column for name, column in self.row_columns.items() if column.protected}
