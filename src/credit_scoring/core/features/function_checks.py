"""What a Python feature must be beside computable: of its own row, and of its arguments alone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import narwhals as nw
import polars as pl
from narwhals.exceptions import ColumnNotFoundError, NarwhalsError

from credit_scoring.core.errors import FeatureFunctionError, MissingFunctionError
from credit_scoring.core.features.declared import FeatureDeclaration
from credit_scoring.core.features.expressions import RowExpressions, raw
from credit_scoring.core.parsing import column_type
from credit_scoring.core.portfolio import Column

_NUMBERS = (None, 0.0, 1.0, -1.0, 2.5, 1000.0, 1000.0, 7.0, 0.25)
_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_SAME = 1e-12


def function_fault(name: str, features: Mapping[str, FeatureDeclaration], columns: Mapping[str, Column]) -> str | None:
    """Try the function of feature ``name`` on made-up rows; return what is wrong with it, None if nothing is.

    A function that looks at other rows (a mean, a rank, the row before) would give one value in training and
    another to an applicant who comes alone, so each row is tried alone too.
    """
    frame = _made_up_rows(features[name].operands, columns)
    try:
        expression = RowExpressions(features, columns).of(name)
        together = _values(name, frame, expression)
        alone = [_values(name, frame[row : row + 1], expression)[0] for row in range(frame.height)]
    except (FeatureFunctionError, MissingFunctionError) as exc:
        return str(exc)
    except ColumnNotFoundError as exc:
        return f"reads a column that is not among its arguments ({str(exc).splitlines()[0]}). Make it an argument."
    except (NarwhalsError, ValueError, TypeError) as exc:
        return f"failed on made-up rows: {type(exc).__name__}: {str(exc).splitlines()[0]}. It must give a number."
    if not all(_same(one, other) for one, other in zip(together, alone, strict=True)):
        return "looks at other rows than its own (such as 'mean', 'rank' or 'shift' do). Use the row's values alone."
    return None


def _values(name: str, frame: pl.DataFrame, expression: nw.Expr) -> list[float | None]:
    found: pl.DataFrame = nw.from_native(frame).with_columns(**{name: expression}).to_native()
    return found[name].to_list()


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _SAME * max(abs(one), abs(other))


def _made_up_rows(operands: Sequence[str], columns: Mapping[str, Column]) -> pl.DataFrame:
    """Return rows of values that every type may have; each argument begins elsewhere, so that they meet."""
    rows = {}
    for shift, operand in enumerate(operands):
        column = columns.get(operand)
        values = list(_made_up_values(column))
        values = values[shift % len(values) :] + values[: shift % len(values)]
        kind = pl.Float64() if column is None else column_type(column)
        repeated = [values[row % len(values)] for row in range(2 * len(_NUMBERS))]
        name = operand if column is None else raw(operand)
        rows[name] = pl.Series(name, repeated, dtype=kind, strict=False)
    return pl.DataFrame(rows)


def _made_up_values(column: Column | None) -> Iterator[object]:
    if column is None or column.is_number:
        yield from _NUMBERS
    elif column.type == "date":
        yield None
        yield from (_DAY + timedelta(days=400 * year) for year in range(1, 7))
    else:
        yield None
        yield from column.categories
