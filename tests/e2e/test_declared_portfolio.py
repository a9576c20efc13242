"""A portfolio that uses every part of the declaration, a Python feature too, from its files to the service."""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import polars as pl
import pytest
import yaml
from checkout import Checkout
from loans import DECLARATION, received

FUNCTIONS = """
import narwhals as nw


def log_amount(amount_eur: nw.Expr) -> nw.Expr:
    return nw.when(amount_eur > 0).then(amount_eur.log())
"""
CATALOG = """
raw_applicants:
  type: credit_scoring.adapters.sources.DelimitedDataset
  filepath: data/1_raw/loans/applicants.csv
"""
APPLICATION = {
    "amount_eur": 1200.5,
    "score": -9,
    "customer_since": "2015-02-28",
    "district": "north",
    "unemployment": 3.5,
}
MOVEMENTS = [
    {"occurred_at": "2020-05-02T00:00:00Z", "known_at": "2020-05-03T00:00:00Z", "eur": 120.5, "kind": "in"},
    {"occurred_at": "2020-05-20T00:00:00Z", "known_at": "2020-07-03T00:00:00Z", "eur": 5000.0, "kind": "fee"},
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the loans are declared, received and run."""
    made = Checkout(tmp_path_factory.mktemp("loans"))
    declaration = copy.deepcopy(DECLARATION)
    declaration["features"]["log_amount"] = {"python": True, "higher_is": "riskier"}
    for directory in ("conf/loans", "data/1_raw/loans"):
        (made.root / directory).mkdir()
    (made.root / "conf/loans/portfolio.yml").write_text(yaml.safe_dump(declaration, sort_keys=False))
    (made.root / "conf/loans/features.py").write_text(FUNCTIONS)
    (made.root / "conf/loans/catalog.yml").write_text(CATALOG)
    for table, rows in received().items():
        rows.write_csv(made.root / f"data/1_raw/loans/{table}.csv")
    made.run("kedro run --env=loans")
    return made


@pytest.fixture(scope="module")
def service(checkout: Checkout) -> Iterator[httpx.Client]:
    with (
        checkout.served("loans") as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=checkout.authorization, timeout=20) as client,
    ):
        yield client


def record(service: httpx.Client, **body: Any) -> dict[str, Any]:
    """The record of the decision on ``body``."""
    answer = service.post("/v1/decisions", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = service.get(f"/v1/decisions/{answer.json()['decision_id']}").json()
    return found


def features(decided: dict[str, Any]) -> dict[str, float | None]:
    values: dict[str, float | None] = decided["features"][decided["feature_set"]]["values"]
    return values


def test_dates_codes_events_and_a_python_feature_are_served(service: httpx.Client):
    decided = record(
        service,
        application_id="inline",
        applicant_id="walk-in",
        as_of="2020-06-01T00:00:00Z",
        application=APPLICATION,
        events={"movements": MOVEMENTS},
    )
    values = features(decided)
    assert values["log_amount"] == pytest.approx(math.log(1200.5), rel=1e-6)
    assert values["score"] == -9
    assert values["customer_since"] == 1920
    assert values["flow_sum_90d"] == 120.5  # the other movement became known later
    assert values["fees_count_last5"] == 0
    assert decided["reasons"][0]["text"]


def test_a_stored_loan_is_decided_as_the_batch_computed_it(service: httpx.Client, checkout: Checkout):
    batch = pl.read_parquet(checkout.root / "data/3_features/loans/applicants.parquet")
    loans = pl.read_parquet(checkout.root / "data/2_validated/loans/applicants.parquet", columns=["as_of"])
    for number in (3, 700, 1499):
        row = batch.row(number, named=True)
        as_of = loans["as_of"][number].isoformat()
        decided = record(service, application_id=f"s{number}", applicant_id=row.pop("applicant_id"), as_of=as_of)
        assert decided["features_from"] == "store"
        assert features(decided) == row


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"customer_since": "2015-02-30"}, "/application/customer_since"),
        ({"score": -7}, "/application/score"),
        ({"days_late": 3}, "/application/days_late"),
        ({"sex": "f"}, "/application/sex"),
        ({"decided_on": "2020-01-01"}, "/application/decided_on"),
    ],
)
def test_what_the_declaration_does_not_allow_is_refused_with_its_place(
    service: httpx.Client, change: dict[str, Any], pointer: str
):
    body = {"application_id": "bad", "applicant_id": "walk-in", "application": APPLICATION | change}
    refused = service.post("/v1/decisions", json=body)
    assert refused.status_code == 422
    assert pointer in json.dumps(refused.json())


def test_the_api_s_description_follows_the_declaration(service: httpx.Client):
    described = service.get("/openapi.json").json()
    fields = described["components"]["schemas"]["ApplicationFields"]["properties"]
    assert set(fields) == set(APPLICATION)
    assert "-9 (not asked)" in json.dumps(fields["score"])
