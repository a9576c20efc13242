"""Declared conditions on an event's values as Narwhals expressions that are never null."""

from collections.abc import Mapping

import narwhals as nw

from credit_scoring.core.features.declared import Condition


def meets(where: Mapping[str, Condition]) -> nw.Expr | None:
    """Return whether an event meets every condition, None without any; a missing value meets none."""
    parts = [part for column, condition in where.items() for part in _parts(nw.col(column), condition)]
    return _all(parts)


def known(where: Mapping[str, Condition]) -> nw.Expr | None:
    """Return whether every value that the conditions read is known, None without any."""
    return _all([~nw.col(column).is_null() for column in where])


def _parts(value: nw.Expr, condition: Condition) -> list[nw.Expr]:
    # The first part is what keeps the whole from being null: no engine then has a say in what null means.
    parts = [~value.is_null()]
    if condition.at_least is not None:
        parts.append(value >= condition.at_least)
    if condition.at_most is not None:
        parts.append(value <= condition.at_most)
    if condition.above is not None:
        parts.append(value > condition.above)
    if condition.below is not None:
        parts.append(value < condition.below)
    if condition.one_of is not None:
        numbers = not any(isinstance(allowed, str) for allowed in condition.one_of)
        parts.append((value.cast(nw.Float64) if numbers else value).is_in(list(condition.one_of)))
    return parts


def _all(parts: list[nw.Expr]) -> nw.Expr | None:
    if not parts:
        return None
    whole = parts[0]
    for part in parts[1:]:
        whole = whole & part
    return whole
