import gzip
import json
import random
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from integration.kedro_project import new_project
from shared_data import shared_file
from typer.testing import CliRunner, Result

from credit_scoring.adapters import received_file
from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.console import app

ROOT = Path(__file__).parents[2]
ROWS = 400


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "conf/base", tmp_path / "conf/base")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loans() -> list[dict[str, Any]]:
    first = date(2019, 1, 1)
    return [
        {
            "Loan No": f"L{10_000 + n}",
            "Amount": f"{1000 + n * 37 % 9000}",
            "Zweck": ["Möbel", "Auto", "Umzug"][n % 3],
            "Opened": (first + timedelta(days=n * 11 % 900)).strftime("%d.%m.%Y"),
            "Sex": "mf"[n % 2],
            "Outcome": "default" if n * 7 % 5 == 0 else "repaid",
        }
        for n in range(ROWS)
    ]


def as_text(delimiter: str = ",", header: bool = True) -> str:
    rows = loans()
    lines = [delimiter.join(rows[0])] if header else []
    return "\n".join([*lines, *(delimiter.join(row.values()) for row in rows)]) + "\n"


def write(path: Path, kind: str) -> None:
    if kind == "csv":
        path.write_text(as_text(), encoding="utf-8-sig")
    elif kind == "semicolon, cp1252":
        path.write_text(as_text(";"), encoding="cp1252")
    elif kind == "tab, utf-16, gzip":
        path.write_bytes(gzip.compress(as_text("\t").encode("utf-16")))
    elif kind == "json lines":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in loans()), encoding="utf-8")
    elif kind == "parquet":
        pl.DataFrame(loans()).write_parquet(path)
    else:
        pd.DataFrame(loans()).assign(Amount=lambda d: d["Amount"].astype(int)).to_excel(path, index=False)


@pytest.mark.parametrize("kind", ["csv", "semicolon, cp1252", "tab, utf-16, gzip", "json lines", "parquet", "excel"])
def test_a_file_of_any_kind_is_told_by_its_content_and_drafted_alike(project, kind):
    path = project / ("loans.xlsx" if kind == "excel" else "loans.received")
    write(path, kind)
    told = run("portfolio", "init", str(path), "--target", "outcome", "--name", "drafted")
    assert told.exit_code == 0, told.stderr
    portfolio = read_portfolio(project / "conf/drafted/portfolio.yml")
    columns = portfolio.applicants.columns
    assert portfolio.applicants.key == "Loan No"
    assert {name: column.type for name, column in columns.items()} == {
        "amount": "integer", "zweck": "category", "opened": "date", "sex": "category", "outcome": "category",
    }  # fmt: skip
    assert set(columns["zweck"].categories) == {"Möbel", "Auto", "Umzug"}
    assert "LIKELY PROTECTED, left out: sex" in told.stdout
    checked = run("portfolio", "check", "drafted")
    assert f"{ROWS} rows received: {ROWS} valid, 0 set aside" in checked.stdout, checked.stderr


def test_a_file_without_header_gets_names_by_position(project):
    Path("loans.csv").write_text(as_text(header=False), encoding="utf-8")
    told = run("portfolio", "init", "loans.csv", "--target", "column_6")
    assert "NO header" in told.stdout
    assert f"{ROWS} rows received: {ROWS} valid" in run("portfolio", "check", "loans").stdout


def test_a_header_with_a_gap_is_set_aside_and_the_columns_named(project):
    lines = as_text().splitlines()
    indexed = [f",{lines[0]}", *(f"{n},{line}" for n, line in enumerate(lines[1:]))]
    Path("loans.csv").write_text("\n".join(indexed), encoding="utf-8")
    told = run("portfolio", "init", "loans.csv", "--target", "Outcome")
    assert "1 column(s) have no name" in told.stdout
    assert f"{ROWS + 1} rows received: {ROWS} valid, 1 set aside" in run("portfolio", "check", "loans").stdout


