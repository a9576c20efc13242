"""What declared features must say about the columns and events they read."""

from collections.abc import Collection, Iterator

from credit_scoring.core.features.declared import Condition, FeatureDeclaration
from credit_scoring.core.features.function_checks import function_fault
from credit_scoring.core.portfolio import Column, EventsTable, Portfolio
from credit_scoring.core.problems import Path, Problem, unknown


def feature_problems(portfolio: Portfolio, reserved: Collection[str]) -> Iterator[Problem]:
    """Return every fault of the declared features; ``reserved`` are names that none may take."""
    if not any(feature.scored for feature in portfolio.features.values()):
        yield Problem(("features",), "has no scored feature, so there is nothing to fit a model on.")
    for name, feature in portfolio.features.items():
        if name in reserved:
            yield Problem(("features", name), f"has a reserved name ({', '.join(reserved)}); give it another.")
        faults = [*_feature_problems(portfolio, name, feature), *_reading_problems(portfolio, name, feature)]
        yield from faults
        if feature.python is not None and not faults:
            fault = function_fault(name, portfolio.features, portfolio.application_columns)
            yield from [Problem(("features", name, "python"), fault)] if fault is not None else []
    yield from _cycle_problems(portfolio)


def _feature_problems(portfolio: Portfolio, name: str, feature: FeatureDeclaration) -> Iterator[Problem]:
    path = ("features", name)
    if _is_category(portfolio, feature):
        for key in ("higher_is", "special"):
            if getattr(feature, key):
                yield Problem((*path, key), f"has no meaning for '{feature.column}', a category; remove it.")
    if feature.reason is not None and feature.reason not in portfolio.reasons:
        yield Problem((*path, "reason"), unknown("reason", feature.reason, portfolio.reasons))
    itself = feature.column == name or (feature.time_since is not None and feature.time_since.column == name)
    if name in portfolio.row_columns and not itself:
        yield Problem(path, f"has the name of a column but is not 'column: {name}'; give it a name of its own.")
    for operand in feature.operands:
        yield from _operand_problems(portfolio, name, feature, operand)


def _reading_problems(portfolio: Portfolio, name: str, feature: FeatureDeclaration) -> Iterator[Problem]:
    reading, path = feature.reading, ("features", name)
    if reading is None or reading.table is None:
        return
    kind = "window" if feature.window else "time_since"
    events = portfolio.events.get(reading.table)
    if events is None:
        yield Problem((*path, kind, "table"), unknown("event table", reading.table, portfolio.events))
        return
    if feature.window and feature.window.column:
        yield from _read_problems(events, (*path, kind, "column"), feature.window.column)
    for column, condition in reading.where.items():
        yield from _condition_problems(events, (*path, kind, "where", column), column, condition)


def _operand_problems(portfolio: Portfolio, name: str, feature: FeatureDeclaration, operand: str) -> Iterator[Problem]:
    kinds = ("column", "ratio", "difference", "time_since", "python")
    kind = next(kind for kind in kinds if getattr(feature, kind) is not None)
    path = ("features", name, kind)
    columns_only = kind in ("column", "time_since")
    column = portfolio.row_columns.get(operand)
    if column is not None:
        yield from _usable_problems(path, operand, column, portfolio.bookkeeping)
        yield from _type_problems(path, kind, operand, column)
    elif columns_only or operand not in portfolio.features:
        allowed = [*portfolio.application_columns, *(() if columns_only else portfolio.features)]
        yield Problem(path, unknown("column" if columns_only else "column or feature", operand, allowed))
    elif kind in ("ratio", "difference") and _is_category(portfolio, portfolio.features[operand]):
        yield Problem(path, f"'{operand}' is a category; {kind}s are made of numbers.")


def _type_problems(path: Path, kind: str, name: str, column: Column) -> Iterator[Problem]:
    if kind in ("ratio", "difference") and not column.is_number:
        yield Problem(path, f"'{name}' is a {column.type}; {kind}s are made of numbers.")
    if kind == "time_since" and column.type != "date":
        yield Problem(path, f"'{name}' is of type '{column.type}'; only a date has a time since then.")
    if kind == "column" and column.type == "date":
        yield Problem(path, f"'{name}' is a date; declare 'time_since: {{column: {name}}}' instead.")
    if kind in ("column", "python") and column.type == "text":
        yield Problem(path, f"'{name}' is a text, which is left out. Declare it as number, category or date.")


def _is_category(portfolio: Portfolio, feature: FeatureDeclaration) -> bool:
    """Whether the feature is a category as it stands."""
    column = portfolio.row_columns.get(feature.column or "")
    return column is not None and column.type == "category"


def _usable_problems(path: Path, name: str, column: Column, bookkeeping: Collection[str] = ()) -> Iterator[Problem]:
    if column.protected:
        yield Problem(
            path,
            f"'{name}' is a protected attribute and may never be a model input, alone or inside another feature. "
            f"Remove this feature; fairness reports read the attribute from a table of its own.",
        )
    if column.after_outcome:
        yield Problem(path, f"'{name}' is known only after the decision and may never be a feature. Remove it.")
    elif name in bookkeeping:
        yield Problem(path, f"'{name}' dates the decision or its outcome and may never be a feature. Remove it.")


def _read_problems(events: EventsTable, path: Path, name: str) -> Iterator[Problem]:
    column = events.columns.get(name)
    if column is None:
        yield Problem(path, unknown("column", name, events.columns))
        return
    yield from _usable_problems(path, name, column)
    if column.type == "category":
        yield Problem(path, f"'{name}' is a category; use 'count' or 'share' with 'where'.")
    elif not column.is_number:
        yield Problem(path, f"'{name}' is a {column.type}; aggregates are made of numbers.")


def _condition_problems(events: EventsTable, path: Path, name: str, condition: Condition) -> Iterator[Problem]:
    column = events.columns.get(name)
    if column is None:
        yield Problem(path, unknown("column", name, events.columns))
        return
    yield from _usable_problems(path, name, column)
    if not condition.bounded and condition.one_of is None:
        yield Problem(path, "says nothing; give 'at_least', 'at_most', 'above', 'below' or 'one_of'.")
    if column.type == "category" and condition.bounded:
        yield Problem(path, f"'{name}' is a category; use 'one_of'.")
    if column.type in ("date", "text"):
        yield Problem(path, f"'{name}' is a {column.type}; conditions are about numbers and categories.")
    for value in condition.one_of or ():
        if not column.allows(value):
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
    columns = portfolio.row_columns
    others = [name for name in feature.operands if name in portfolio.features and name not in columns]
    return all(other in settled for other in others)
