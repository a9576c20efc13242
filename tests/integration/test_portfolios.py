"""Every portfolio under conf/: sound by itself; with the shared data, read whole, and run from rows to Bento."""

import os
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost as xgb
from integration.kedro_project import ROOT, Finished, Project, new_project

from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.features.engines import with_as_of
from credit_scoring.core.features.feature_set import FeatureSet, to_matrix
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.table_checks import CheckedTables
from credit_scoring.core.tables import application_table, event_tables, outcome_table, protected_table
from credit_scoring.core.training.boosted_trees import fit_boosted_trees
from credit_scoring.core.training.development import Development, labelled
from credit_scoring.core.training.options import BoostedTreesOptions
from credit_scoring.pipelines.received_rows import checked_rows
from table_treeshap import TreeExplainer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what shap imports warns
    import shap

CONF = ROOT / "conf"
SHARED = Path(os.environ.get("CREDIT_SHARED_DATA", ROOT.parent / "shared" / "data")).absolute()
DECLARED = sorted(path.parent.name for path in CONF.glob("*/portfolio.yml"))
with_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"needs the shared data sets: {SHARED} is absent (CREDIT_SHARED_DATA names another)"
)

RECEIVED = {
    "lending_club": {"applicants": 24_776},
    "lending_club_volume": {"applicants": 119_987},
    "south_german": {"applicants": 1_000},
    "hmeq": {"applicants": 5_960},
    "czech_bank": {"applicants": 682, "account": 4_500, "district": 77, "transactions": 30_200},
}
LABELS = {
    "lending_club": {"good": 20_274, "bad": 4_502},
    "lending_club_volume": {"good": 97_316, "bad": 22_671},
    "south_german": {"good": 700, "bad": 300},
    "hmeq": {"good": 4_771, "bad": 1_189},
    "czech_bank": {"good": 324, "bad": 30, "excluded": 328},
}


def declared(name: str) -> Portfolio:
    return read_portfolio(CONF / name / "portfolio.yml")


@pytest.mark.parametrize("name", DECLARED)
def test_every_declaration_is_sound(name: str):
    portfolio = declared(name)
    assert portfolio.name == name
    read = {operand for feature in portfolio.features.values() for operand in feature.operands}
    assert read.isdisjoint(portfolio.protected_columns)
    assert read.isdisjoint({portfolio.outcome.column, "status"})
    columns = [*portfolio.application_columns.values()]
    columns += [column for events in portfolio.events.values() for column in events.columns.values()]
    assert all(column.description for column in columns)


@pytest.mark.parametrize("name", [name for name in DECLARED if name != "taiwan_cards"])
def test_a_portfolio_is_configuration_that_names_no_machine(name: str):
    files = sorted((CONF / name).glob("**/*.*"))
    assert {path.suffix for path in files} == {".yml"}
    for path in files:
        assert str(Path.home()) not in (text := path.read_text(encoding="utf-8"))
        assert str(ROOT.parent) not in text


@pytest.fixture(scope="module", params=RECEIVED)
def portfolio(request: pytest.FixtureRequest) -> Portfolio:
    return declared(request.param)


@pytest.fixture(scope="module")
def checked(portfolio: Portfolio) -> Iterator[CheckedTables]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREDIT_SHARED_DATA", str(SHARED))
        with checked_rows(portfolio, CONF) as found:
            yield found


@with_data
def test_every_received_row_is_valid_or_set_aside(checked: CheckedTables, portfolio: Portfolio):
    assert {table: received.rows for table, received in checked.received.items()} == RECEIVED[portfolio.name]
    for table, received in checked.received.items():
        valid = checked.valid[table].select(pl.len()).collect().item()
        aside = checked.quarantined.filter(table=table).height
        assert valid + aside == received.rows
        assert aside <= 0.001 * received.rows


@with_data
def test_outcomes_are_labelled_as_declared(checked: CheckedTables, portfolio: Portfolio):
    labels = outcome_table(checked.valid, portfolio).collect()
    assert dict(labels.group_by("label").len().iter_rows()) == LABELS[portfolio.name]
    assert labels["is_bad"].sum() == LABELS[portfolio.name]["bad"]


