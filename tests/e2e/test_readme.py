"""The commands of the README and of docs/service.md; ``--update-readme`` writes what the README's printed into it."""

import json
import re
from collections.abc import Iterator

import pytest
from checkout import PROJECT, Checkout

from credit_scoring.client import CreditScoringClient

README = PROJECT / "README.md"


def block(name: str) -> str:
    """The fenced text of a marked block of the README."""
    found = re.search(_pattern(name), README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"README.md has no block '{name}'"
    return found[2].strip("\n")


def agree(name: str, printed: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-readme"):
        text = README.read_text(encoding="utf-8")
        README.write_text(re.sub(_pattern(name), lambda m: f"{m[1]}{printed}\n{m[3]}", text, flags=re.DOTALL))
    assert block(name) == printed, "The README tells otherwise; see --update-readme in tests/e2e/test_readme.py."


def _pattern(name: str) -> str:
    return rf"(<!-- {name}\b[^\n]*-->\n```\w+\n)(.*?)(```\n<!-- end of {name} -->)"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("readme"))


@pytest.fixture(scope="module")
def printed(checkout: Checkout) -> str:
    """What ``make run`` prints in a new checkout, once the environment is there."""
    return checkout.run("kedro run --env=taiwan_cards").strip("\n")


@pytest.fixture(scope="module")
def port(checkout: Checkout, printed: str) -> Iterator[int]:
    """The port on which what ``make serve`` starts is ready."""
    with checkout.served("taiwan_cards") as chosen:
        yield chosen


def test_make_run_ends_with_the_summary_that_the_readme_shows(printed: str, checkout: Checkout, request):
    agree("summary", printed, request)
    assert (checkout.root / "data/4_models/taiwan_cards/evaluation/report.html").exists()


def test_the_request_of_the_readme_gets_the_answer_that_it_shows(port: int, checkout: Checkout, request):
    answer = json.loads(checkout.run(block("request").replace("127.0.0.1:3000", f"127.0.0.1:{port}")))
    shown = {"decision_id": "9b2f6c1e-7d43-4f0a-8a55-3c1d2e4f5a6b", "request_id": "5c0d9e8f7a6b4c3d2e1f0a9b8c7d6e5f"}
    agree("answer", json.dumps({name: shown.get(name, value) for name, value in answer.items()}, indent=4), request)


def test_an_applicant_of_the_portfolio_needs_no_fields(port: int, checkout: Checkout):
    key_file = checkout.root / "data/development.key"
    with CreditScoringClient(f"http://127.0.0.1:{port}", key_file=key_file) as client:
        answer = client.decide("loan-2", "4711")
        assert answer.features_from == "store"
        read = client.decision(answer.decision_id)
    assert answer.model_dump().items() <= read.model_dump().items()


def test_every_command_of_the_service_s_guide_does_what_it_says(port: int, checkout: Checkout):
    guide = (PROJECT / "docs" / "service.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", guide, re.DOTALL)
    told = checkout.run("\n".join(["set -e", *blocks]).replace("127.0.0.1:3000", f"127.0.0.1:{port}"))
    for expected in ('"code":"unknown_applicant"', '"features_from":"cache"', '"matches":true', '"stored":1'):
        assert expected in told
    assert re.search(r'"holdout":\{"auc_roc":0\.7', told)
    assert (checkout.root / "data/origination.key").stat().st_mode & 0o077 == 0
    assert "all as they were written" in checkout.run("credit-scoring audit verify --heads data/heads.json")


def test_the_benchmark_table_is_the_kept_result():
    kept = json.loads((PROJECT / "benchmarks/results/cross_validation_taiwan_cards.json").read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    for name, found in kept["candidates"].items():
        assert f"| {name} | {found['auc_mean']:.4f} |" in text
    assert kept["commit"] in text
