"""Declared features read row by row in plain Python, as their documentation says; slow, and by nobody's engine."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from credit_scoring.core.portfolio import Column, Portfolio

Row = Mapping[str, Any]
Events = Mapping[str, Sequence[Row] | None]
"""Events of one applicant by table; None where a table is unknown."""


class PlainReading:
    """Every feature of a portfolio for one applicant at a time; ``functions`` are its Python features."""

    def __init__(
        self, portfolio: Portfolio, functions: Mapping[str, Callable[..., float | None]] | None = None
    ) -> None:
        self._portfolio = portfolio
        self._functions = functions or {}

    def feature(self, name: str, applicant: Row, events: Events) -> float | None:  # noqa: PLR0911 - a kind each
        declared = self._portfolio.features[name].model_dump(exclude_none=True, exclude_defaults=True)
        if "window" in declared:
            return self._window(declared["window"], events, applicant["as_of"])
        if "time_since" in declared:
            return self._time_since(declared["time_since"], applicant, events)
        if "column" in declared:
            column, value = self._portfolio.application_columns[declared["column"]], applicant[declared["column"]]
            if column.type == "category" and value is not None:
                return float(column.categories.index(value))
            return value
        if "python" in declared:
            arguments = [self._operand(word, applicant, events) for word in declared["python"]["reads"]]
            return self._functions[name](*arguments)
        if "ratio" in declared:
            of, to = (self._operand(declared["ratio"][part], applicant, events) for part in ("of", "to"))
            return of / to if of is not None and to is not None and to > 0 else None
        of, minus = (self._operand(declared["difference"][part], applicant, events) for part in ("of", "minus"))
        return of - minus if of is not None and minus is not None else None

    def _operand(self, word: str, applicant: Row, events: Events) -> Any:
        columns, features = self._portfolio.application_columns, self._portfolio.features
        if word in columns:
            return amount(applicant[word], columns[word])
        value = self.feature(word, applicant, events)
        shown = columns.get(features[word].column or "")
        return value if shown is None else amount(value, shown)

    def _time_since(self, declared: Row, applicant: Row, events: Events) -> float | None:
        per = 30 if declared.get("unit") == "months" else 1
        if "column" in declared:
            then = applicant[declared["column"]]
            known = then is not None and then < applicant["as_of"]
            return float(days_ago(then, applicant["as_of"])) / per if known else None
        past = self._past(declared["table"], events, applicant["as_of"]) or []
        met = [event for event in past if meets(event, declared.get("where", {}))]
        return float(min(days_ago(event["occurred_at"], applicant["as_of"]) for event in met)) / per if met else None

    def _past(self, table: str, events: Events, as_of: datetime) -> list[dict[str, Any]] | None:
        declared, rows = self._portfolio.events[table], events.get(table)
        if rows is None:
            return None
        past = [event for event in rows if event["occurred_at"] < as_of]
        if declared.known_at is not None:
            past = [event for event in past if event["known_at"] < as_of]
        return [dict(event) | {n: amount(event[n], column) for n, column in declared.columns.items()} for event in past]

    def _window(self, declared: Row, events: Events, as_of: datetime) -> float | None:
        past = self._past(declared["table"], events, as_of)
        if not past:
            return None
        newest_first = sorted(past, key=lambda event: (event["occurred_at"], event["event_number"]), reverse=True)
        skip, last = declared.get("skip", 0), declared.get("last")
        inside = newest_first[skip:] if last is None else newest_first[skip : skip + last]
        if "days" in declared:
            inside = [event for event in inside if event["occurred_at"] >= as_of - timedelta(days=declared["days"])]
        return aggregate(declared, inside, as_of)


def aggregate(declared: Row, inside: Sequence[Row], as_of: datetime) -> float | None:
    where, kind = declared.get("where", {}), declared["aggregate"]
    taken = [event for event in inside if meets(event, where)]
    if kind == "count":
        return float(len(taken))
    if kind == "share":
        known = [event for event in inside if all(event[column] is not None for column in where)]
        return len(taken) / len(known) if known else None
    given = [event for event in taken if event[declared["column"]] is not None]
    values = [Fraction(event[declared["column"]]) for event in given]
    if not values:
        return None
    if kind == "trend":
        times = [-days_ago(event["occurred_at"], as_of) for event in given]
        return slope(list(zip(times, values, strict=True)))
    if kind == "mean":
        return float(sum(values)) / len(values)
    return float({"last": lambda found: found[0], "sum": sum, "min": min, "max": max}[kind](values))


def amount(value: Any, column: Column) -> Any:
    return None if value in column.special else value


def meets(event: Row, where: Row) -> bool:
    for column, condition in where.items():
        value = event[column]
        within = {
            "at_least": lambda bound, value=value: value >= bound,
            "at_most": lambda bound, value=value: value <= bound,
            "above": lambda bound, value=value: value > bound,
            "below": lambda bound, value=value: value < bound,
            "one_of": lambda allowed, value=value: value in allowed,
        }
        if value is None or not all(within[bound](limit) for bound, limit in condition.items()):
            return False
    return True


def days_ago(then: datetime, as_of: datetime) -> Fraction:
    elapsed = as_of - then
    return Fraction(elapsed.days * 86_400 + elapsed.seconds, 86_400)


def slope(points: Sequence[tuple[Fraction, Fraction]]) -> float | None:
    if len({time for time, _ in points}) < 2:
        return None
    mean_time = sum(time for time, _ in points) / len(points)
    mean_value = sum(value for _, value in points) / len(points)
    above = sum((time - mean_time) * (value - mean_value) for time, value in points)
    return float(30 * above / sum((time - mean_time) ** 2 for time, _ in points))