@with_data
def test_no_protected_attribute_and_no_outcome_reaches_an_application(checked: CheckedTables, portfolio: Portfolio):
    known = set(application_table(checked.valid, portfolio).collect_schema().names())
    protected = set(protected_table(checked.valid, portfolio).collect_schema().names()) - {"applicant_id"}
    assert protected == ({"personal_status_sex", "age_years", "foreign_worker"} & set(portfolio.row_columns))
    assert known.isdisjoint(protected | {portfolio.outcome.column, "status"})


@with_data
def test_trees_of_every_portfolio_are_explained_as_xgboost_and_shap_explain_them(
    checked: CheckedTables, portfolio: Portfolio
):
    development = _development(checked, portfolio)
    development = development.rows(np.arange(min(4_000, len(development.is_bad))))
    options = BoostedTreesOptions(algorithm="boosted_trees", rounds=120, max_depth=5, min_child_weight=1)
    trees = fit_boosted_trees(development, options).with_reference(development.features[:600])
    columns = trees.encoder.encode(development.features[:300])
    booster = xgb.Booster()
    booster.load_model(bytearray(trees.model))
    told = booster.predict(xgb.DMatrix(columns), pred_contribs=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what shap imports warns
        by_shap = shap.TreeExplainer(booster, feature_perturbation="tree_path_dependent").shap_values(columns)
    margin, contributions = TreeExplainer.of(trees.model).explained(columns)
    np.testing.assert_allclose(contributions, told[:, :-1], atol=1e-5, rtol=0)
    np.testing.assert_allclose(contributions, by_shap, atol=1e-5, rtol=0)
    np.testing.assert_allclose(margin, booster.predict(xgb.DMatrix(columns), output_margin=True), atol=1e-5, rtol=0)
    assert np.abs(contributions).sum() > 0


def _development(checked: CheckedTables, portfolio: Portfolio) -> Development:
    plan = FeatureSet.of(portfolio)
    applicants = application_table(checked.valid, portfolio).collect()
    if portfolio.as_of.column is None:
        applicants = with_as_of(applicants, portfolio.as_of.moment(None, datetime(2026, 1, 1, tzinfo=UTC)))
    events = {table: rows.collect() for table, rows in event_tables(checked.valid, portfolio).items()}
    rows, is_bad = labelled(plan.compute(applicants, events), outcome_table(checked.valid, portfolio).collect())
    return Development(portfolio, plan, to_matrix(rows, plan.names), is_bad)


@with_data
@pytest.mark.parametrize("portfolio", ["czech_bank"], indirect=True)
def test_windows_hold_what_the_bank_s_own_rows_say(checked: CheckedTables, portfolio: Portfolio):
    applicants = application_table(checked.valid, portfolio).collect()
    events = {table: rows.collect() for table, rows in event_tables(checked.valid, portfolio).items()}
    found = FeatureSet.of(portfolio).compute(applicants, events)
    columns = ("balance_min_90d", "sanctions_365d", "payment_to_credits_90d")
    told = {row[0]: row[1:] for row in found.select("applicant_id", *columns).iter_rows()}
    expected = _by_hand()
    assert len(expected) == sum(LABELS["czech_bank"][label] for label in ("good", "bad"))
    for account, values in expected.items():
        assert told[account] == pytest.approx(values, rel=1e-6), account
    assert all(told[account] == (None, None, None) for account in told.keys() - expected.keys())


def _by_hand() -> dict[str, tuple[float | None, ...]]:
    """Lowest balance of 90 days, sanctions of a year and payment to credits, loan by loan."""
    loans, rows = _read("loan.asc"), _read("transactions_354_loans.csv.gz")
    rows = rows.with_columns(pl.col("amount", "balance").cast(pl.Float64))
    of_account = dict(rows.partition_by("account_id", as_dict=True))
    return {
        loan["account_id"]: _of_loan(loan, of_account[(loan["account_id"],)])
        for loan in loans.iter_rows(named=True)
        if (loan["account_id"],) in of_account
    }


def _of_loan(loan: Mapping[str, Any], rows: pl.DataFrame) -> tuple[float | None, ...]:
    before = rows.filter(pl.col("day") < loan["day"])
    year = before.filter(pl.col("day") >= loan["day"] - timedelta(days=365))
    quarter = before.filter(pl.col("day") >= loan["day"] - timedelta(days=90))
    came_in = quarter.filter(type="credit")["amount"].sum()
    sanctions = year.filter(k_symbol="sanction interest if negative balance").height
    return quarter["balance"].min(), sanctions, float(loan["payments"]) / came_in if came_in else None


def _read(file: str) -> pl.DataFrame:
    read = pl.read_csv(SHARED / "berka" / file, separator=";", infer_schema=False)
    return read.with_columns(day=("19" + pl.col("date")).str.to_date("%Y%m%d"))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project directory of its own, for portfolios other than the default one."""
    return new_project(tmp_path_factory.mktemp("portfolios") / "project")


def run(project: Project, name: str, *arguments: str) -> Finished:
    finished = project.run(f"--env={name}", *arguments, CREDIT_SHARED_DATA=str(SHARED))
    assert "Traceback" not in finished.stderr
    return finished


@with_data
@pytest.mark.parametrize(
    ("name", "holdout", "period", "parts"),
    [
        ("south_german", 163, "stream", {"development": 482, "holdout": 163, "stream": 355}),
        ("czech_bank", 108, "holdout", {"development": 246, "holdout": 108}),
    ],
)
def test_a_portfolio_runs_from_received_rows_to_a_bento_and_is_monitored(
    workshop: Project, name: str, holdout: int, period: str, parts: dict[str, int]
):
    whole = run(workshop, name)
    assert whole.code == 0, whole.stderr
    assert f"credit_scoring_{name}, measured on the holdout part" in whole.stdout
    assert workshop.json(f"data/4_models/{name}/evaluation/metrics.json")["applicants"] == holdout
    assert len(workshop.records(f"select * from roles where portfolio = '{name}'")) == 1  # noqa: S608
    watched = run(workshop, name, "--pipeline=monitoring")
    assert watched.code == 0, watched.stderr
    stability = workshop.json(f"data/7_monitoring/{name}/stability.json")
    assert stability["reference"] == {"part": "development", "applicants": parts["development"]}
    assert stability["period"] == {"part": period, "applicants": parts[period]}


@with_data
def test_a_portfolio_without_a_stream_is_told_what_to_watch(workshop: Project):
    name = "czech_bank"
    if not (workshop.root / f"data/4_models/{name}").is_dir():
        assert run(workshop, name).code == 0
    finished = run(workshop, name, "--pipeline=monitoring", "--params=monitoring.period_part=stream")
    assert finished.code == 1
    assert "The part 'stream' has no applicants." in finished.stderr
    assert "'monitoring.period_part'" in finished.stderr


@with_data
def test_a_hundred_thousand_rows_lose_nothing_on_the_way_to_features(workshop: Project):
    name = "lending_club_volume"
    finished = run(workshop, name, "--pipelines=ingestion,features")
    assert finished.code == 0, finished.stderr
    rows = RECEIVED[name]["applicants"]
    summary = workshop.json(f"data/2_validated/{name}/ingestion_summary.json")
    assert (summary["rows_in"], summary["rows_valid"], summary["rows_quarantined"]) == (rows, rows, 0)
    features = pl.read_parquet(workshop.root / f"data/3_features/{name}/applicants.parquet")
    assert features["applicant_id"].to_list() == [f"row-{number}" for number in range(1, rows + 1)]
    received = pl.read_csv(SHARED / "lendingclub" / "loans_119987.csv.gz", infer_schema=False)
    amounts = received["loan_amnt"].cast(pl.Float32)
    assert features["loan_usd"].equals(amounts.rename("loan_usd"))
    assert pl.read_parquet(workshop.root / f"data/3_features/{name}/parts.parquet").height == rows
