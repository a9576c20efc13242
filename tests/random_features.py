"""Random declarations of features, and random applicants and events for them, as Hypothesis strategies."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import polars as pl
from factories import build_portfolio
from hypothesis import strategies as st

from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.features.python_functions import python_declarations
from credit_scoring.core.parsing import MOMENT, column_type
from credit_scoring.core.portfolio import Portfolio

AS_OF = datetime(2020, 6, 1, tzinfo=UTC)
DAYS = (1, 2, 7, 30)

SOURCE = """
import narwhals as nw

def log_income(income_eur):
    return nw.when(income_eur > 0).then((income_eur + 1).log())

def owner(housing: nw.Expr) -> nw.Expr:
    return housing == "owner"

def squared_or_one(paid_now, income_eur):
    return nw.coalesce(paid_now, income_eur, nw.lit(1.0)) ** 2

def root(income_eur: nw.Expr) -> nw.Expr:
    return (income_eur - 50).sqrt()

def born_before_noon(born_on: nw.Expr) -> nw.Expr:
    return nw.when(~born_on.is_null()).then(born_on.dt.year() - 1900)
"""

FUNCTIONS = {
    "log_income": lambda income: math.log(income + 1) if income is not None and income > 0 else None,
    "owner": lambda housing: None if housing is None else float(housing == "owner"),
    "squared_or_one": lambda paid, income: next(v for v in (paid, income, 1.0) if v is not None) ** 2,
    "root": lambda income: math.sqrt(income - 50) if income is not None and income >= 50 else None,
    "born_before_noon": lambda born: None if born is None else float(born.year - 1900),
}

COLUMNS = {
    "income_eur": {"type": "number", "min": 0, "nullable": True, "special": {-7: "refused", -8: "unknown"}},
    "dependants": {"type": "integer", "min": 0, "max": 20, "nullable": True, "special": {-9: "not asked"}},
    "housing": {"type": "category", "values": ["owner", "tenant", "other"], "nullable": True},
    "born_on": {"type": "date", "nullable": True},
    "defaulted": {"type": "integer", "min": 0, "max": 1, "after_outcome": True},
}
EVENTS = {
    "payments": {
        "occurred_at": "AT",
        "known_at": "KNOWN",
        "columns": {
            "paid_eur": {"type": "number", "nullable": True, "min": -100, "special": {-999: "in dispute"}},
            "late_days": {"type": "integer", "nullable": True, "min": -1, "special": {-8: "no bill"}},
            "channel": {"type": "category", "values": ["app", "branch"], "nullable": True},
        },
    },
    "calls": {"occurred_at": "AT", "columns": {"minutes": {"type": "number", "nullable": True}}},
}
ROW_FEATURES: dict[str, dict[str, Any]] = {
    "income_eur": {"column": "income_eur"},
    "dependants": {"column": "dependants"},
    "housing": {"column": "housing"},
    "age_days": {"time_since": {"column": "born_on"}},
    "age_months": {"time_since": {"column": "born_on", "unit": "months"}},
    "shown_income": {"column": "income_eur"},
    "per_head": {"ratio": {"of": "income_eur", "to": "dependants"}},
    "of_shown": {"difference": {"of": "shown_income", "minus": "dependants"}},
    "of_function": {"ratio": {"of": "log_income", "to": "per_head"}},
    "of_window": {"ratio": {"of": "paid_now", "to": "income_eur"}},
    "of_ratio": {"difference": {"of": "of_window", "minus": "per_head"}},
}
PAID_NOW = {"window": {"table": "payments", "aggregate": "last", "column": "paid_eur"}}
ALWAYS = {
    "paid_now": PAID_NOW,
    "payments": {"window": {"table": "payments", "aggregate": "count"}},
    "payments_7d": {"window": {"table": "payments", "aggregate": "count", "days": 7}},
    "calls_2d": {"window": {"table": "calls", "aggregate": "count", "days": 2, "skip": 1}},
}
"""What no random draw may lack: the borders of time show in plain counts."""

NUMBER_COLUMNS = {"payments": ("paid_eur", "late_days"), "calls": ("minutes",)}
BOUNDS = (-1, 0, 0.5, 1, 2)


def seeded(make: Callable[[Random], Any]) -> st.SearchStrategy[Any]:
    """Values that ``make`` draws evenly; Hypothesis, left to draw them itself, tries many that hardly differ."""
    return st.integers(0, 2**32 - 1).map(lambda seed: make(Random(seed)))  # noqa: S311 - not for secrets


def features(most: int = 10) -> st.SearchStrategy[dict[str, Any]]:
    """Declared features, some of every kind."""
    return seeded(lambda draw: drawn_features(draw, most))


def cases(most_events: int = 12, prefix: str = "") -> st.SearchStrategy["Case"]:
    """Applicants and events; ``prefix`` begins the applicants' names."""
    return seeded(lambda draw: drawn_case(draw, most_events, prefix))


