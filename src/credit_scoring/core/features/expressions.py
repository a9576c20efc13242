"""Declared features of one applicant's row as Narwhals expressions."""

from collections.abc import Mapping, Sequence

import narwhals as nw

from credit_scoring.core.features.declared import FeatureDeclaration, TimeSince
from credit_scoring.core.features.moments import AS_OF, PER_MONTH, days_between
from credit_scoring.core.features.python_functions import finite, function_value
from credit_scoring.core.portfolio import Column


def raw(column: str) -> str:
    """Name under which a plan holds a column of the applicants table, apart from a feature of the same name."""
    return f"_column_{column}"


def moment(column: str) -> str:
    """Name under which a plan holds a date column as microseconds."""
    return f"_moment_{column}"


class RowExpressions:
    """Expressions of the features that are made of a row: its columns, and features computed before."""

    def __init__(self, features: Mapping[str, FeatureDeclaration], columns: Mapping[str, Column]) -> None:
        self._features = features
        self._columns = columns

    def of(self, name: str) -> nw.Expr:
        """Return the float64 expression of the feature ``name``, null where missing.

        A category is its position among the declared categories.
        """
        feature = self._features[name]
        if feature.column is not None:
            return self._as_it_stands(feature.column)
        if feature.ratio is not None:
            of, to = self._number(feature.ratio.of), self._number(feature.ratio.to)
            return nw.when(to > 0).then(of / to)
        if feature.difference is not None:
            return self._number(feature.difference.of) - self._number(feature.difference.minus)
        if feature.time_since is not None and feature.time_since.column is not None:
            return _time_since(feature.time_since, feature.time_since.column)
        if feature.python is not None:
            arguments = {operand: self._argument(operand) for operand in feature.python.reads}
            return function_value(name, feature.python, arguments)
        raise ValueError("a windowed feature is computed from events, not from a row")

    def _as_it_stands(self, name: str) -> nw.Expr:
        column = self._columns[name]
        if column.type != "category":
            return nw.col(raw(name)).cast(nw.Float64)
        positions = [
            nw.when(nw.col(raw(name)) == category).then(nw.lit(float(position)))
            for position, category in enumerate(column.categories)
        ]
        return nw.coalesce(*positions) if len(positions) > 1 else positions[0]

    def _number(self, operand: str) -> nw.Expr:
        """A column, or else a feature, as an amount: special codes are missing."""
        source = nw.col(raw(operand) if operand in self._columns else operand).cast(nw.Float64)
        return amount(source, special_codes(operand, self._features, self._columns))

    def _argument(self, operand: str) -> nw.Expr:
        column = self._columns.get(operand)
        if column is not None and not column.is_number:
            return nw.col(raw(operand))
        return finite(self._number(operand))


def amount(value: nw.Expr, special: Sequence[float]) -> nw.Expr:
    """Return ``value`` where it is an amount; special codes are missing in everything that is computed."""
    return nw.when(~value.cast(nw.Float64).is_in(list(special))).then(value) if special else value


def special_codes(
    operand: str, features: Mapping[str, FeatureDeclaration], columns: Mapping[str, Column]
) -> tuple[float, ...]:
    """Return the codes of the column that ``operand`` is, or that the feature ``operand`` shows as it stands."""
    column = columns.get(operand) or columns.get(features[operand].column or "")
    return tuple(column.special) if column is not None else ()


def layers(features: Mapping[str, FeatureDeclaration], columns: Mapping[str, Column]) -> Sequence[Sequence[str]]:
    """Return the row features in an order in which each reads only columns and earlier layers."""
    settled = {name for name, feature in features.items() if feature.reading is not None}
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


def _time_since(declared: TimeSince, column: str) -> nw.Expr:
    then, as_of = nw.col(moment(column)), nw.col(AS_OF)
    unit = PER_MONTH if declared.unit == "months" else 1.0
    return nw.when(then < as_of).then(days_between(then, as_of) * unit)
