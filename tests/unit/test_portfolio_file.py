import random
import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from factories import build_declaration
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_scoring.adapters.portfolio_file import parse_portfolio, read_portfolio
from credit_scoring.core.errors import DeclarationError
from credit_scoring.core.portfolio import Portfolio

TEXT = (ROOT / "conf" / "taiwan_cards" / "portfolio.yml").read_text(encoding="utf-8")


def refusal(text: str, source: str = "portfolio.yml") -> str:
    with pytest.raises(DeclarationError) as caught:
        parse_portfolio(text, source)
    return str(caught.value)


def line_of(fragment: str, text: str) -> int:
    return text[: text.index(fragment)].count("\n") + 1


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def declared(**overrides: object) -> str:
    return yaml.safe_dump(build_declaration(**overrides), sort_keys=False)


def test_the_shipped_portfolio_is_sound():
    portfolio = parse_portfolio(TEXT, "portfolio.yml")
    assert portfolio.name == "taiwan_cards"
    assert set(portfolio.protected_columns) == {"sex", "marriage", "age_years"}
    assert set(portfolio.application_columns) == {"limit_twd", "education"}


def test_the_made_up_portfolio_is_sound():
    assert parse_portfolio(declared(), "tiny.yml").name == "tiny"


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        ("title:", "titel:", "titel", "Did you mean 'title'?"),
        ("granularity: day", "granularty: day", "as_of.granularty", "Did you mean 'granularity'?"),
        ("  key: ID", "  kye: ID", "applicants.kye", "Did you mean 'key'?"),
        ("min: 1, unit", "mim: 1, unit", "applicants.columns.limit_twd.mim", "Did you mean 'min'?"),
        ("      at:", "      att:", "events.statements.from_wide.att", "Did you mean 'at'?"),
        ("{name: A, from", "{naem: A, from", "policy.bands.0.naem", "Did you mean 'name'?"),
        ("R01: {text", "R01: {txt", "reasons.R01.txt", "Did you mean 'text'?"),
        ("last: 1}", "lst: 1}", "features.status_now.window.lst", "Did you mean 'last'?"),
        (
            "{at_least: 1}",
            "{atleast: 1}",
            "features.share_late_1m.window.where.repayment_status.atleast",
            "'at_least'?",
        ),
        ("unit: months}", "unti: months}", "features.months_since_arrears.time_since.unti", "Did you mean 'unit'?"),
        ("{of: bill_now, to", "{off: bill_now, to", "features.utilisation_now.ratio.off", "Did you mean 'of'?"),
    ],
)
def test_an_unknown_key_is_told_with_line_path_and_nearest_word(old: str, new: str, key: str, hint: str):
    text = changed(old, new)
    told = refusal(text)
    assert f"portfolio.yml, line {line_of(new, text)}: '{key}' is not a known key." in told
    assert hint in told
    assert "Allowed: " in told


@pytest.mark.parametrize(
    ("old", "new", "key", "told"),
    [
        (
            "type: integer, min: 1,",
            "type: integr, min: 1,",
            "applicants.columns.limit_twd.type",
            "Did you mean 'integer'",
        ),
        ("aggregate: trend", "aggregate: trnd", "features.status_trend.window.aggregate", "Did you mean 'trend'"),
        ("unit: months}", "unit: moths}", "features.months_since_arrears.time_since.unit", "Did you mean 'months'"),
        ("higher_is: safer", "higher_is: safe", "features.limit_twd.higher_is", "Did you mean 'safer'"),
        ("granularity: day", "granularity: dya", "as_of.granularity", "Did you mean 'day'"),
        ("max_reasons: 4", "max_reasons: four", "policy.max_reasons", "valid integer"),
        ("max_reasons: 4", "max_reasons: 0", "policy.max_reasons", "greater than or equal to 1"),
        ("points: 600", "points: .nan", "scale.points", "finite"),
        ("min: 1, unit", "min: .inf, unit", "applicants.columns.limit_twd.min", "finite"),
        ("bad: [1]", "bad: []", "outcome.bad", "at least 1 item"),
        ("name: taiwan_cards", "name: Taiwan", "name", "pattern"),
        ("development: 0.50", "development: -1", "split.development", "greater than 0"),
    ],
)
def test_a_wrong_value_is_told_with_line_and_path(old: str, new: str, key: str, told: str):
    text = changed(old, new)
    message = refusal(text)
    assert f"line {line_of(new, text)}: '{key}' " in message
    assert told in message


