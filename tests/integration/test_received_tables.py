"""``kedro run`` on a portfolio with tables of its own: loans of clients, late movements, districts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from integration.kedro_project import Finished, Project
from loans import DECLARATION, received

CATALOG = """
raw_applicants:
  type: credit_scoring.adapters.sources.DelimitedDataset
  filepath: data/1_raw/loans/loans.txt
  load_args: {delimiter: ";", encoding: cp1252}
raw_tables:
  type: credit_scoring.adapters.table_datasets.TablesDataset
  dataset: {type: polars.EagerPolarsDataset, file_format: parquet, filepath: "data/1_raw/loans/{table}.parquet"}
  tables:
    districts: {type: pandas.ExcelDataset, filepath: data/1_raw/loans/districts.xlsx, load_args: {dtype: object}}
"""
PARAMETERS = """
scorecard: {calibration: {folds: 2}, fit: {min_information_value: 0.001}}
boosted_trees: {fit: {rounds: 30, max_depth: 3, learning_rate: 0.2, min_child_weight: 2}, calibration: {folds: 2}}
evaluation: {explained_applicants: 100}
"""
VALIDATED = Path("data/2_validated/loans")


def write_portfolio(project: Project, loans: int = 1500) -> None:
    """Declaration, catalog and received files of the loans, each table from another kind of source."""
    conf, raw = project.root / "conf/loans", project.root / "data/1_raw/loans"
    conf.mkdir()
    raw.mkdir()
    (conf / "portfolio.yml").write_text(yaml.safe_dump(DECLARATION, sort_keys=False))
    (conf / "catalog.yml").write_text(CATALOG)
    (conf / "parameters.yml").write_text(PARAMETERS)
    tables = received(loans)
    tables["applicants"].write_csv(raw / "loans.txt", separator=";")
    tables["movements"].write_parquet(raw / "movements.parquet")
    tables["districts"].to_pandas().to_excel(raw / "districts.xlsx", index=False)


@pytest.fixture
def loans(fresh: Project) -> Project:
    write_portfolio(fresh)
    return fresh


@pytest.fixture
def few(fresh: Project) -> Project:
    write_portfolio(fresh, loans=200)
    return fresh


def ingest(project: Project) -> Finished:
    return project.run("--env=loans", "--pipeline=ingestion")


def summary(project: Project) -> dict[str, Any]:
    return project.json(str(VALIDATED / "ingestion_summary.json"))


def test_a_portfolio_of_several_tables_runs_by_its_declaration_alone(loans: Project):
    finished = loans.run("--env=loans")
    assert finished.code == 0, finished.stderr
    assert "credit_scoring_loans" in finished.stdout
    tables = summary(loans)["tables"]
    assert tables["applicants"]["rows_valid"] == 1500
    assert tables["movements"]["rows_quarantined"] == 0
    parts = pl.read_parquet(loans.root / "data/3_features/loans/parts.parquet")
    assert set(parts["part"]) == {"development", "holdout", "stream"}
    outcomes = pl.read_parquet(loans.root / VALIDATED / "outcomes.parquet")
    assert {"bad", "good", "indeterminate", "immature"} <= set(outcomes["label"])
    description = loans.json("data/3_features/loans/description.json")
    assert "flow_sum_90d" in description["features"]
    assert loans.run("--env=loans", "--pipeline=monitoring").code == 0


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("pandas", "{type: pandas.ParquetDataset, filepath: 'data/2_validated/loans/applicants.parquet'}"),
        (
            "eager Polars",
            "{type: polars.EagerPolarsDataset, file_format: parquet, "
            "filepath: 'data/2_validated/loans/applicants.parquet'}",
        ),
        pytest.param(
            "PySpark",
            "{type: spark.SparkDatasetV2, file_format: parquet, filepath: 'data/2_validated/loans/applicants.parquet'}",
            marks=pytest.mark.skipif(shutil.which("java") is None, reason="PySpark needs Java, and there is none"),
        ),
    ],
)
def test_the_catalog_decides_the_engine_of_the_features_and_not_their_values(few: Project, kind: str, entry: str):
    assert ingest(few).code == 0
    assert few.run("--env=loans", "--pipeline=features").code == 0
    features = few.root / "data/3_features/loans/applicants.parquet"
    lazily = pl.read_parquet(features)
    events = entry.replace("applicants.parquet", "events/{table}.parquet")
    table_entries = (
        f"\nvalidated_applicants@features: {entry}\nvalidated_events@features:\n"
        f"  type: credit_scoring.adapters.table_datasets.TablesDataset\n  dataset: {events}\n"
    )
    (few.root / "conf/loans/catalog.yml").write_text(CATALOG + table_entries)
    finished = few.run("--env=loans", "--pipeline=features")
    assert finished.code == 0, finished.stderr
    assert pl.read_parquet(features).sort("applicant_id").equals(lazily.sort("applicant_id")), kind


def test_broken_rows_of_every_table_are_kept_with_where_they_came_from(few: Project):
    raw = few.root / "data/1_raw/loans"
    lines = (raw / "loans.txt").read_text().splitlines()
    lines[3] = lines[3].replace("2021-03-01", "soon")
    lines[4] += ";one too many"
    (raw / "loans.txt").write_text("\n".join(lines) + "\n")
    movements = pl.read_parquet(raw / "movements.parquet")
    kinds = pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("gift")).otherwise(pl.col("kind"))
    movements.with_columns(kind=kinds).write_parquet(raw / "movements.parquet")
    finished = ingest(few)
    assert finished.code == 0, finished.stderr
    kept = pl.read_parquet(few.root / VALIDATED / "quarantine.parquet")
    assert list(kept.select("table", "source", "row_number", "rule").iter_rows()) == [
        ("applicants", "data/1_raw/loans/loans.txt", 3, "type"),
        ("applicants", "data/1_raw/loans/loans.txt", 4, "columns"),
        ("movements", "movements", 8, "allowed values"),
    ]
    assert json.loads(kept["received"][0])["READ"] == "soon"
    told = summary(few)
    for table in told["tables"].values():
        assert table["rows_in"] == table["rows_valid"] + table["rows_quarantined"]
    valid = pl.read_parquet(few.root / VALIDATED / "applicants.parquet")
    assert valid.height == told["tables"]["applicants"]["rows_valid"] == 198


def test_rows_that_a_corrected_declaration_allows_are_taken_in_again_without_their_file(few: Project):
    raw = few.root / "data/1_raw/loans/loans.txt"
    lines = raw.read_text().splitlines()
    place = lines[0].split(";").index("SCORE")
    for number in (1, 2):
        fields = lines[number].split(";")
        lines[number] = ";".join([*fields[:place], "150", *fields[place + 1 :]])
    lines[3] += ";one too many"
    raw.write_text("\n".join(lines) + "\n")
    assert ingest(few).code == 0
    raw.unlink()
    declaration = few.root / "conf/loans/portfolio.yml"
    declaration.write_text(declaration.read_text().replace("max: 100\n      special", "max: 200\n      special"))
    told = retry(few)
    assert "2 rows of files re-admitted (2 applicants)." in told
    assert "1 rows of files still fail:" in told
    valid = pl.read_parquet(few.root / VALIDATED / "applicants.parquet")
    assert valid.height == 199
    assert valid.filter(pl.col("applicant_id").is_in(["l0", "l1"]))["score"].to_list() == [150, 150]
    assert pl.read_parquet(few.root / VALIDATED / "quarantine.parquet")["rule"].to_list() == ["columns"]
    assert summary(few)["tables"]["applicants"]["rows_in"] == 200
    assert "0 rows of files re-admitted" in retry(few)


def retry(project: Project) -> str:
    command = [str(Path(sys.executable).with_name("credit-scoring")), "quarantine", "retry", "--portfolio", "loans"]
    done = subprocess.run(
        command, cwd=project.root, env=project.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_columns_that_come_and_go_are_told(few: Project):
    raw = few.root / "data/1_raw/loans/movements.parquet"
    movements = pl.read_parquet(raw)
    movements.with_columns(channel=pl.lit("app")).write_parquet(raw)
    assert "has columns that nobody declared, which are left out: channel" in ingest(few).stderr
    assert "columns" not in ingest(few).stderr
    movements.with_columns(purpose=pl.lit("x")).write_parquet(raw)
    third = ingest(few).stderr
    assert "has columns that it had not before: purpose" in third
    assert "lacks columns that it had before: channel" in third
    movements.drop("kind").write_parquet(raw)
    refused = ingest(few)
    assert refused.code != 0
    assert "'kind' is declared but absent" in refused.stderr


def test_a_table_of_which_too_much_breaks_the_contract_stops_the_run_and_keeps_the_rows(few: Project):
    raw = few.root / "data/1_raw/loans/movements.parquet"
    pl.read_parquet(raw).with_columns(booked_at=pl.lit("soon")).write_parquet(raw)
    refused = ingest(few)
    assert refused.code != 0
    assert "rows of the table 'movements' broke the contract" in refused.stderr
    assert "booked_at (type)" in refused.stderr
    kept = pl.read_parquet(few.root / VALIDATED / "quarantine.parquet")
    assert kept.height == pl.read_parquet(raw).height


def test_a_table_that_is_not_there_is_told(few: Project):
    (few.root / "data/1_raw/loans/movements.parquet").unlink()
    refused = ingest(few)
    assert refused.code != 0
    assert "movements.parquet" in refused.stderr
    assert "Traceback" not in refused.stderr
