"""Windowed features of one applicant's events as lines of the function that ``one_row`` writes; see there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from credit_scoring.core.features.declared import Condition, TimeSince, Window
from credit_scoring.core.features.moments import PER_MONTH
from credit_scoring.core.features.one_row_past import (
    amounts,
    days_ago,
    known_before,
    numbers,
    occurred_before,
    older_than,
    texts,
)
from credit_scoring.core.features.one_row_source import Source, literal, literals
from credit_scoring.core.features.one_row_sums import added, slope, times_of
from credit_scoring.core.features.past import EventColumns

CALLED = (amounts, days_ago, known_before, numbers, occurred_before, older_than, texts, added, slope, times_of)
"""What the lines call."""

Where = Mapping[str, Condition]


@dataclass(frozen=True, slots=True)
class _Span:
    """The events a window takes by rank and age, from position ``start`` to before ``end``: two names or numbers."""

    start: str
    end: str

    @property
    def everything(self) -> bool:
        return (self.start, self.end) == ("0", "size")

    def of(self, column: str) -> str:
        """The part of a column that the window takes."""
        start = "" if self.start == "0" else self.start
        end = "" if self.end == "size" else self.end
        return column if self.everything else f"{column}[{start}:{end}]"


@dataclass(frozen=True, slots=True)
class _Column:
    """Names of a column's values, of whether none is missing, and of what adds some of them up."""

    values: str
    whole: str
    add: str


