"""Random declarations of features, and random applicants and events for them, as Hypothesis strategies."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

QUARTERS = st.integers(-40, 400).map(lambda number: number / 4)
DECIMALS = st.integers(-300, 3000).map(lambda number: number / 10)
BOUNDS = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from([-1, 0, 0.5, 1, 2]) for key in ("at_least", "at_most", "above", "below")}
)
NUMBERS = st.one_of(
    BOUNDS.filter(bool), st.lists(st.sampled_from([0, 1, 2, 0.5]), min_size=1, max_size=3).map(lambda v: {"one_of": v})
)
CHANNELS = st.sampled_from([{"one_of": ["app"]}, {"one_of": ["app", "branch"]}])
WHERES = {
    "payments": st.fixed_dictionaries({}, optional={"late_days": NUMBERS, "paid_eur": NUMBERS, "channel": CHANNELS}),
    "calls": st.fixed_dictionaries({}, optional={"minutes": NUMBERS}),
}
NUMBER_COLUMNS = {"payments": ("paid_eur", "late_days"), "calls": ("minutes",)}


@st.composite
def readings(draw: st.DrawFn) -> dict[str, Any]:
    table = draw(st.sampled_from(["payments", "payments", "calls"]))
    where = draw(WHERES[table])
    if draw(st.integers(0, 6)) == 0:
        return {"time_since": {"table": table, "where": where, "unit": draw(st.sampled_from(["days", "months"]))}}
    kinds = ["count", "sum", "mean", "min", "max", "last", "trend"] + (["share"] if where else [])
    window = {"table": table, "aggregate": draw(st.sampled_from(kinds)), "where": where}
    if window["aggregate"] not in ("count", "share"):
        window["column"] = draw(st.sampled_from(NUMBER_COLUMNS[table]))
    spans = {"last": st.integers(1, 3), "days": st.sampled_from(DAYS), "skip": st.integers(0, 2)}
    return {"window": window | draw(st.fixed_dictionaries({}, optional=spans))}


@st.composite
def features(draw: st.DrawFn, most: int = 10) -> dict[str, Any]:
    """Declared features, some of every kind."""
    windowed = {f"w{number}": reading for number, reading in enumerate(draw(st.lists(readings(), max_size=most)))}
    functions = {name: {"python": declared} for name, declared in python_declarations(SOURCE).items()}
    return {"paid_now": PAID_NOW, **windowed, **ROW_FEATURES, **functions}


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
AGES = st.one_of(st.sampled_from(BOUNDARIES), st.integers(-8, 400).map(lambda quarter: timedelta(hours=6 * quarter)))
DELAYS = st.sampled_from([timedelta(), MICROSECOND, timedelta(days=1), timedelta(days=2), timedelta(days=9)])
AS_OFS = st.sampled_from([AS_OF, AS_OF - timedelta(days=1), AS_OF - timedelta(days=30, hours=5)])


@st.composite
def cases(draw: st.DrawFn, most_events: int = 12, prefix: str = "") -> Case:
    names = [prefix + name for name in "abc"]
    applicants = [
        {
            "applicant_id": name,
            "as_of": draw(AS_OFS),
            "income_eur": draw(st.one_of(st.none(), st.sampled_from([0.0, -7.0, -8.0]), DECIMALS.map(abs))),
            "dependants": draw(st.one_of(st.none(), st.integers(0, 3), st.just(-9))),
            "housing": draw(st.sampled_from([None, "owner", "tenant", "other"])),
            "born_on": draw(st.sampled_from([None, AS_OF, AS_OF - timedelta(days=9000), AS_OF - timedelta(days=1)])),
        }
        for name in draw(st.permutations(names))
    ]
    as_of = {applicant["applicant_id"]: applicant["as_of"] for applicant in applicants} | {"nobody": AS_OF}
    events = {}
    for table in draw(st.lists(st.sampled_from(["payments", "calls"]), unique=True)):
        owners = draw(st.lists(st.sampled_from(sorted(as_of)), max_size=most_events))
        rows = [_drawn_event(draw, table, owner, as_of[owner]) for owner in owners]
        events[table] = draw(st.permutations([row | {"event_number": n} for n, row in enumerate(rows)]))
    return Case(applicants, events)


def _drawn_event(draw: st.DrawFn, table: str, owner: str, as_of: datetime) -> dict[str, Any]:
    row = {"applicant_id": owner, "occurred_at": as_of - draw(AGES)}
    if table == "calls":
        return row | {"minutes": draw(st.one_of(st.none(), QUARTERS))}
    return row | {
        "known_at": row["occurred_at"] + draw(DELAYS),
        "paid_eur": draw(st.one_of(st.none(), st.just(-999.0), QUARTERS, DECIMALS)),
        "late_days": draw(st.one_of(st.none(), st.integers(-1, 4), st.just(-8))),
        "channel": draw(st.sampled_from([None, "app", "branch"])),
    }
