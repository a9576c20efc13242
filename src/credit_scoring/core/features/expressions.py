"""Declared features of one applicant's row as Narwhals expressions."""

from collections.abc import Mapping, Sequence

import narwhals as nw

from credit_scoring.core.features.declared import FeatureDeclaration
from credit_scoring.core.portfolio import Column


def row_expression(feature: FeatureDeclaration, columns: Mapping[str, Column]) -> nw.Expr:
    """Return the float64 expression of a feature that reads columns or other features of its row.

    A category is its position among the declared categories; null stays null.
    """
    if feature.column is not None:
        return column_value(feature.column, columns[feature.column])
    if feature.ratio is not None:
        of, to = number(feature.ratio.of), number(feature.ratio.to)
        return nw.when(to > 0).then(of / to)
    if feature.difference is not None:
        return number(feature.difference.of) - number(feature.difference.minus)
    raise ValueError("a windowed feature is computed from events, not from a row")


def number(name: str) -> nw.Expr:
    """Return a column or feature as float64."""
    return nw.col(name).cast(nw.Float64)


def column_value(name: str, column: Column) -> nw.Expr:
    """Return a column as float64: itself, or the position of its category; null where missing."""
    if column.type != "category":
        return number(name)
    positions = [
        nw.when(nw.col(name) == category).then(nw.lit(float(position)))
        for position, category in enumerate(column.categories)
    ]
    return nw.coalesce(*positions) if len(positions) > 1 else positions[0]


def layers(features: Mapping[str, FeatureDeclaration], columns: Mapping[str, Column]) -> Sequence[Sequence[str]]:
    """Return the row features in an order in which each reads only columns and earlier layers."""
    settled = {name for name, feature in features.items() if feature.window or feature.time_since}
    waiting = [name for name in features if name not in settled]
    ordered: list[list[str]] = []
    while waiting:
        ready = [name for name in waiting if all(o in columns or o in settled for o in features[name].operands)]
        if not ready:
            raise ValueError(f"features made of themselves: {waiting}")
        ordered.append(ready)
        settled.update(ready)
        waiting = [name for name in waiting if name not in settled]
    return ordered