def test_rows_that_fit_no_columns_are_counted(project):
    Path("loans.csv").write_text(as_text() + "torn\n", encoding="utf-8")
    told = run("portfolio", "init", "loans.csv", "--target", "Outcome")
    assert "1 row(s) cannot be put into columns" in told.stdout


def test_what_is_given_wins_over_what_is_guessed(project):
    Path("loans.csv").write_text(as_text(";"), encoding="utf-8")
    options = [
        "--delimiter",
        ";",
        "--encoding",
        "latin-1",
        "--key",
        "Loan No",
        "--bad",
        "repaid",
        "--as-of",
        "2020-02-01",
    ]
    assert run("portfolio", "init", "loans.csv", "--target", "Outcome", *options).exit_code == 0
    portfolio = read_portfolio(project / "conf/loans/portfolio.yml")
    assert portfolio.outcome.bad.one_of == ("repaid",)
    assert portfolio.as_of.constant == date(2020, 2, 1)
    assert "latin-1" in Path("conf/loans/catalog.yml").read_text(encoding="utf-8")


def test_of_a_large_file_the_first_rows_are_looked_at_and_that_is_said(project, monkeypatch):
    monkeypatch.setattr(received_file, "_MOST_FIELDS", 600)
    Path("loans.csv").write_text(as_text(), encoding="utf-8")
    told = run("portfolio", "init", "loans.csv", "--target", "Outcome")
    assert "the first 100 rows (more were not looked at)" in told.stdout
    assert "NOT all" in Path("conf/loans/portfolio.yml").read_text(encoding="utf-8")


def test_a_declaration_is_replaced_only_when_that_is_asked_for(project):
    Path("loans.csv").write_text(as_text(), encoding="utf-8")
    arguments = ["portfolio", "init", "loans.csv", "--target", "Outcome"]
    assert run(*arguments).exit_code == 0
    declaration = Path("conf/loans/portfolio.yml")
    declaration.write_text("mine", encoding="utf-8")
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert declaration.read_text(encoding="utf-8") == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert read_portfolio(declaration).name == "loans"


@pytest.mark.parametrize("kind", ["program", "noise", "picture"])
def test_what_is_no_table_is_refused_and_nothing_of_it_is_shown(project, kind):
    noise = random.Random(0).randbytes(5_000)  # noqa: S311
    start = {
        "program": b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x03\0>\0\x01\0\0\0" * 20,
        "noise": b"",
        "picture": b"\x89PNG\r\n",
    }
    Path("loans.csv").write_bytes(start[kind] + noise)
    refused = run("portfolio", "init", "loans.csv", "--target", "Outcome")
    assert refused.exit_code == 1
    assert "not a table" in refused.stderr
    assert refused.stderr.strip().isprintable()


def test_a_few_odd_characters_do_not_make_a_table_none(project):
    Path("loans.csv").write_text(as_text().replace("Umzug", "Umz\x07ug", 2), encoding="utf-8")
    assert run("portfolio", "init", "loans.csv", "--target", "Outcome").exit_code == 0


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        (None, (), "no file 'loans.csv'"),
        ("", (), "is empty"),
        ("a,Outcome\n", (), "no rows"),
        ("a,Outcome\n1,bad\n2,good\n", ("--name", "My Loans"), "--name my_loans"),
        ('[{"a": 1}]', (), "JSON lines"),
    ],
)
def test_what_cannot_be_drafted_is_told_in_one_line(project, content, options, told):
    if content is not None:
        Path("loans.csv").write_text(content, encoding="utf-8")
    refused = run("portfolio", "init", "loans.csv", "--target", "Outcome", *options)
    assert refused.exit_code == 1
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not list(Path("conf").glob("*/portfolio.yml"))


