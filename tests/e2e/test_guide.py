"""The commands and examples of docs/portfolios.md, on a file that nobody has seen before."""

import random
import re
from pathlib import Path

import pytest
import yaml
from checkout import PROJECT, Checkout
from loans import DECLARATION

from credit_scoring.adapters.portfolio_file import read_portfolio

GUIDE = PROJECT / "docs/portfolios.md"
FUNCTIONS = """
import narwhals as nw


def log_amount(amount: nw.Expr) -> nw.Expr:
    return nw.when(amount > 0).then(amount.log())
"""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


def steps() -> list[str]:
    return re.findall(r"<!-- step -->\n```console\n(.*?)\n```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    made = Checkout(tmp_path_factory.mktemp("guide"))
    (made.root / "loans.csv").write_text(loans())
    return made


def loans() -> str:
    """A file as somebody might have it: semicolons, decimal commas, n/a, a leak, a free text."""
    draw = random.Random(3)  # noqa: S311 - made-up data
    lines = ["Loan No;Income;Age;Purpose;Opened;Late Fees Paid;Note;Class"]
    for number in range(2000):
        income = draw.gauss(3000, 800)
        bad = draw.random() < (0.35 if income < 2600 else 0.12)
        told = "n/a" if draw.random() < 0.05 else f"{income:.2f}".replace(".", ",")
        opened = f"{draw.randrange(1, 29):02}.{draw.randrange(1, 13):02}.{draw.randrange(2000, 2020)}"
        purpose = draw.choice(["car", "house", "other"])
        fees, note = (draw.randrange(10, 90) if bad else 0), f"call {draw.random():.9f}"
        outcome = "Uncreditworthy" if bad else "Creditworthy"
        lines.append(f"N{number};{told};{draw.randrange(18, 80)};{purpose};{opened};{fees};{note};{outcome}")
    return "\n".join(lines) + "\n"


def test_the_steps_lead_from_a_file_to_a_bento(checkout: Checkout):
    draft, check, run = steps()
    drafted = checkout.run(draft)
    assert "Loan No" in drafted
    portfolio = read_portfolio(checkout.root / "conf/loans/portfolio.yml")
    assert portfolio.applicants.columns["age"].protected
    assert portfolio.applicants.columns["late_fees_paid"].after_outcome
    assert portfolio.outcome.bad.one_of == ("Uncreditworthy",)
    assert "2,000 valid, 0 set aside" in checkout.run(check)
    printed = checkout.run(run)
    assert "credit_scoring_loans, measured on the holdout part" in printed
    assert "make serve PORTFOLIO=loans" in printed
    assert (checkout.root / "build/credit_scoring_loans.tag").read_text().startswith("credit_scoring_loans:")


def test_the_examples_of_the_declaration_are_sound(tmp_path: Path):
    tables, features = (
        yaml.safe_load(text) for text in blocks("yaml") if text.startswith(("events:", "features_from"))
    )
    columns = {
        "amount": {"type": "number"},
        "income": {"type": "number"},
        "rent": {"type": "number"},
        "district": {"type": "text"},
        "customer_since": {"type": "date"},
        "late": {"type": "integer", "after_outcome": True},
    }
    declaration = {
        **{key: DECLARATION[key] for key in ("title", "policy")},
        "name": "guide",
        "as_of": {"constant": "2026-01-01"},
        "applicants": {"key": "account_id", "columns": columns},
        "outcome": {"column": "late", "bad": {"above": 30}, "good": {"at_most": 30}, "window_days": 365},
        "split": {"salt": "guide", "development": 0.6, "holdout": 0.2, "stream": 0.2},
        **tables,
        **features,
    }
    (tmp_path / "guide").mkdir()
    (tmp_path / "guide/portfolio.yml").write_text(yaml.safe_dump(declaration, sort_keys=False))
    (tmp_path / "guide/features.py").write_text(FUNCTIONS)
    assert FUNCTIONS.strip() == blocks("python")[0].strip()
    portfolio = read_portfolio(tmp_path / "guide/portfolio.yml")
    assert {"spend_sum_30d", "spend_mean_90d", "log_amount", "amount"} <= set(portfolio.features)


def test_every_example_is_yaml_and_every_named_type_exists():
    for text in blocks("yaml"):
        yaml.safe_load(text)
    for name in set(re.findall(r"credit_scoring\.adapters\.\w+\.\w+", GUIDE.read_text(encoding="utf-8"))):
        module, _, kind = name.rpartition(".")
        assert hasattr(__import__(module, fromlist=[kind]), kind), name
