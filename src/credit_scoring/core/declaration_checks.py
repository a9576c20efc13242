"""What a declaration's parts must say about each other, beyond what each part's type says."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from credit_scoring.core.errors import nearest
from credit_scoring.core.features.declared import Condition, FeatureDeclaration
from credit_scoring.core.portfolio import Column, EventsTable, Portfolio

RESERVED = ("applicant_id", "as_of", "occurred_at", "event_number", "is_bad", "part", "points")
"""Names that the package's own columns have; no declared column or feature may take one."""

MISSING_SUFFIX = "-MISSING"
"""Added to a reason code when the value that cost points was not known."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a declaration: where it stands (keys from the top) and what to do about it."""

    path: tuple[str, ...]
    message: str


def declaration_problems(portfolio: Portfolio) -> list[Problem]:
    """Return every contradiction inside ``portfolio``; an empty list when it can be used."""
    problems = [
        *_column_problems(portfolio),
        *_source_problems(portfolio),
        *_event_problems(portfolio),
        *_outcome_problems(portfolio),
        *_policy_problems(portfolio),
        *_reason_problems(portfolio),
    ]
    if not any(feature.scored for feature in portfolio.features.values()):
        problems.append(Problem(("features",), "has no scored feature, so there is nothing to fit a model on."))
    for name, feature in portfolio.features.items():
        problems += _feature_problems(portfolio, name, feature)
    return problems + _cycle_problems(portfolio)


def _column_problems(portfolio: Portfolio) -> Iterator[Problem]:
    tables = {"applicants": portfolio.applicants.columns} | {
        table: events.columns for table, events in portfolio.events.items()
    }
    for table, columns in tables.items():
        path = ("applicants",) if table == "applicants" else ("events", table)
        for name, column in columns.items():
            at = (*path, "columns", name)
            if name in RESERVED:
                yield Problem(
                    at, f"has a reserved name ({', '.join(RESERVED)}); give it another and name its 'source'."
                )
            if column.type == "category" and (column.min is not None or column.max is not None):
                yield Problem((*at, "type"), "a category has neither 'min' nor 'max'; list its 'values'.")
            if column.type == "category" and not column.values:
                yield Problem((*at, "type"), "a category needs 'values', the categories that are allowed.")
            if column.type != "category" and column.values is not None:
                yield Problem((*at, "values"), f"only a category has 'values'; this column is of type '{column.type}'.")
            low, high = column.bounds
            if low > high:
                yield Problem((*at, "min"), f"min {low:g} is above max {high:g}; exchange them.")
            if column.example is not None and not _possible(column.example, column):
                yield Problem((*at, "example"), f"is '{column.example}', which the column itself does not allow.")


def _possible(value: float | str, column: Column) -> bool:
    """Whether a checked value of ``column`` can be ``value``."""
    if column.type == "category":
        return value in column.categories
    low, high = column.bounds
    if isinstance(value, str) or not low <= value <= high:
        return False
    return column.type == "number" or float(value).is_integer()


def _source_problems(portfolio: Portfolio) -> Iterator[Problem]:
    """One received column has one meaning: a second, laxer declaration could let a protected attribute through."""
    key = portfolio.applicants.key
    uses: dict[str, tuple[str, Column]] = {}
    for at, source, column in _sources(portfolio):
        if source == key:
            yield Problem(at, f"reads '{key}', the key; an applicant's name is no fact about the applicant.")
        elif source == "applicant_id":
            yield Problem(at, "reads 'applicant_id', which is reserved for the key; rename the received column.")
        first, declared = uses.setdefault(source, (".".join(at), column))
        if _contract(declared) != _contract(column):
            yield Problem(at, f"reads '{source}', which '{first}' declares otherwise; declare a received column once.")


def _sources(portfolio: Portfolio) -> Iterator[tuple[tuple[str, ...], str, Column]]:
    """Each received column: where it is named, its name, and what it is declared to be."""
    for name, column in portfolio.applicants.columns.items():
        yield ("applicants", "columns", name), column.source or name, column
    for table, events in portfolio.events.items():
        for day, sources in events.from_wide.at.items():
            for name, source in sources.items():
                if name in events.columns:
                    yield ("events", table, "from_wide", "at", day.isoformat(), name), source, events.columns[name]