def test_a_feature_that_tells_the_outcome_is_told_by_the_check(project):
    rows = [row | {"Montante": "", "Fase": "ab"[n % 2], "Perda": str(n % 3)} for n, row in enumerate(loans())]
    for n, row in enumerate(rows):
        if row["Outcome"] == "default":
            row.update({"Perda": str(7 + n % 3)} | ({"Montante": str(n), "Fase": "contencioso"} if n % 2 else {}))
    lines = [",".join(row.values()) for row in rows]
    Path("loans.csv").write_text("\n".join([",".join(rows[0]), *lines]), encoding="utf-8")
    told = run("portfolio", "init", "loans.csv", "--target", "Outcome")
    assert told.stdout.count("LIKELY LEAK, left out") == 3
    declaration = Path("conf/loans/portfolio.yml")
    text = declaration.read_text(encoding="utf-8")
    lines = [
        line if line.lstrip().startswith("outcome:") else line.replace(", after_outcome: true", "")
        for line in text.splitlines()
    ]
    declaration.write_text("\n".join(lines), encoding="utf-8")
    result = run("portfolio", "check", "loans")
    assert result.exit_code == 0, result.stderr
    checked = result.stdout
    assert "LOOK: montante is given in 40 rows, and all of them are bad: is it known only afterwards?" in checked
    assert "LOOK: fase is 'contencioso' in 40 rows" in checked
    assert "LOOK: perda tells the outcome almost alone (AUC 1.00)" in checked
    assert checked.count("LOOK") == 3


@pytest.mark.parametrize(
    ("path", "target", "bads", "words"),
    [
        ("hmeq/hmeq.csv", "BAD", "1,189 bad of 5,960", ()),
        ("lendingclub/loans_24776.csv", "Class", "4,502 bad of 24,776", ("bad is Uncreditworthy",)),
        ("lendingclub/loans_119987.csv.gz", "outcome", "22,671 bad of 119,987", ("LIKELY LEAK, left out: status",)),
        ("south_german/SouthGermanCredit.asc", "credit_risk", "300 bad of 1,000", ("bad is 0", "LOOK FIRST", "age")),
        ("taiwan/taiwan.csv", "default_payment_next_month", "6,636 bad of 30,000", ("ID, complete", "marriage, age")),
    ],
)
def test_public_data_are_understood_and_no_row_is_set_aside(project, path, target, bads, words):
    told = run("portfolio", "init", str(shared_file(path)), "--target", target, "--name", "drafted")
    assert told.exit_code == 0, told.stderr
    assert all(word in told.stdout for word in (bads, *words))
    assert "aside" not in told.stdout
    checked = run("portfolio", "check", "drafted").stdout
    assert ", 0 set aside" in checked
    assert "LOOK" not in checked


def test_a_drafted_portfolio_runs_as_it_stands(tmp_path, monkeypatch):
    drawn = random.Random(0)  # noqa: S311
    lines = ["Loan No;Betrag;Since;Purpose;Days Late;Remark;Outcome"]
    for number in range(1_000):
        bad = drawn.random() < 0.25
        since = (date(2010, 1, 1) + timedelta(days=drawn.randrange(3000))).strftime("%d.%m.%Y")
        amount = f"{drawn.gauss(9000 + 2000 * bad, 2000):.2f}".replace(".", ",")
        late = drawn.choice([-9, -8, *range(20 + 15 * bad), "NA"])
        purpose = drawn.choice(["car", "house", "house" if bad else "car", ""])
        lines.append(f"L{number};{amount};{since};{purpose};{late};remark {number};{'default' if bad else 'repaid'}")
    project = new_project(tmp_path / "project")
    (project.root / "loans.csv").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(project.root)
    drafted = run("portfolio", "init", "loans.csv", "--target", "Outcome")
    assert drafted.exit_code == 0, drafted.stderr
    finished = project.run("--env=loans")
    assert finished.code == 0, finished.stderr
    assert "make serve PORTFOLIO=loans" in finished.stdout + finished.stderr