@pytest.mark.parametrize("key", ["name", "title", "as_of", "applicants", "outcome", "split", "policy"])
def test_a_missing_key_is_named(key: str):
    assert f"'{key}' is required and absent. Add it." in refusal(declared(**{key: ...}))


def test_a_missing_inner_key_is_placed_at_its_parent():
    text = changed("window_days: 31", "").replace("good: [0], ", "good: [0]")
    assert f"line {line_of('outcome: {', text)}: 'outcome.window_days' is required" in refusal(text)


@pytest.mark.parametrize(
    ("overrides", "key", "told"),
    [
        ({"features__housing__column": "housng"}, "features.housing.column", "Did you mean 'housing'?"),
        (
            {"features__income_per_head__ratio": {"of": "incom_eur", "to": "dependants"}},
            "features.income_per_head.ratio",
            "Did you mean 'income_eur'?",
        ),
        (
            {"features__late_now__window__table": "payment"},
            "features.late_now.window.table",
            "Did you mean 'payments'?",
        ),
        ({"features__late_now__window__column": "late_day"}, "features.late_now.window.column", "'late_days'?"),
        ({"features__late_now__reason": "R33"}, "features.late_now.reason", "Did you mean 'R3'?"),
        (
            {"features__late_now__window__where": {"late_dayz": {"at_least": 1}}},
            "features.late_now.window.where.late_dayz",
            "Did you mean 'late_days'?",
        ),
        ({"features__late_now__window__where": {"late_days": {}}}, "late_days", "says nothing"),
        ({"features__late_now__window__where": {"channel": {"at_least": 1}}}, "channel", "use 'one_of'"),
        ({"features__late_now__window__where": {"channel": {"one_of": ["post"]}}}, "channel", "can never be"),
        ({"features__late_now__window__where": {"late_days": {"one_of": ["app"]}}}, "late_days", "can never be"),
        ({"features__late_now__window__column": "channel"}, "window.column", "is a category"),
        ({"outcome__column": "default"}, "outcome.column", "Did you mean 'defaulted'?"),
        ({"outcome__bad": [0]}, "outcome.bad", "both bad and good"),
        ({"outcome__bad": ["yes"]}, "outcome.bad", "can never be"),
        ({"applicants__columns__defaulted__after_outcome": False}, "columns.defaulted", "after_outcome: true"),
        ({"applicants__columns__housing__values": None}, "housing.type", "needs 'values'"),
        ({"applicants__columns__dependants__values": [1, 2]}, "dependants.values", "only a category"),
        ({"applicants__columns__dependants__min": 30}, "dependants.min", "is above max"),
        ({"applicants__columns__dependants__example": 21}, "dependants.example", "does not allow"),
        ({"applicants__columns__dependants__example": 1.5}, "dependants.example", "does not allow"),
        ({"applicants__columns__housing__example": "castle"}, "housing.example", "does not allow"),
        ({"split__stream": 0.3}, "'split'", "add up to 1"),
        ({"policy__refer_from": 700}, "policy.refer_from", "must not be above 'approve_from'"),
        ({"policy__approve_from": 900}, "policy.approve_from", "at most at 850"),
        ({"policy__bands": [{"name": "A", "from_points": 500}]}, "policy.bands", "scale's minimum"),
        (
            {"policy__bands": [{"name": "B", "from_points": 300}, {"name": "A", "from_points": 600}]},
            "policy.bands",
            "points down",
        ),
        ({"scale": {"min": 850, "max": 300}}, "policy.approve_from", "must lie above"),
        ({"features__housing__higher_is": "riskier"}, "features.housing.higher_is", "no meaning"),
        ({"features__housing__special": {1: "x"}}, "features.housing.special", "no meaning"),
        ({"features__points": {"column": "income_eur", "reason": "R1"}}, "features.points", "reserved"),
        ({"applicants__columns__as_of": {"type": "integer"}}, "columns.as_of", "reserved"),
        ({"reasons__R1-MISSING": {"text": "x"}}, "reasons.R1-MISSING", "is missing"),
        ({"features": {"a": {"column": "income_eur", "scored": False}}}, "'features'", "no scored feature"),
        ({"features__dependants": {"column": "income_eur", "reason": "R1"}}, "dependants", "has the name of a column"),
        (
            {"features__x": {"difference": {"of": "income_eur", "minus": "housing"}, "reason": "R1"}},
            "features.x.difference",
            "is a category",
        ),
    ],
)
def test_a_contradiction_is_told_with_path_and_remedy(overrides: dict[str, object], key: str, told: str):
    message = refusal(declared(**overrides))
    assert key in message
    assert told in message
    assert re.match(r"portfolio\.yml, line [1-9]\d*: '", message)


