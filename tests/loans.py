"""A made-up portfolio that uses every part of the declaration: loans of clients with account movements.

Loans are decided, booked and observed at days of their own; a client may have several; movements arrive as a feed of
their own, some of them late; districts are a partner's figures.
"""

import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl

FIRST_DAY = date(2019, 1, 1)

DECLARATION: dict[str, Any] = {
    "name": "loans",
    "title": "Made-up loans",
    "as_of": {"column": "decided_on", "granularity": "day"},
    "applicants": {
        "key": "loan",
        "grouped_by": "client",
        "missing": ["NA"],
        "columns": {
            "decided_on": {"source": "DECIDED", "type": "date", "formats": ["%d.%m.%Y", "%Y-%m-%d"]},
            "booked_on": {"source": "BOOKED", "type": "date", "nullable": True},
            "read_on": {"source": "READ", "type": "date"},
            "amount_eur": {"source": "AMOUNT", "type": "number", "decimal": ",", "thousands": ".", "min": 0},
            "score": {
                "source": "SCORE",
                "type": "integer",
                "min": 0,
                "max": 100,
                "special": {-8: "no record", -9: "not asked"},
                "nullable": True,
            },
            "customer_since": {"source": "SINCE", "type": "date", "nullable": True},
            "district": {"source": "DISTRICT", "type": "category", "values": {"01": "north", "02": "south"}},
            "remark": {"source": "REMARK", "type": "text", "nullable": True},
            "sex": {"source": "SEX", "type": "category", "values": ["f", "m"], "protected": True},
            "days_late": {"source": "LATE", "type": "integer", "min": 0, "after_outcome": True, "nullable": True},
        },
    },
    "lookups": {
        "districts": {
            "key": "code",
            "by": "district",
            "columns": {"unemployment": {"type": "number", "min": 0, "max": 100, "nullable": True}},
        }
    },
    "events": {
        "movements": {
            "key": "loan_ref",
            "id": "movement",
            "occurred_at": "booked_at",
            "known_at": {"source": "loaded_at"},
            "columns": {
                "eur": {"source": "amount", "type": "number"},
                "kind": {"type": "category", "values": ["in", "out", "fee"]},
            },
        }
    },
    "outcome": {
        "column": "days_late",
        "bad": {"above": 30},
        "indeterminate": {"above": 10, "at_most": 30},
        "good": {"at_most": 10, "at_least": 0},
        "excluded": [999],
        "window_days": 180,
        "starts": "booked_on",
        "observed": {"column": "read_on"},
    },
    "split": {"by": "time", "holdout_from": "2020-06-01", "stream_from": "2020-10-01"},
    "policy": {
        "version": "1",
        "approve_from": 460,
        "refer_from": 440,
        "bands": [{"name": "A", "from_points": 460}, {"name": "B", "from_points": 300}],
        "reference_size": 100,
    },
    "features_from_columns": True,
    "features": {
        "flow": {
            "windows": {"table": "movements", "columns": ["eur"], "aggregates": ["sum", "mean"], "days": [30, 90]},
            "higher_is": "safer",
        },
        "fees": {
            "windows": {
                "table": "movements",
                "aggregates": ["count"],
                "last": [5],
                "where": {"kind": {"one_of": ["fee"]}},
            }
        },
        "amount_to_flow": {"ratio": {"of": "amount_eur", "to": "flow_sum_90d"}, "higher_is": "riskier"},
    },
}
DECLARATION["outcome"]["bad"] = {"above": 30, "below": 999}


def received(loans: int = 1500, seed: int = 1) -> Mapping[str, pl.DataFrame]:
    """Return received text by table: ``loans`` rows, their movements, and the districts."""
    draw = random.Random(seed)  # noqa: S311 - made-up data
    rows, movements = [], []
    for number in range(loans):
        decided = FIRST_DAY + timedelta(days=draw.randrange(730))
        risk = draw.random()
        rows.append(_loan(number, decided, risk, draw))
        movements += _movements(number, decided, risk, draw)
    for number, movement in enumerate(movements):
        movement["movement"] = f"m{number}"
    districts = pl.DataFrame({"code": ["01", "02"], "unemployment": ["3.5", "9"]})
    return {"applicants": pl.DataFrame(rows), "movements": pl.DataFrame(movements), "districts": districts}


def _loan(number: int, decided: date, risk: float, draw: random.Random) -> dict[str, str]:
    late = int(draw.random() ** (2 - 1.8 * risk) * 60)
    amount = f"{draw.randrange(500, 20_000):,}".replace(",", ".") + ",50"
    return {
        "loan": f"l{number}",
        "client": f"c{number // 2 if number % 10 == 0 else number}",
        "DECIDED": decided.strftime("%d.%m.%Y") if number % 2 else decided.isoformat(),
        "BOOKED": (decided + timedelta(days=3)).isoformat(),
        "READ": "2021-03-01",
        "AMOUNT": amount,
        "SCORE": draw.choice(["-8", "-9", "NA", *[str(int(100 - 80 * risk)) for _ in range(7)]]),
        "SINCE": (decided - timedelta(days=draw.randrange(1, 3000))).isoformat(),
        "DISTRICT": draw.choice(["01", "02"]),
        "REMARK": draw.choice(["", "called, twice", 'said "soon"']),
        "SEX": draw.choice(["f", "m"]),
        "LATE": str(late),
    }


def _movements(number: int, decided: date, risk: float, draw: random.Random) -> list[dict[str, str]]:
    found = []
    for _ in range(draw.randrange(3, 12)):
        day = decided - timedelta(days=draw.randrange(-20, 120))
        found.append(
            {
                "loan_ref": f"l{number}",
                "booked_at": day.isoformat(),
                "loaded_at": (day + timedelta(days=draw.choice([0, 1, 40]))).isoformat(),
                "amount": f"{draw.gauss(400 * (1 - risk), 100):.2f}",
                "kind": draw.choice(["in", "out", "fee"]),
            }
        )
    return found