def drawn_features(draw: Random, most: int) -> dict[str, Any]:
    windowed = {f"w{number}": drawn_reading(draw) for number in range(draw.randint(most // 2, most))}
    functions = {name: {"python": declared} for name, declared in python_declarations(SOURCE).items()}
    return {**ALWAYS, **windowed, **ROW_FEATURES, **functions}


def drawn_reading(draw: Random) -> dict[str, Any]:
    table = draw.choice(["payments", "payments", "calls"])
    where = drawn_where(draw, table)
    if draw.random() < 0.15:
        return {"time_since": {"table": table, "where": where, "unit": draw.choice(["days", "months"])}}
    kinds = ["count", "sum", "mean", "min", "max", "last", "trend"] + (["share"] if where else [])
    window = {"table": table, "aggregate": draw.choice(kinds), "where": where}
    if window["aggregate"] not in ("count", "share"):
        window["column"] = draw.choice(NUMBER_COLUMNS[table])
    spans = {"last": draw.randint(1, 3), "days": draw.choice(DAYS), "skip": draw.randint(0, 2)}
    return {"window": window | {key: span for key, span in spans.items() if draw.random() < 0.4}}


def drawn_where(draw: Random, table: str) -> dict[str, Any]:
    where = {column: drawn_condition(draw) for column in NUMBER_COLUMNS[table] if draw.random() < 0.35}
    if table == "payments" and draw.random() < 0.2:
        where["channel"] = {"one_of": draw.choice([["app"], ["app", "branch"]])}
    return where


def drawn_condition(draw: Random) -> dict[str, Any]:
    if draw.random() < 0.3:
        return {"one_of": draw.sample([0, 1, 2, 0.5, -1], draw.randint(1, 3))}
    keys = draw.sample(["at_least", "at_most", "above", "below"], draw.choice([1, 1, 2]))
    return {key: draw.choice(BOUNDS) for key in keys}


def declared_portfolio(features: Mapping[str, Any]) -> Portfolio:
    applicants = {"key": "ID", "columns": COLUMNS}
    return build_portfolio(applicants=applicants, events=EVENTS, features=dict(features), reasons={})


@dataclass(frozen=True)
class Case:
    """Some applicants, each with a decision of its own, and their events; a table may be unknown to all."""

    applicants: Sequence[Mapping[str, Any]]
    events: Mapping[str, Sequence[Mapping[str, Any]]]

    def own_events(self, applicant_id: str) -> dict[str, list[Mapping[str, Any]]]:
        return {
            table: [event for event in rows if event["applicant_id"] == applicant_id]
            for table, rows in self.events.items()
        }

    def frames(self) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
        portfolio = declared_portfolio(ROW_FEATURES | {"log_income": {"column": "income_eur"}, "paid_now": PAID_NOW})
        columns = portfolio.application_columns
        schema = {"applicant_id": pl.String, "as_of": MOMENT} | {n: column_type(c) for n, c in columns.items()}
        found = {}
        for table, rows in self.events.items():
            declared = portfolio.events[table]
            types: dict[str, Any] = {"applicant_id": pl.String, "occurred_at": MOMENT, "event_number": pl.Int32}
            types |= {"known_at": MOMENT} if declared.known_at else {}
            types |= {name: column_type(column) for name, column in declared.columns.items()}
            found[table] = pl.DataFrame(list(rows), schema=types, orient="row")
        return pl.DataFrame(list(self.applicants), schema=schema, orient="row"), found

    def facts(self, applicant: Mapping[str, Any]) -> Facts:
        own = self.own_events(applicant["applicant_id"])
        born = applicant["born_on"]
        fields = dict(applicant) | {"born_on": None if born is None else born.date().isoformat()}
        return Facts(fields, {table: [_event(row) for row in rows] for table, rows in own.items()})


def _event(row: Mapping[str, Any]) -> Event:
    return Event(row["occurred_at"], row["event_number"], row, row.get("known_at"))


MICROSECOND = timedelta(microseconds=1)
BOUNDARIES = [timedelta(days=days) + shift for days in (0, *DAYS) for shift in (-MICROSECOND, timedelta(), MICROSECOND)]
DELAYS = [timedelta(), MICROSECOND, timedelta(days=1), timedelta(days=2), timedelta(days=9)]
KNOWN = [-MICROSECOND, timedelta(), MICROSECOND]
"""Times after a decision at which an event may become known, whenever it occurred."""

AS_OFS = [AS_OF, AS_OF - timedelta(days=1), AS_OF - timedelta(days=30, hours=5)]
BIRTHS = [None, AS_OF, AS_OF - timedelta(days=9000), AS_OF - timedelta(days=1)]
KNOWN_TABLES: list[tuple[str, ...]] = [("payments", "calls")] * 5 + [("payments",), ("calls",), ()]


def drawn_case(draw: Random, most_events: int, prefix: str) -> Case:
    applicants = [
        {
            "applicant_id": prefix + name,
            "as_of": draw.choice(AS_OFS),
            "income_eur": draw.choice([None, 0.0, -7.0, -8.0, *(draw.randrange(3000) / 10 for _ in range(6))]),
            "dependants": draw.choice([None, 0, 1, 2, 3, -9]),
            "housing": draw.choice([None, "owner", "tenant", "other"]),
            "born_on": draw.choice(BIRTHS),
        }
        for name in draw.sample("abc", 3)
    ]
    as_of = {applicant["applicant_id"]: applicant["as_of"] for applicant in applicants} | {"nobody": AS_OF}
    events = {}
    for table in draw.choice(KNOWN_TABLES):
        count = draw.choice([draw.randint(0, 2), most_events // 2, most_events])
        rows = [_drawn_event(draw, table, draw.choice(sorted(as_of)), as_of) for _ in range(count)]
        events[table] = draw.sample([row | {"event_number": number} for number, row in enumerate(rows)], count)
    return Case(applicants, events)


def _drawn_event(draw: Random, table: str, owner: str, as_of: Mapping[str, datetime]) -> dict[str, Any]:
    age = draw.choice([draw.choice(BOUNDARIES), timedelta(hours=6 * draw.randint(-8, 400)), timedelta(days=1)])
    row = {"applicant_id": owner, "occurred_at": as_of[owner] - age}
    amount = draw.choice([None, draw.randint(-40, 400) / 4, draw.randint(-300, 3000) / 10, draw.choice(BOUNDS)])
    if table == "calls":
        return row | {"minutes": amount}
    return row | {
        "known_at": draw.choice([row["occurred_at"] + draw.choice(DELAYS), as_of[owner] + draw.choice(KNOWN)]),
        "paid_eur": draw.choice([amount, amount, amount, -999.0]),
        "late_days": draw.choice([None, -1, 0, 1, 2, 3, 4, -8]),
        "channel": draw.choice([None, "app", "branch"]),
    }
