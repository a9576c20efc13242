"""Functions of a portfolio's ``features.py``: loading, what they may be, and what goes wrong in them."""

from datetime import UTC, datetime
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from factories import build_applicants, build_plan, build_portfolio

from credit_scoring.core.declaration_checks import declaration_problems
from credit_scoring.core.errors import DeclarationError, FeatureFunctionError, MissingFunctionError
from credit_scoring.core.facts import Facts
from credit_scoring.core.features.declared import PythonFunction
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.features.python_functions import load_functions, python_declarations, source_digest

LOG = "import narwhals as nw\n\ndef log_income(income_eur: nw.Expr) -> nw.Expr:\n    return income_eur.log()\n"
AS_OF = datetime(2020, 6, 1, tzinfo=UTC)


def plan_of(source: str, **more: Any) -> FeatureSet:
    declared = {name: {"python": function} for name, function in python_declarations(source).items()}
    return build_plan(declared | more)


def values(plan: FeatureSet, name: str, *rows: dict[str, Any]) -> list[float | None]:
    """Values of a feature for applicants of these rows, as a batch; each is checked to be the same alone."""
    applicants = build_applicants([{"applicant_id": f"a{number}"} | row for number, row in enumerate(rows)])
    found = plan.compute(applicants, {})[name].to_list()
    for row, value in zip(rows, found, strict=True):
        alone = plan.compute_one_exact(Facts(row), AS_OF)[name]
        assert alone == (None if value is None else pytest.approx(value, rel=1e-6))
    return found


def test_a_function_computes_a_feature_from_the_columns_its_arguments_name():
    plan = plan_of("def per_head(income_eur, dependants):\n    return income_eur / (dependants + 1)\n")
    rows = {"income_eur": 9.0, "dependants": 2}, {"income_eur": 9.0, "dependants": None}
    assert values(plan, "per_head", *rows) == [3.0, None]


def test_what_is_not_finite_is_missing():
    assert (
        values(plan_of(LOG), "log_income", *({"income_eur": x} for x in (1.0, 0.0, -1.0, None))) == [0.0] + [None] * 3
    )


def test_other_features_read_a_function_and_a_function_reads_other_features():
    source = "def doubled(ratio):\n    return ratio * 2\n"
    ratio = {"ratio": {"of": "income_eur", "to": "dependants"}}
    plan = plan_of(source, ratio=ratio, rest={"difference": {"of": "doubled", "minus": "ratio"}})
    assert values(plan, "rest", {"income_eur": 9.0, "dependants": 3}, {"income_eur": 9.0, "dependants": 0}) == [3, None]


def test_a_true_or_false_is_one_or_zero_and_missing_stays_missing():
    plan = plan_of("def high(income_eur):\n    return income_eur > 5\n")
    assert values(plan, "high", *({"income_eur": x} for x in (9.0, 1.0, None))) == [1, 0, None]


def test_the_line_ends_of_the_file_do_not_count():
    assert source_digest(LOG) == source_digest(LOG.replace("\n", "\r\n")) == source_digest("\ufeff" + LOG)
    assert load_functions(LOG.replace("\n", "\r\n")) is load_functions(LOG)


def test_the_version_names_the_source():
    changed = LOG.replace("income_eur.log()", "income_eur.log() + 1")
    assert plan_of(LOG).version != plan_of(changed).version
    assert values(plan_of(changed), "log_income", {"income_eur": 1.0}) == [1.0]
    assert values(plan_of(LOG), "log_income", {"income_eur": 1.0}) == [0.0]


def test_a_file_is_executed_once():
    source = "_seen = []\ndef x(income_eur):\n    _seen.append(1)\n    return income_eur * len(_seen)\n"
    assert load_functions(source).functions["x"](3) == 3
    assert load_functions(source).functions["x"](3) == 6


def test_private_functions_and_constants_are_no_features():
    source = "_RATE = 2\ndef _half(x):\n    return x / _RATE\ndef half(income_eur):\n    return _half(income_eur)\n"
    assert list(python_declarations(source)) == ["half"]
    assert values(plan_of(source), "half", {"income_eur": 4.0}) == [2.0]