PROTECTED_USES: list[dict[str, object]] = [
    {"features__x": {"column": "sex", "reason": "R1"}},
    {"features__x": {"ratio": {"of": "income_eur", "to": "age"}, "reason": "R1"}},
    {"features__x": {"ratio": {"of": "age", "to": "income_eur"}, "reason": "R1"}},
    {"features__x": {"difference": {"of": "income_eur", "minus": "age"}, "reason": "R1"}},
    {"features__x": {"column": "age", "scored": False}},
    {"features__x": {"window": {"table": "payments", "aggregate": "mean", "column": "age_then"}, "reason": "R1"}},
    {
        "features__x": {
            "window": {"table": "payments", "aggregate": "count", "where": {"age_then": {"at_least": 60}}},
            "reason": "R1",
        }
    },
    {"features__x": {"time_since": {"table": "payments", "where": {"age_then": {"at_least": 60}}}, "reason": "R1"}},
]


def with_protected_numbers(**overrides: object) -> str:
    at = build_declaration()["events"]["payments"]["from_wide"]["at"]
    months = {day: sources | {"age_then": f"AGE_{day[5:7]}"} for day, sources in at.items()}
    return declared(
        applicants__columns__age={"source": "AGE", "type": "integer", "protected": True},
        events__payments__columns__age_then={"type": "integer", "protected": True},
        events__payments__from_wide__at=months,
        **overrides,
    )


def test_protected_columns_that_nothing_reads_are_sound():
    assert "age" in parse_portfolio(with_protected_numbers(), "tiny.yml").protected_columns


@pytest.mark.parametrize("use", PROTECTED_USES)
def test_a_protected_attribute_is_refused_wherever_a_feature_reads_it(use: dict[str, object]):
    message = refusal(with_protected_numbers(**use))
    assert "features.x." in message
    assert "is a protected attribute and may never be a model input" in message


@pytest.mark.parametrize(
    "laundered",
    [
        {"applicants__columns__group": {"source": "SEX", "type": "category", "values": ["f", "m"]}},
        {"applicants__columns__flag": {"source": "DEFAULTED", "type": "integer", "min": 0, "max": 1}},
    ],
)
def test_a_second_declaration_of_a_received_column_does_not_let_it_through(laundered: dict[str, object]):
    assert "declare a received column once" in refusal(declared(**laundered))


def test_an_event_column_may_not_be_received_from_a_protected_one():
    text = declared().replace("channel: CHANNEL_1", "channel: SEX")
    assert "which 'applicants.columns.sex' declares otherwise" in refusal(text)


def test_the_outcome_is_refused_as_a_feature():
    message = refusal(declared(features__x={"column": "defaulted", "reason": "R1"}))
    assert "known only after the decision and may never be a feature" in message


def test_the_key_is_no_column():
    assert "key" in refusal(declared(applicants__columns__name={"source": "ID", "type": "number"}))


def test_features_made_of_themselves_are_refused():
    text = declared(
        features__a={"difference": {"of": "b", "minus": "income_eur"}, "reason": "R1"},
        features__b={"difference": {"of": "a", "minus": "income_eur"}, "reason": "R1"},
    )
    message = refusal(text)
    assert "'features.a' is made of itself" in message
    assert "'features.b' is made of itself" in message


def test_every_fault_is_told_at_once_in_the_order_of_lines():
    text = changed("title:", "titel:").replace("max_reasons: 4", "max_reasons: x")
    lines = [int(found) for found in re.findall(r"line (\d+):", refusal(text))]
    assert len(lines) == 3
    assert lines == sorted(lines)


def test_a_path_that_speaks_of_lines_does_not_confuse_the_order():
    assert "titel" in refusal(changed("title:", "titel:"), "/home/on line x/the line 5/portfolio.yml")


