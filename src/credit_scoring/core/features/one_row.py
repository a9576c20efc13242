"""All features of one applicant from its facts, in plain Python: what a plan over tables gives, without its overhead.

Building and running a plan costs milliseconds whatever the number of rows, and one applicant's features are a few
hundred additions. So every kind of feature is computed here a second time, by the same operations in the same order:
the values are the same to the bit, and tests hold them so. Python functions run through a plan of one row.

What is computed is known when the features are declared. So the declaration is written out as one function, in which
every column is read once, every window taken once and every sum made once: a call of a function for each feature, and
its look-ups by name, would cost more than the features.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from credit_scoring.core.facts import Facts
from credit_scoring.core.features import one_row_events, one_row_fields
from credit_scoring.core.features.declared import FeatureDeclaration, TimeSince, Window
from credit_scoring.core.features.expressions import layers
from credit_scoring.core.features.one_row_source import Source
from credit_scoring.core.features.one_row_sums import Number
from credit_scoring.core.features.past import EventColumns
from credit_scoring.core.portfolio import Column

_NAME = "features_of_one"
_HEAD = f"def {_NAME}(fields, tables, as_of):"


class OneRow:
    """Computes every feature of a feature set for one applicant; prepared once, used by any number of threads.

    ``source`` is the function that does it, for people to read.
    """

    def __init__(
        self,
        features: Mapping[str, FeatureDeclaration],
        columns: Mapping[str, Column],
        windows: Mapping[str, Mapping[str, Window | TimeSince]],
        tables: Mapping[str, EventColumns],
    ) -> None:
        scored = [name for name, feature in features.items() if feature.scored]
        self._scored = len(scored)
        self._names = (*scored, *(name for name, feature in features.items() if not feature.scored))
        written = Source((*one_row_events.CALLED, *one_row_fields.CALLED))
        names: dict[str, str] = {}
        for table, declared in windows.items():
            names |= one_row_events.EventLines(written, table, declared).write(tables[table])
        fields = one_row_fields.FieldLines(written, features, columns, names)
        for layer in layers(features, columns):
            fields.write(layer)
        written.line(f"return [{', '.join(names[name] for name in self._names)}]")
        self.source = written.text(_HEAD)
        self._computed = written.function(_HEAD, _NAME)

    def values(self, facts: Facts, as_of: datetime) -> dict[str, Number]:
        """Return every feature's float64 value by name, None where it is missing."""
        return dict(zip(self._names, self._all(facts, as_of), strict=True))

    def scored(self, facts: Facts, as_of: datetime) -> list[float]:
        """Return the scored features' float64 values in declared order, NaN where they are missing."""
        found = self._all(facts, as_of)[: self._scored]
        return [math.nan if value is None else value for value in found]

    def _all(self, facts: Facts, as_of: datetime) -> list[Number]:
        moment = as_of if as_of.tzinfo is UTC else as_of.astimezone(UTC)
        values: list[Number] = self._computed(facts.fields, facts.events, moment)
        return values
