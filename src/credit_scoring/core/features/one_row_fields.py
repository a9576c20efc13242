"""Features of one applicant's row as lines of the function that ``one_row`` writes; see there."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from credit_scoring.core.facts import Value, moment_of
from credit_scoring.core.features.declared import FeatureDeclaration, TimeSince
from credit_scoring.core.features.expressions import special_codes
from credit_scoring.core.features.moments import PER_MONTH
from credit_scoring.core.features.one_row_functions import OneRowFunctions
from credit_scoring.core.features.one_row_past import days_between
from credit_scoring.core.features.one_row_source import Source, literal
from credit_scoring.core.features.one_row_sums import Number
from credit_scoring.core.portfolio import Column


def days_since(value: Value, as_of: datetime) -> Number:
    """Return the days from a date to ``as_of``, None where it is missing or not before."""
    if value is None:
        return None
    then = moment_of(str(value))
    return days_between(then, as_of) if then < as_of else None


CALLED = (days_since,)
"""What the lines call."""


class FieldLines:
    """Writes the features that are made of fields and of features written before.

    ``names`` are the local names of features; those that are written join them.
    """

    def __init__(
        self,
        source: Source,
        features: Mapping[str, FeatureDeclaration],
        columns: Mapping[str, Column],
        names: dict[str, str],
    ) -> None:
        self._source = source
        self._features = features
        self._columns = columns
        self._names = names

    def write(self, layer: Sequence[str]) -> None:
        """Write features that read none of each other; the lines find ``fields`` and ``as_of``."""
        functions = [name for name in layer if self._features[name].python is not None]
        found: dict[str, str] = {}
        for name in layer:
            if name not in functions:
                found[name] = self._source.put("f", f"{self._feature(self._features[name])}  # {literal(name)}")
        if functions:
            found |= self._of_functions(functions)
        self._names |= found

    def _of_functions(self, names: Sequence[str]) -> dict[str, str]:
        functions = OneRowFunctions(names, self._features, self._columns)
        called = self._source.bound("functions", tuple(names), functions.values)
        read = ", ".join(f"{literal(operand)}: {self._names[operand]}" for operand in functions.features_read)
        made = self._source.put("made", f"{called}(fields, {{{read}}})")
        return {name: self._source.put("f", f"{made}[{literal(name)}]") for name in names}

    def _feature(self, feature: FeatureDeclaration) -> str:
        if feature.column is not None:
            return self._as_it_stands(feature.column)
        if feature.ratio is not None:
            of, to = self._amount(feature.ratio.of), self._amount(feature.ratio.to)
            return f"{of} / {to} if {of} is not None and {to} is not None and {to} > 0 else None"
        if feature.difference is not None:
            of, minus = self._amount(feature.difference.of), self._amount(feature.difference.minus)
            return f"{of} - {minus} if {of} is not None and {minus} is not None else None"
        if feature.time_since is not None and feature.time_since.column is not None:
            return self._time_since(feature.time_since, feature.time_since.column)
        raise ValueError("a windowed feature is computed from events, not from a row")

    def _as_it_stands(self, name: str) -> str:
        column = self._columns[name]
        if column.type != "category":
            return self._number(name)
        positions: dict[Value, float] = {category: float(place) for place, category in enumerate(column.categories)}
        return f"{self._source.bound('positions', (name,), positions)}.get({self._field(name)})"

    def _time_since(self, declared: TimeSince, column: str) -> str:
        days = self._source.once("days", (column,), f"days_since({self._field(column)}, as_of)")
        return f"{days} * {literal(PER_MONTH)} if {days} is not None else None" if declared.unit == "months" else days

    def _amount(self, operand: str) -> str:
        """A column, or else a feature, as an amount: special codes are missing."""
        value = self._number(operand) if operand in self._columns else self._names[operand]
        special = special_codes(operand, self._features, self._columns)
        if not special:
            return value
        codes = self._source.bound("codes", (operand,), frozenset(special))
        return self._source.once("amount", (operand,), f"None if {value} in {codes} else {value}")

    def _number(self, name: str) -> str:
        given = self._field(name)
        return self._source.once("number", (name,), f"None if {given} is None else {given} * 1.0")

    def _field(self, name: str) -> str:
        return self._source.once("field", (name,), f"fields.get({literal(name)})")