def test_a_key_given_twice_is_told_with_both_lines():
    assert "'name' is given twice (first on line 4)" in refusal(TEXT + "\nname: other\n")
    assert "'scale.min' is given twice" in refusal(changed("min: 300,", "min: 300, min: 200,"))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "word", "42", "null"])
def test_a_file_that_is_no_mapping_is_refused(text: str):
    assert "portfolio.yml must be a mapping" in refusal(text)


LAUGHS = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGED_LAUGHS = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name:\n\tx: 1", "line 2, column 1"),
        ("a: [1, 2", "not valid YAML: line 1"),
        ("a: 'x", "not valid YAML"),
        ("a: *nowhere", "undefined alias 'nowhere'"),
        ("a: \x00", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "another document"),
        ("? [a, b]\n: 1\n", "unhashable key"),
        ("{a: 1}: 2", "unhashable key"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: !mine 1", "could not determine a constructor"),
        ("a: =", "could not determine a constructor"),
        ("a: {<<: 3}", "merging"),
        ("a: 2005-13-41", "line 1, column 4: '2005-13-41' cannot be read as timestamp"),
        ("a: !!int x", "'x' cannot be read as int"),
        ("a: !!float ''", "cannot be read as float"),
        ("a: !!bool maybe", "cannot be read as bool"),
        ("a: !!timestamp soon", "cannot be read as timestamp"),
        ("a: " + "9" * 5000, "cannot be read as int"),
        ("a: &x [*x]", "nested more than"),
        ("a: &x {b: *x}", "nested more than"),
        ("a: " + "[" * 5000, "nested more than"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than"),
        ("a: " + "{b: " * 2000 + "1" + "}" * 2000, "nested more than"),
        (LAUGHS, "keys, aliases included"),
        (MERGED_LAUGHS, "keys, aliases included"),
        ("1: 2\nnull: 3\ntrue: 4\n2005-01-01: 5\n", "'name' is required"),
    ],
    ids=lambda value: value[:24].encode("ascii", "replace").decode(),
)
def test_bad_yaml_is_told_and_never_escapes(text: str, told: str):
    assert told in refusal(text)


def test_words_like_no_and_on_stay_words():
    text = declared(applicants__columns__sex__values=...).replace("SEX", "SEX\n      values: [no, yes, on, off]")
    assert parse_portfolio(text, "x").applicants.columns["sex"].categories == ("no", "yes", "on", "off")


def test_an_absent_file_is_told_with_its_path(tmp_path: Path):
    with pytest.raises(DeclarationError, match=r"No portfolio declaration at '.*portfolio.yml'"):
        read_portfolio(tmp_path / "portfolio.yml")
    with pytest.raises(DeclarationError, match="No portfolio declaration at"):
        read_portfolio(tmp_path)


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path):
    path = tmp_path / "portfolio.yml"
    path.write_bytes(b"title: Gr\xfc\xdfe")
    with pytest.raises(DeclarationError, match=r"is not UTF-8 text \(byte 9\)"):
        read_portfolio(path)


def test_a_byte_order_mark_is_read_over(tmp_path: Path):
    path = tmp_path / "taiwan_cards" / "portfolio.yml"
    path.parent.mkdir()
    path.write_text("\ufeff" + TEXT, encoding="utf-8")
    assert read_portfolio(path).name == "taiwan_cards"


def test_a_declaration_in_the_directory_of_another_portfolio_is_refused(tmp_path: Path):
    path = tmp_path / "copied" / "portfolio.yml"
    path.parent.mkdir()
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"line \d+: 'name' is 'taiwan_cards' in the directory 'copied'"):
        read_portfolio(path)


SHORT = yaml.safe_dump(build_declaration(), sort_keys=False)
JUNK = [
    "", "-", ":", "{", "}", "[", "]", "&a", "*a", "<<: *a", "!x", "!!int", "|", ">", "'", '"', "#", "?", "null", "~",
    "true", "1e999", "-.inf", ".nan", "0x", "0b2", "1_0", "12:30:99", "2020-02-31", "9" * 30, "\t", "\u2028", "é", "%",
    "@", "sex", "defaulted", "payments", "\ud83d", "...", "---",
]  # fmt: skip