def _contract(column: Column) -> dict[str, object]:
    return column.model_dump(include={"type", "min", "max", "values", "nullable", "protected", "after_outcome"})


def _event_problems(portfolio: Portfolio) -> Iterator[Problem]:
    if "applicants" in portfolio.events:
        yield Problem(("events", "applicants"), "has the name of the applicants table; give it another.")
    for table, events in portfolio.events.items():
        for day, sources in events.from_wide.at.items():
            path = ("events", table, "from_wide", "at", day.isoformat())
            if portfolio.as_of.constant is not None and day >= portfolio.as_of.constant:
                yield Problem(path, f"is not before 'as_of', {portfolio.as_of.constant}, so no feature could see it.")
            for column in sources.keys() - events.columns.keys():
                yield Problem((*path, column), _unknown("column", column, events.columns))
            for column in events.columns.keys() - sources.keys():
                yield Problem(path, f"names no received column for '{column}', which the table declares.")


def _outcome_problems(portfolio: Portfolio) -> Iterator[Problem]:
    name = portfolio.outcome.column
    column = portfolio.applicants.columns.get(name)
    if column is None:
        yield Problem(("outcome", "column"), _unknown("column", name, portfolio.applicants.columns))
    elif not column.after_outcome:
        yield Problem(
            ("applicants", "columns", name),
            "holds the outcome, so it is known only after the decision: add 'after_outcome: true'.",
        )
    if column is not None:
        for kind in ("bad", "good"):
            for value in getattr(portfolio.outcome, kind):
                if not _possible(value, column):
                    yield Problem(("outcome", kind), f"names '{value}', which '{name}' can never be.")
    if set(portfolio.outcome.bad) & set(portfolio.outcome.good):
        yield Problem(("outcome", "bad"), "a value cannot be both bad and good.")
    shares = portfolio.split.development + portfolio.split.holdout + portfolio.split.stream
    if abs(shares - 1) > 1e-9:
        yield Problem(("split",), f"development, holdout and stream must add up to 1; they add up to {shares:g}.")


def _policy_problems(portfolio: Portfolio) -> Iterator[Problem]:
    policy, scale = portfolio.policy, portfolio.scale
    if policy.refer_from > policy.approve_from:
        yield Problem(("policy", "refer_from"), "must not be above 'approve_from': referral lies below approval.")
    if policy.refer_from < scale.min:
        yield Problem(("policy", "refer_from"), f"must be at least the scale's minimum of {scale.min}.")
    if not scale.min < policy.approve_from <= scale.max:
        yield Problem(("policy", "approve_from"), f"must lie above {scale.min} and at most at {scale.max} points.")
    starts = [band.from_points for band in policy.bands]
    if starts != sorted(starts, reverse=True) or len(set(starts)) != len(starts):
        yield Problem(("policy", "bands"), "must be listed from the most points down, without repeats.")
    names = [band.name for band in policy.bands]
    if len(set(names)) != len(names):
        yield Problem(("policy", "bands"), "must have different names.")
    if starts[-1] > scale.min:
        yield Problem(("policy", "bands"), f"the last band must start at the scale's minimum of {scale.min} or below.")


def _reason_problems(portfolio: Portfolio) -> Iterator[Problem]:
    for code in portfolio.reasons:
        if code.endswith(MISSING_SUFFIX):
            yield Problem(("reasons", code), f"ends in '{MISSING_SUFFIX}', which is added when a value is missing.")
        if all(feature.reason != code for feature in portfolio.features.values()):
            yield Problem(("reasons", code), "is given by no feature; remove it, or name it in one.")


def _feature_problems(portfolio: Portfolio, name: str, feature: FeatureDeclaration) -> Iterator[Problem]:
    path = ("features", name)
    if name in RESERVED:
        yield Problem(path, f"has a reserved name ({', '.join(RESERVED)}); give it another.")
    if _is_category(portfolio, feature):
        for key in ("higher_is", "special"):
            if getattr(feature, key):
                yield Problem((*path, key), f"has no meaning for '{feature.column}', a category; remove it.")
    if feature.reason is not None and feature.reason not in portfolio.reasons:
        yield Problem((*path, "reason"), _unknown("reason", feature.reason, portfolio.reasons))
    if name in portfolio.applicants.columns and feature.column != name:
        yield Problem(path, f"has the name of a column but is not 'column: {name}'; give it a name of its own.")
    for operand in feature.operands:
        yield from _operand_problems(portfolio, name, feature, operand)
    reading = feature.window or feature.time_since
    if reading is None:
        return
    kind = "window" if feature.window else "time_since"
    events = portfolio.events.get(reading.table)
    if events is None:
        yield Problem((*path, kind, "table"), _unknown("event table", reading.table, portfolio.events))
        return
    if feature.window and feature.window.column:
        yield from _read_problems(events, (*path, kind, "column"), feature.window.column)
    for column, condition in reading.where.items():
        yield from _condition_problems(events, (*path, kind, "where", column), column, condition)


