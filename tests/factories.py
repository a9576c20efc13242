"""A tiny made-up portfolio and its tables, each part of which a test may override."""

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from credit_scoring.core.features.engines import with_as_of
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.parsing import MOMENT, column_type
from credit_scoring.core.portfolio import Portfolio

AS_OF = datetime(2020, 6, 1, tzinfo=UTC)

DECLARATION: dict[str, Any] = {
    "name": "tiny",
    "title": "A made-up portfolio",
    "as_of": {"constant": "2020-06-01"},
    "applicants": {
        "key": "ID",
        "columns": {
            "income_eur": {"source": "INCOME", "type": "number", "min": 0, "max": 1_000_000, "nullable": True},
            "dependants": {"source": "DEPENDANTS", "type": "integer", "min": 0, "max": 20},
            "housing": {
                "source": "HOUSING",
                "type": "category",
                "values": {"1": "owner", "2": "tenant", "3": "other"},
                "nullable": True,
            },
            "sex": {"source": "SEX", "type": "category", "values": ["f", "m"], "protected": True},
            "defaulted": {"source": "DEFAULTED", "type": "integer", "min": 0, "max": 1, "after_outcome": True},
        },
    },
    "events": {
        "payments": {
            "columns": {
                "paid_eur": {"type": "number", "nullable": True},
                "late_days": {"type": "integer", "min": -1, "max": 999, "nullable": True},
                "channel": {"type": "category", "values": ["app", "branch"], "nullable": True},
            },
            "from_wide": {
                "at": {
                    "2020-05-31": {"paid_eur": "PAID_1", "late_days": "LATE_1", "channel": "CHANNEL_1"},
                    "2020-04-30": {"paid_eur": "PAID_2", "late_days": "LATE_2", "channel": "CHANNEL_2"},
                }
            },
        }
    },
    "outcome": {"column": "defaulted", "bad": [1], "good": [0], "window_days": 365},
    "split": {"salt": "tiny", "development": 0.6, "holdout": 0.2, "stream": 0.2},
    "policy": {
        "version": "1",
        "approve_from": 600,
        "refer_from": 560,
        "bands": [{"name": "A", "from_points": 600}, {"name": "B", "from_points": 300}],
        "reference_size": 50,
    },
    "reasons": {"R1": {"text": "Income"}, "R2": {"text": "Household"}, "R3": {"text": "Payments"}},
    "features": {
        "income_eur": {"column": "income_eur", "higher_is": "safer", "reason": "R1"},
        "housing": {"column": "housing", "reason": "R2"},
        "income_per_head": {"ratio": {"of": "income_eur", "to": "dependants"}, "reason": "R1"},
        "late_now": {
            "window": {"table": "payments", "aggregate": "last", "column": "late_days", "last": 1},
            "special": {-1: "nothing due"},
            "higher_is": "riskier",
            "reason": "R3",
        },
    },
}


def build_declaration(**overrides: Any) -> dict[str, Any]:
    """Return the declaration; ``a__b=x`` sets key ``b`` of ``a``, and a value of ``...`` removes the key."""
    declaration = copy.deepcopy(DECLARATION)
    for path, value in overrides.items():
        *parents, last = path.split("__")
        target = declaration
        for parent in parents:
            target = target[parent]
        if value is ...:
            del target[last]
        else:
            target[last] = value
    return declaration


def build_portfolio(**overrides: Any) -> Portfolio:
    """Return the tiny portfolio with ``overrides`` as in ``build_declaration``."""
    return Portfolio.model_validate(build_declaration(**overrides))


def build_plan(features: Mapping[str, Mapping[str, Any]]) -> FeatureSet:
    """Return the feature set of the tiny portfolio with other features; reasons may be left out."""
    return FeatureSet.of(
        build_portfolio(features={name: {"reason": "R1"} | dict(feature) for name, feature in features.items()})
    )


def build_applicants(rows: Sequence[Mapping[str, Any]], as_of: datetime = AS_OF) -> pl.DataFrame:
    """Return an applicants table; columns that a row leaves out are missing."""
    columns = build_portfolio().application_columns
    schema = {"applicant_id": pl.String} | {name: column_type(column) for name, column in columns.items()}
    return with_as_of(pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema), as_of)


def build_events(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return a payments table; ``days_ago`` (before ``AS_OF``) may stand for ``occurred_at``."""
    columns = build_portfolio().events["payments"].columns
    schema = {"applicant_id": pl.String, "occurred_at": MOMENT, "event_number": pl.Int32}
    schema |= {name: column_type(column) for name, column in columns.items()}
    filled = [
        {name: row.get(name) for name in schema}
        | {
            "applicant_id": row.get("applicant_id", "a"),
            "occurred_at": row.get("occurred_at") or AS_OF - timedelta(days=row.get("days_ago", 1)),
            "event_number": row.get("event_number", number),
        }
        for number, row in enumerate(rows)
    ]
    return pl.DataFrame(filled, schema=schema)


def build_raw(rows: Sequence[Mapping[str, str | None]]) -> pl.DataFrame:
    """Return received text: a sound row per mapping, with that mapping's values in place."""
    sound = {
        "ID": "a",
        "INCOME": "1000.5",
        "DEPENDANTS": "2",
        "HOUSING": "1",
        "SEX": "f",
        "DEFAULTED": "0",
        "PAID_1": "10",
        "LATE_1": "0",
        "CHANNEL_1": "app",
        "PAID_2": "",
        "LATE_2": "-1",
        "CHANNEL_2": "",
    }
    received = [sound | {"ID": f"a{number}"} | dict(row) for number, row in enumerate(rows)]
    return pl.DataFrame(received, schema=dict.fromkeys(sound, pl.String))
