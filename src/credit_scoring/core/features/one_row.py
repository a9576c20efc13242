"""All features of one applicant from its facts, in plain Python: what a plan over tables gives, without its overhead.

Building and running a plan costs milliseconds whatever the number of rows, and one applicant's features are a few
hundred additions. So every kind of feature is computed here a second time, by the same operations in the same order:
the values are the same to the bit, and tests hold them so. Python functions run through a plan of one row.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from credit_scoring.core.facts import Facts, Value, moment_of
from credit_scoring.core.features.declared import FeatureDeclaration, TimeSince, Window
from credit_scoring.core.features.expressions import layers, special_codes
from credit_scoring.core.features.moments import PER_MONTH
from credit_scoring.core.features.one_row_events import Number, OneRowEvents, days_between
from credit_scoring.core.features.one_row_functions import OneRowFunctions
from credit_scoring.core.features.past import EventColumns
from credit_scoring.core.portfolio import Column

Numbers = dict[str, Number]
Fields = Mapping[str, Value]

_Step = Callable[[Fields, Numbers, datetime], Number]


class OneRow:
    """Computes every feature of a feature set for one applicant; prepared once, used by any number of threads."""

    def __init__(
        self,
        features: Mapping[str, FeatureDeclaration],
        columns: Mapping[str, Column],
        windows: Mapping[str, Mapping[str, Window | TimeSince]],
        tables: Mapping[str, EventColumns],
    ) -> None:
        self._features = features
        self._columns = columns
        self._events = {table: OneRowEvents(declared, tables[table]) for table, declared in windows.items()}
        ordered = layers(features, columns)
        self._layers = [self._steps(layer) for layer in ordered]
        self._functions = [OneRowFunctions(self._python(layer), features, columns) for layer in ordered]

    def values(self, facts: Facts, as_of: datetime) -> Numbers:
        """Return every feature's float64 value by name, None where it is missing."""
        moment = as_of.astimezone(UTC)
        values: Numbers = {}
        for table, reader in self._events.items():
            values |= reader.values(facts.events.get(table), moment)
        for steps, functions in zip(self._layers, self._functions, strict=True):
            made = {name: step(facts.fields, values, moment) for name, step in steps}
            values |= functions.values(facts.fields, values)
            values |= made
        return values

    def _steps(self, layer: Sequence[str]) -> list[tuple[str, _Step]]:
        return [(name, self._step(self._features[name])) for name in layer if self._features[name].python is None]

    def _python(self, layer: Sequence[str]) -> list[str]:
        return [name for name in layer if self._features[name].python is not None]

    def _step(self, feature: FeatureDeclaration) -> _Step:
        if feature.column is not None:
            return _as_it_stands(feature.column, self._columns[feature.column])
        if feature.ratio is not None:
            return _ratio(self._number(feature.ratio.of), self._number(feature.ratio.to))
        if feature.difference is not None:
            return _difference(self._number(feature.difference.of), self._number(feature.difference.minus))
        if feature.time_since is not None and feature.time_since.column is not None:
            return _time_since(feature.time_since, feature.time_since.column)
        raise ValueError("a windowed feature is computed from events, not from a row")

    def _number(self, operand: str) -> _Step:
        """A column, or else a feature, as an amount: special codes are missing."""
        special = frozenset(special_codes(operand, self._features, self._columns))
        if operand in self._columns:
            read = _number_of(operand)
        else:

            def read(_: Fields, values: Numbers, __: datetime) -> Number:
                return values[operand]

        if not special:
            return read

        def amount(fields: Fields, values: Numbers, as_of: datetime) -> Number:
            value = read(fields, values, as_of)
            return None if value in special else value

        return amount


def _as_it_stands(name: str, column: Column) -> _Step:
    if column.type != "category":
        return _number_of(name)
    positions: dict[Value, float] = {category: float(place) for place, category in enumerate(column.categories)}
    return lambda fields, _, __: positions.get(fields.get(name))


def _number_of(name: str) -> _Step:
    def number(fields: Fields, _: Numbers, __: datetime) -> Number:
        value = fields.get(name)
        return None if value is None else value * 1.0  # type: ignore[operator] # a text here is a fault, and raises

    return number


def _ratio(of: _Step, to: _Step) -> _Step:
    def ratio(fields: Fields, values: Numbers, as_of: datetime) -> Number:
        above, below = of(fields, values, as_of), to(fields, values, as_of)
        return above / below if above is not None and below is not None and below > 0 else None

    return ratio


def _difference(of: _Step, minus: _Step) -> _Step:
    def difference(fields: Fields, values: Numbers, as_of: datetime) -> Number:
        first, second = of(fields, values, as_of), minus(fields, values, as_of)
        return first - second if first is not None and second is not None else None

    return difference


def _time_since(declared: TimeSince, column: str) -> _Step:
    unit = PER_MONTH if declared.unit == "months" else 1.0

    def time_since(fields: Fields, _: Numbers, as_of: datetime) -> Number:
        value = fields.get(column)
        if value is None:
            return None
        then = moment_of(str(value))
        return days_between(then, as_of) * unit if then < as_of else None

    return time_since