def _operand_problems(portfolio: Portfolio, name: str, feature: FeatureDeclaration, operand: str) -> Iterator[Problem]:
    kind = next(kind for kind in ("column", "ratio", "difference") if getattr(feature, kind) is not None)
    path = ("features", name, kind)
    column = portfolio.applicants.columns.get(operand)
    if column is not None:
        yield from _usable_problems(path, operand, column)
    elif kind == "column" or operand not in portfolio.features:
        allowed = [*portfolio.application_columns, *(portfolio.features if kind != "column" else ())]
        yield Problem(path, _unknown("column" if kind == "column" else "column or feature", operand, allowed))
    made_of = portfolio.features.get(operand)
    if kind != "column" and (
        column.type == "category" if column is not None else made_of is not None and _is_category(portfolio, made_of)
    ):
        yield Problem(path, f"'{operand}' is a category; {kind}s are made of numbers.")


def _is_category(portfolio: Portfolio, feature: FeatureDeclaration) -> bool:
    """Whether the feature is a category as it stands."""
    column = portfolio.applicants.columns.get(feature.column or "")
    return column is not None and column.type == "category"


def _usable_problems(path: tuple[str, ...], name: str, column: Column) -> Iterator[Problem]:
    if column.protected:
        yield Problem(
            path,
            f"'{name}' is a protected attribute and may never be a model input, alone or inside another feature. "
            f"Remove this feature; fairness reports read the attribute from a table of its own.",
        )
    if column.after_outcome:
        yield Problem(path, f"'{name}' is known only after the decision and may never be a feature. Remove it.")


def _read_problems(events: EventsTable, path: tuple[str, ...], name: str) -> Iterator[Problem]:
    column = events.columns.get(name)
    if column is None:
        yield Problem(path, _unknown("column", name, events.columns))
        return
    yield from _usable_problems(path, name, column)
    if column.type == "category":
        yield Problem(path, f"'{name}' is a category; use 'count' or 'share' with 'where'.")


def _condition_problems(
    events: EventsTable, path: tuple[str, ...], name: str, condition: Condition
) -> Iterator[Problem]:
    column = events.columns.get(name)
    if column is None:
        yield Problem(path, _unknown("column", name, events.columns))
        return
    yield from _usable_problems(path, name, column)
    bounded = condition.at_least is not None or condition.at_most is not None
    if not bounded and condition.one_of is None:
        yield Problem(path, "says nothing; give 'at_least', 'at_most' or 'one_of'.")
    if column.type == "category" and bounded:
        yield Problem(path, f"'{name}' is a category; use 'one_of'.")
    for value in condition.one_of or ():
        if not _possible(value, column):
            yield Problem((*path, "one_of"), f"names '{value}', which '{name}' can never be.")


def _cycle_problems(portfolio: Portfolio) -> list[Problem]:
    settled: set[str] = set()
    waiting = dict(portfolio.features)
    while ready := [name for name, feature in waiting.items() if _ready(portfolio, feature, settled)]:
        settled.update(ready)
        for name in ready:
            del waiting[name]
    return [Problem(("features", name), "is made of itself, directly or through others.") for name in waiting]


def _ready(portfolio: Portfolio, feature: FeatureDeclaration, settled: Collection[str]) -> bool:
    if feature.column is not None:
        return True
    columns = portfolio.applicants.columns
    others = [name for name in feature.operands if name in portfolio.features and name not in columns]
    return all(other in settled for other in others)


def _unknown(what: str, word: str, allowed: Collection[str]) -> str:
    known = ", ".join(sorted(allowed)) or "none"
    return f"names no {what} '{word}'.{nearest(word, allowed)} Declared: {known}."
