import gzip
import os
import shutil
import socket
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tenants import facts_of, owned
from typer.testing import CliRunner, Result

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.console import app
from credit_scoring.core.owners import Owner
from credit_scoring.core.tables import application_table, event_tables

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory with the declaration alone, and the embedded database."""
    (tmp_path / "conf/taiwan_cards").mkdir(parents=True)
    shutil.copy(ROOT / "conf/taiwan_cards/portfolio.yml", tmp_path / "conf/taiwan_cards")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDIT_DATABASE_URL", raising=False)
    return tmp_path


@pytest.fixture
def validated(project: Path, taiwan: Any, taiwan_checked: Any) -> Path:
    """The same after ingestion: validated tables of 50 applicants."""
    rows = {"applicants": taiwan_checked.valid["applicants"].head(50)}
    directory = project / "data/2_validated/taiwan_cards"
    (directory / "events").mkdir(parents=True)
    application_table(rows, taiwan).sink_parquet(directory / "applicants.parquet")
    for table, frame in event_tables(rows, taiwan).items():
        frame.sink_parquet(directory / f"events/{table}.parquet")
    return project


@pytest.fixture
def built(validated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENTOML_HOME", str(validated / "bentoml"))
    (validated / "bentoml/bentos/credit_scoring_taiwan_cards/abc").mkdir(parents=True)
    (validated / "build").mkdir()
    (validated / "build/credit_scoring_taiwan_cards.tag").write_text("credit_scoring_taiwan_cards:abc\n")
    return validated


def test_ingest_loads_once_and_again_when_the_content_changed(validated):
    assert "50 applicants, 300 statements" in run("ingest").stdout
    assert "loaded already" in run("ingest").stdout
    store = FactsRepository(open_database("sqlite:///data/credit_scoring.db"))
    assert facts_of(store, owned("taiwan_cards"), "50") is not None
    path = validated / "data/2_validated/taiwan_cards/applicants.parquet"
    pl.read_parquet(path).with_columns(limit_twd=pl.lit(5)).write_parquet(path)
    assert "Loaded" in run("ingest").stdout
    assert facts_of(store, owned("taiwan_cards"), "50").fields["limit_twd"] == 5


def test_ingest_loads_for_the_tenant_of_the_environment(validated, monkeypatch):
    monkeypatch.setenv("CREDIT_TENANT", "other lender")
    assert "50 applicants" in run("ingest").stdout
    store = FactsRepository(open_database("sqlite:///data/credit_scoring.db"))
    assert facts_of(store, owned("taiwan_cards"), "50") is None
    assert facts_of(store, Owner("other lender", "taiwan_cards"), "50") is not None


@pytest.mark.parametrize("missing", ["applicants.parquet", "events/statements.parquet"])
def test_ingest_names_the_file_that_is_missing(validated, missing):
    (validated / "data/2_validated/taiwan_cards" / missing).unlink()
    assert_one_line(run("ingest"), missing, "kedro run")


def test_ingest_refuses_a_table_without_the_declared_columns(validated):
    path = validated / "data/2_validated/taiwan_cards/applicants.parquet"
    pl.read_parquet(path).drop("limit_twd").write_parquet(path)
    assert_one_line(run("ingest"), "applicants.parquet", "kedro run")


def test_an_undeclared_portfolio_is_named(project):
    assert_one_line(run("ingest", "--portfolio", "nowhere"), "conf/nowhere/portfolio.yml")


def test_serve_asks_for_a_bento_first(project):
    assert_one_line(run("serve"), "build/credit_scoring_taiwan_cards.tag", "make run")


def test_serve_asks_for_the_bento_of_its_own_portfolio_whatever_was_built_last(built):
    (built / "build/credit_scoring_other.tag").write_text("credit_scoring_other:abc")
    (built / "build/credit_scoring_taiwan_cards.tag").unlink()
    assert_one_line(run("serve"), "credit_scoring_taiwan_cards.tag", "make run PORTFOLIO=taiwan_cards")


def test_serve_tells_that_the_bento_was_deleted(built):
    (built / "bentoml/bentos/credit_scoring_taiwan_cards/abc").rmdir()
    assert_one_line(
        run("serve"), "credit_scoring_taiwan_cards:abc", "kedro run --env=taiwan_cards --pipeline=packaging"
    )


def test_serve_names_a_port_that_is_taken(built):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert_one_line(run("serve", "--port", str(port)), str(port), "PORT=")


@pytest.mark.parametrize("registry", ["http://registry:5000", "sqlite:////srv/mlflow.db"])
def test_serve_passes_on_the_registry_that_is_named(built, monkeypatch, registry):
    started: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *given: started.extend(given))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    assert run("serve", "--port", port).exit_code == 0
    assert started[2]["MLFLOW_TRACKING_URI"] == registry


def test_serve_starts_bentoml_on_the_database_that_was_filled(built, monkeypatch):
    started: list[Any] = []
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(os, "execve", lambda *given: started.extend(given))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    assert run("serve", "--port", port).exit_code == 0
    program, command, environment = started
    assert program == sys.executable
    assert command[3:] == ["serve", "credit_scoring_taiwan_cards:abc", "--host", "127.0.0.1", "--port", port]
    assert environment["BENTOML_DO_NOT_TRACK"] == "true"
    database = environment["CREDIT_DATABASE_URL"]
    assert database == f"sqlite:///{built}/data/credit_scoring.db"
    assert environment["MLFLOW_TRACKING_URI"] == f"sqlite:///{built}/mlflow.db"
    assert facts_of(FactsRepository(open_database(database)), owned("taiwan_cards"), "1") is not None


@pytest.fixture
def received(project: Path) -> Path:
    """A project that holds the shipped declaration, its catalogs and some received rows."""
    shutil.copytree(ROOT / "conf/base", project / "conf/base")
    shutil.copytree(ROOT / "conf/taiwan_cards", project / "conf/taiwan_cards", dirs_exist_ok=True)
    target = project / "data/1_raw/taiwan_cards/applicants.csv.gz"
    target.parent.mkdir(parents=True)
    with gzip.open(ROOT / "data/1_raw/taiwan_cards/applicants.csv.gz", "rt") as rows, gzip.open(target, "wt") as few:
        few.writelines(islice(rows, 101))
        few.write("101,-5" + ",1" * 23 + "\n")
    return project


def test_a_portfolio_is_checked_without_training(received):
    told = run("portfolio", "check", "taiwan_cards")
    assert told.exit_code == 0
    assert "101 rows received: 100 valid, 1 set aside" in told.stdout
    assert "rule 'range' on LIMIT_BAL" in told.stdout
    assert "61 scored features" in told.stdout
    assert not (received / "mlflow.db").exists()


def test_a_portfolio_check_tells_that_a_run_would_stop_and_why_its_catalog_cannot_be_read(received):
    assert "a run stops here" not in run("portfolio", "check", "taiwan_cards").stdout
    declaration = received / "conf/taiwan_cards/portfolio.yml"
    declaration.write_text(
        declaration.read_text().replace("AGE, type: integer, min: 18", "AGE, type: integer, min: 90")
    )
    told = run("portfolio", "check", "taiwan_cards").stdout
    assert "a run stops here, as more than 5.0% (ingestion.max_quarantined_share) are broken" in told
    (received / "conf/taiwan_cards/catalog.yml").write_text("raw_applicants: {type: [}\n")
    assert_one_line(run("portfolio", "check", "taiwan_cards"), "catalog.yml", "not valid YAML", "line 1")


def test_a_portfolio_check_names_what_is_wrong(received):
    assert_one_line(run("portfolio", "check", "taiwan"), "'taiwan'", "Did you mean 'taiwan_cards'?")
    declaration = received / "conf/taiwan_cards/portfolio.yml"
    declaration.write_text(declaration.read_text().replace("type: integer", "type: intger", 1))
    assert_one_line(run("portfolio", "check", "taiwan_cards"), "portfolio.yml, line", "Did you mean 'integer'?")
    shutil.copy(ROOT / "conf/taiwan_cards/portfolio.yml", declaration)
    (received / "data/1_raw/taiwan_cards/applicants.csv.gz").unlink()
    assert_one_line(run("portfolio", "check", "taiwan_cards"), "applicants.csv.gz", "catalog")


def assert_one_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")
    assert all(word in result.stderr for word in words)