class EventLines:
    """Writes the features over one event table, each part of which is worked out once."""

    def __init__(self, source: Source, table: str, declared: Mapping[str, Window | TimeSince]) -> None:
        self._source = source
        self._table = table
        self._declared = declared
        self._columns: dict[str, _Column] = {}
        wheres = [reading.where for reading in declared.values() if _takes_everything(reading)]
        self._met_by_all = {repr(where) for where in wheres}

    def write(self, read: EventColumns) -> dict[str, str]:
        """Write the lines, which find ``tables`` and ``as_of``; return the local name of each feature."""
        names = {feature: self._source.fresh("f") for feature in self._declared}
        before = "known_before" if read.known_at else "occurred_before"
        self._source.line(f"past = {before}(as_of, tables.get({literal(self._table)}))")
        with self._source.block("if not past:"):
            self._source.line(f"{' = '.join(names.values())} = None")
        with self._source.block("else:"):
            self._source.line("size = len(past)")
            self._columns = {column: self._column(column, read) for column in read.columns}
            for feature, reading in self._declared.items():
                self._source.line(f"{names[feature]} = {self._feature(reading)}  # {literal(feature)}")
        return names

    def _column(self, name: str, read: EventColumns) -> _Column:
        put, called = self._source.put, f"past, {literal(name)}"
        if name in read.texts:
            values = put("column", f"texts({called})")
            return _Column(values, put("whole", f"None not in {values}"), "added")
        column = _Column(*(self._source.fresh(kind) for kind in ("column", "whole", "add")))
        given = f"numbers({called})"
        if read.columns[name]:
            codes = self._source.bound("codes", (self._table, name), frozenset(read.columns[name]))
            given = f"amounts({called}, {codes})"
        self._source.line(f"{column.values}, {column.whole}, {column.add} = {given}")
        return column

    def _once(self, kind: str, key: object, expression: str) -> str:
        return self._source.once(kind, (self._table, key), expression)

    def _feature(self, reading: Window | TimeSince) -> str:
        if isinstance(reading, TimeSince):
            return self._time_since(reading)
        if reading.aggregate == "last" and reading.last == 1 and reading.days is None and not reading.where:
            column = self._columns[str(reading.column)].values
            return f"{column}[-{1 + reading.skip}] if size > {reading.skip} else None"
        span = self._span(reading)
        if reading.aggregate == "count":
            return f"float({self._count(span, reading.where)})"
        if reading.aggregate == "share":
            known = self._once("known", (span, *reading.where), self._known(span, reading.where))
            return f"len({self._rows(span, reading.where)}) / {known} if {known} else None"
        return self._of_values(reading, span)

    def _time_since(self, declared: TimeSince) -> str:
        unit = f" * {literal(PER_MONTH)}" if declared.unit == "months" else ""
        if not declared.where:
            return f"{self._days_ago()}[-1]{unit}"
        rows = self._rows(_Span("0", "size"), declared.where)
        return f"{self._days_ago()}[{rows}[-1]]{unit} if {rows} else None"

    def _of_values(self, window: Window, span: _Span) -> str:
        column, key = self._columns[str(window.column)], (window.column, span, repr(window.where))
        values = self._once("values", key, self._values(window, span))
        if window.aggregate in ("sum", "mean"):
            total = self._once("total", key, f"{column.add}({values}) if {values} else None")
            return total if window.aggregate == "sum" else f"{total} / len({values}) if {values} else None"
        if window.aggregate == "last":
            return f"{values}[-1] if {values} else None"
        if window.aggregate == "trend":
            lowest = self._once("min", key, f"min({values}) if {values} else None")
            return f"slope({values}, {lowest}, {self._times(window, span)}, {column.add})"
        return self._once(window.aggregate, key, f"{window.aggregate}({values}) if {values} else None")

    def _values(self, window: Window, span: _Span) -> str:
        column = self._columns[str(window.column)]
        if not window.where:
            inside = span.of(column.values)
            return f"{inside} if {column.whole} else [value for value in {inside} if value is not None]"
        rows = self._rows(span, window.where)
        if window.column in window.where:
            return f"[{column.values}[row] for row in {rows}]"
        return f"[{column.values}[row] for row in {rows} if {column.values}[row] is not None]"

    def _times(self, window: Window, span: _Span) -> str:
        """The moments of the values, which are those of all columns together where none is missing."""
        column, days_ago = self._columns[str(window.column)], self._days_ago()
        if window.where:
            rows = self._rows(span, window.where)
            some = f"[{days_ago}[row] for row in {rows} if {column.values}[row] is not None]"
            return self._once("times", (window.column, span, repr(window.where)), f"times_of({some})")
        every = self._once("times", span, f"times_of({span.of(days_ago)})")
        rows = f"range({span.start}, {span.end})"
        some = f"times_of([{days_ago}[row] for row in {rows} if {column.values}[row] is not None])"
        return f"{every} if {column.whole} else {some}"

    def _span(self, window: Window) -> _Span:
        end = self._before("size", window.skip) if window.skip else "size"
        start = "0" if window.last is None else self._before(end, window.last)
        if window.days is None:
            return _Span(start, end)
        since = self._since(window.days)
        if (start, end) != ("0", "size"):
            since = self._once("place", (start, end, since), f"min({end}, max({start}, {since}))")
        return _Span(since, end)

    def _before(self, position: str, events: int) -> str:
        """The position ``events`` before another, or else the first."""
        expression = f"{position} - {events} if {position} > {events} else 0"
        return self._once("place", (position, events), expression)

    def _since(self, days: int) -> str:
        limit = self._source.bound("limit", (days,), timedelta(days=days))
        return self._once("since", days, f"older_than({limit}, past, as_of)")

    def _days_ago(self) -> str:
        return self._once("days", None, "days_ago(past, as_of)")

    def _rows(self, span: _Span, where: Where) -> str:
        """Positions of the events of a span that meet every condition."""
        key = repr(where)
        if not span.everything and key in self._met_by_all:
            among = self._rows(_Span("0", "size"), where)
            return self._once("rows", (span, key), f"[row for row in {among} if {span.start} <= row < {span.end}]")
        tests = [_test(f"value_{n}", condition) for n, condition in enumerate(where.values())]
        columns = [span.of(self._columns[column].values) for column in where]
        values = ", ".join(f"value_{n}" for n in range(len(columns)))
        start = "" if span.start == "0" else f", {span.start}"
        if len(columns) == 1:
            drawn = f"row, {values} in enumerate({columns[0]}{start})"
        else:
            drawn = f"row, ({values}) in enumerate(zip({', '.join(columns)}){start})"
        return self._once("rows", (span, key), f"[row for {drawn} if {' and '.join(tests)}]")

    def _count(self, span: _Span, where: Where) -> str:
        if where:
            return f"len({self._rows(span, where)})"
        return span.end if span.start == "0" else f"{span.end} - {span.start}"

    def _known(self, span: _Span, where: Where) -> str:
        """How many events of a span have every value that the conditions read."""
        columns = [self._columns[column] for column in where]
        whole = " and ".join(column.whole for column in columns)
        values = ", ".join(span.of(column.values) for column in columns)
        some = f"sum([None not in each for each in zip({values})])"
        return f"{self._count(span, {})} if {whole} else {some}"


def _takes_everything(reading: Window | TimeSince) -> bool:
    if isinstance(reading, TimeSince):
        return True
    return not reading.skip and reading.last is None and reading.days is None


def _test(value: str, condition: Condition) -> str:
    bounds = {">=": condition.at_least, "<=": condition.at_most, ">": condition.above, "<": condition.below}
    tests = [f"{value} is not None"]
    tests += [f"{value} {sign} {literal(bound)}" for sign, bound in bounds.items() if bound is not None]
    if condition.one_of is not None:
        tests.append(f"{value} in {literals(condition.one_of)}")
    return " and ".join(tests)
