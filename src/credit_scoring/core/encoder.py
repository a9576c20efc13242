"""From features to the columns that the trees read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]
Positions = npt.NDArray[np.intp]

_ROWS_AT_ONCE = 1_024
"""Rows that are encoded together, so that they stay in the processor's cache."""


class EncodedColumn(BaseModel):
    """One column that the trees read, made from one feature.

    With ``codes`` it holds ``codes[value]`` for the values named there and NaN for all others (categories,
    and special values as states); without, the feature itself with the values in ``blank`` taken as missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    codes: tuple[tuple[float, float], ...] | None = None
    blank: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Replacements:
    """What becomes of which values: columns as flat arrays.

    Attributes:
        sources: ``(c,)``, the feature of each column.
        coded: Columns with codes, which are NaN wherever no value of theirs is named.
        columns: ``(k,)``, the column of each named value.
        values: ``(k,)``, the named values.
        codes: ``(k,)``, what stands in their place.
    """

    sources: Positions
    coded: Positions
    columns: Positions
    values: Matrix
    codes: Matrix


class Encoder(BaseModel):
    """From features to the trees' columns, fitted on the development part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[str, ...]
    columns: tuple[EncodedColumn, ...]

    def encode(self, features: Matrix) -> Matrix:
        """Return ``(n, c)`` float32 columns for ``(n, p)`` float32 features, NaN where missing; C-contiguous."""
        if len(features) <= _ROWS_AT_ONCE:
            return self._encoded(features)
        encoded = np.empty((len(features), len(self.columns)), dtype=np.float32)
        for first in range(0, len(features), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            encoded[rows] = self._encoded(features[rows])
        return encoded

    def by_feature(self, of_columns: Floats) -> Floats:
        """Return ``(n, p)`` sums over the columns of each feature, in their order, of ``(n, c)`` values."""
        found = np.zeros((len(of_columns), len(self.inputs)))
        for number, (features, columns) in enumerate(self._rounds):
            if number:
                found[:, features] += of_columns.take(columns, axis=1)
            else:
                found[:, features] = of_columns.take(columns, axis=1)
        return found

    def _encoded(self, features: Matrix) -> Matrix:
        what = self._replacements
        encoded = features.take(what.sources, axis=1)
        rows, named = (encoded.take(what.columns, axis=1) == what.values).nonzero()
        encoded[:, what.coded] = np.nan
        encoded[rows, what.columns.take(named)] = what.codes.take(named)
        return encoded

    @cached_property
    def _replacements(self) -> _Replacements:
        named = [
            (position, value, code)
            for position, column in enumerate(self.columns)
            for value, code in (column.codes if column.codes is not None else ((v, np.nan) for v in column.blank))
        ]
        columns, values, codes = zip(*named, strict=True) if named else ((), (), ())
        return _Replacements(
            sources=np.asarray([self.inputs.index(column.feature) for column in self.columns], dtype=np.intp),
            coded=np.asarray([p for p, column in enumerate(self.columns) if column.codes is not None], dtype=np.intp),
            columns=np.asarray(columns, dtype=np.intp),
            values=np.asarray(values, dtype=np.float32),
            codes=np.asarray(codes, dtype=np.float32),
        )

    @cached_property
    def _rounds(self) -> tuple[tuple[Positions, Positions], ...]:
        """Features and columns of theirs: the first column of each feature, then the second ones, and so on."""
        rounds: list[tuple[list[int], list[int]]] = []
        for column, feature in enumerate(self._replacements.sources.tolist()):
            number = sum(feature in features for features, _ in rounds)
            if number == len(rounds):
                rounds.append(([], []))
            rounds[number][0].append(feature)
            rounds[number][1].append(column)
        return tuple((np.asarray(f, dtype=np.intp), np.asarray(c, dtype=np.intp)) for f, c in rounds)