def test_a_function_that_is_not_loaded_is_told():
    plan = build_plan({"gone": {"python": PythonFunction(reads=("income_eur",), source="0" * 64)}})
    told = r"'gone' is a Python function of a 'features.py' with the digest 000000000000, .*not loaded here"
    with pytest.raises(MissingFunctionError, match=told):
        plan.compute(build_applicants([{"applicant_id": "a"}]), {})
    with pytest.raises(MissingFunctionError, match=told):
        plan.compute_one(Facts({"income_eur": 1.0}), AS_OF)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def x(:\n", "line 1: is no Python"),
        ("x = \0", "is no Python"),
        ("import os\n", "line 1: imports 'os'"),
        ("\nfrom pandas import DataFrame\n", "line 2: imports 'pandas'"),
        ("def x(a):\n    import random\n    return a\n", "line 2: imports 'random'"),
        ("from . import other\n", "line 1: imports '.'"),
        ("def x():\n    return 1\n", "line 1: the arguments of 'x' must be"),
        ("def x(a=1):\n    return a\n", "the arguments of 'x'"),
        ("def x(*a):\n    return a\n", "the arguments of 'x'"),
        ("def x(**a):\n    return a\n", "the arguments of 'x'"),
        ("def x(*, a):\n    return a\n", "the arguments of 'x'"),
        ("async def x(a):\n    return a\n", "line 1: 'x' must be a plain function"),
        ("def x(a):\n    return a\nx = 3\n", "'x' must be a plain function"),
        ("a = 1\nb = a / 0\n", "line 2: ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(source: str, told: str):
    with pytest.raises(DeclarationError) as caught:
        load_functions(source, "conf/x/features.py")
    assert "'conf/x/features.py'" in str(caught.value)
    assert told in str(caught.value)


def test_a_file_that_is_no_python_is_not_kept():
    for _ in range(2):
        with pytest.raises(DeclarationError):
            load_functions("def x(:\n")


def problems(source: str) -> list[str]:
    declared = {name: {"python": function, "reason": "R1"} for name, function in python_declarations(source).items()}
    portfolio = build_portfolio(features=declared)
    return [problem.message for problem in declaration_problems(portfolio) if problem.path[0] == "features"]


@pytest.mark.parametrize(
    "body", ["income_eur.log()", "nw.when(income_eur > 0).then(income_eur)", "income_eur.is_null()"]
)
def test_a_sound_function_has_no_fault(body: str):
    assert problems(f"import narwhals as nw\ndef x(income_eur, housing, dependants):\n    return {body}\n") == []


@pytest.mark.parametrize(
    "body",
    [
        "income_eur - income_eur.mean()",
        "income_eur.mean()",
        "income_eur.rank()",
        "income_eur.shift(1)",
        "income_eur.is_unique()",
        "income_eur.max() - dependants",
        "income_eur / dependants.sum()",
        "(housing == 'owner').sum()",
    ],
)
def test_a_function_of_other_rows_is_refused(body: str):
    (told,) = problems(f"def x(income_eur, housing, dependants):\n    return {body}\n")
    assert "looks at other rows" in told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("nw.col('income_eur') + dependants", "reads a column that is not among its arguments"),
        ("nw.col('sex') == 'f'", "reads a column that is not among its arguments"),
        ("housing", "failed on made-up rows"),
        ("housing + 1", "failed on made-up rows"),
        ("3", "returns int. It must return a Narwhals expression"),
        ("dependants.nothing()", "failed, line 3: AttributeError"),
        ("1 / 0", "failed, line 3: ZeroDivisionError"),
    ],
)
def test_a_function_that_fails_is_told_when_the_declaration_is_read(body: str, told: str):
    (problem,) = problems(f"import narwhals as nw\ndef x(housing, dependants, income_eur):\n    return {body}\n")
    assert told in problem


def test_a_function_that_fails_on_values_is_told_without_them():
    source = "def x(housing, income_eur):\n    return housing.cast(__import__('narwhals').Float64)\n"
    plan = plan_of(source, log_income={"column": "income_eur"})
    applicants = build_applicants([{"applicant_id": "a", "housing": "secret"}, {"applicant_id": "b"}])
    told = r"The function 'x' of 'features.py' failed on the values it was given: InvalidOperationError"
    for frame in (applicants, applicants.lazy()):
        with pytest.raises(FeatureFunctionError, match=told) as caught:
            plan.compute(frame, {})
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__
    with pytest.raises(FeatureFunctionError, match=told) as caught:
        plan.compute_one(Facts({"housing": "secret"}), AS_OF)
    assert "secret" not in str(caught.value)


def test_without_functions_an_engines_own_error_is_raised():
    plan = build_plan({"income_eur": {"column": "income_eur"}})
    applicants = build_applicants([{"applicant_id": "a"}]).with_columns(income_eur=pl.lit("x"))
    with pytest.raises(pl.exceptions.InvalidOperationError):
        plan.compute(applicants, {})


def test_an_expression_of_narwhals_is_what_a_function_is_given():
    seen: list[type] = []
    source = "def x(income_eur):\n    _seen.append(type(income_eur))\n    return income_eur\n_seen = []\n"
    loaded = load_functions(source)
    seen = loaded.functions["x"].__globals__["_seen"]
    values(plan_of(source), "x", {"income_eur": 1.0})
    assert {issubclass(kind, nw.Expr) for kind in seen} == {True}