def outcome_of(text: str) -> Portfolio | str:
    try:
        return parse_portfolio(text, "portfolio.yml")
    except DeclarationError as exc:
        return str(exc)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), edits=st.integers(1, 4))
def test_a_damaged_file_is_a_portfolio_or_a_declaration_error(seed: int, edits: int):
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    lines = SHORT.splitlines()
    for _ in range(edits):
        at = draw.randrange(len(lines))
        kind = draw.randrange(5)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(draw.randrange(len(lines)), lines[at])
        elif kind == 2:
            lines[at] = draw.choice(["  ", "\t", " - ", ""]) + lines[at].lstrip(draw.choice([" ", ""]))
        else:
            tokens = re.split(r"(\W+)", lines[at])
            tokens[draw.randrange(len(tokens))] = draw.choice(JUNK)
            lines[at] = "".join(tokens)
    found = outcome_of("\n".join(lines))
    assert isinstance(found, Portfolio) or found.startswith("portfolio.yml")


@settings(max_examples=60)
@given(text=st.text())
def test_any_text_at_all_is_a_portfolio_or_a_declaration_error(text: str):
    assert isinstance(outcome_of(text), str)
    assert isinstance(outcome_of(f"name: {text}"), str)


def leaves(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    if isinstance(value, dict):
        return [at, *(leaf for key, inner in value.items() for leaf in leaves(inner, (*at, key)))]
    if isinstance(value, list):
        return [at, *(leaf for key, inner in enumerate(value) for leaf in leaves(inner, (*at, key)))]
    return [at]


PLACES = [place for place in leaves(build_declaration()) if place]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), st.text(max_size=3), max_size=2),
    st.sampled_from(["sex", "defaulted", "payments", "income_eur", "housing", "late_now", "category", "share"]),
)  # fmt: skip


@settings(max_examples=120)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_any_value_anywhere_is_a_portfolio_or_a_declaration_error(place: tuple[object, ...], value: object):
    declaration = build_declaration()
    target = declaration
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    found = outcome_of(yaml.dump(declaration, sort_keys=False, allow_unicode=True))
    assert isinstance(found, Portfolio) or found.startswith("portfolio.yml")


FUNCTIONS = """
import narwhals as nw


def late_share(late_now: nw.Expr, income_eur: nw.Expr) -> nw.Expr:
    return nw.when(income_eur > 0).then(late_now / income_eur)
"""


def written(directory: Path, declaration: str, functions: str | None = FUNCTIONS) -> Path:
    """The declaration in a directory of its portfolio's name, with its ``features.py`` beside it."""
    (directory / "tiny").mkdir()
    (directory / "tiny/portfolio.yml").write_text(declaration)
    if functions is not None:
        (directory / "tiny/features.py").write_text(functions)
    return directory / "tiny/portfolio.yml"


def test_a_python_feature_is_the_function_of_its_name(tmp_path: Path):
    portfolio = read_portfolio(written(tmp_path, declared(features__late_share={"python": True, "reason": "R3"})))
    function = portfolio.features["late_share"].python
    assert function is not None
    assert function.reads == ("late_now", "income_eur")
    assert len(function.source) == 64


@pytest.mark.parametrize(
    ("functions", "feature", "told"),
    [
        (None, {"python": True}, "needs a function of this name in 'features.py'"),
        (FUNCTIONS.replace("late_share", "late_shares"), {"python": True}, "needs a function of this name"),
        (FUNCTIONS, {"column": "income_eur"}, "is a function of 'features.py' that no feature names"),
        (FUNCTIONS.replace("income_eur", "incomes"), {"python": True}, "Did you mean 'income_eur'?"),
        (FUNCTIONS.replace("income_eur", "sex"), {"python": True}, "'sex' is a protected attribute"),
        (FUNCTIONS.replace("income_eur", "defaulted"), {"python": True}, "known only after the decision"),
        (FUNCTIONS.replace(":\n    ", "\n    "), {"python": True}, "is no Python"),
    ],
)
def test_a_python_feature_that_cannot_be_is_told(tmp_path: Path, functions: str | None, feature: dict, told: str):
    path = written(tmp_path, declared(features__late_share=feature | {"reason": "R3"}), functions)
    with pytest.raises(DeclarationError, match=re.escape(told)):
        read_portfolio(path)
