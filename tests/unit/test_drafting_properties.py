"""Whatever a file looks like, its draft is a declaration, under which hardly a row of that file is set aside."""

import string
from datetime import date

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from credit_scoring.adapters.portfolio_file import parse_portfolio
from credit_scoring.core.contracts import applicants_contract
from credit_scoring.core.drafting.draft import Wishes, draft_portfolio
from credit_scoring.core.drafting.names import LONGEST, portfolio_name, valid_names
from credit_scoring.core.drafting.ranges import bounds_around
from credit_scoring.core.drafting.rendering import render
from credit_scoring.core.drafting.yaml_text import entry
from credit_scoring.core.errors import DeclarationError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.received import batches
from credit_scoring.core.row_checks import check_batch

TODAY = date(2024, 5, 1)
ROWS = 60

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
headers = st.one_of(
    st.sampled_from(
        ["Loan Amount", "loan_amount", "LABEL", "as_of", "points", "Größe (€)", "金額", "a: b", "# x", "no"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).map(str.strip).filter(bool),
)
integers = st.integers(-(2**60), 2**60).map(str)
amounts = st.floats(allow_nan=True, allow_infinity=True).map(repr)
grouped = st.integers(0, 10**8).map(lambda n: f"{n:,}")
european = st.decimals(-(10**6), 10**6, places=2).map(lambda d: f"{d:,}".translate(str.maketrans(",.", ".,")))
days = st.dates(date(1950, 1, 1), date(2030, 1, 1))
dates = st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%y", "%Y%m%d", "%b-%Y"]).flatmap(
    lambda form: days.map(lambda day: day.strftime(form))
)
words = st.sampled_from(
    ["RENT", "own", "None", "yes", "null", "true", "1", "01", "2.0", "a, b", "[x]", "'", '"', "x: y", "é"]
)
codes = st.sampled_from(["-9", "-8", "0", "10", "250", "999", "9999", "NA", "?", "", " ", "n/a"])
kinds = [texts, integers, amounts, grouped, european, dates, words, codes, st.one_of(words, integers), st.just("")]
mixed = st.sampled_from(kinds).flatmap(
    lambda kind: st.lists(st.one_of(kind, kind, st.none()), min_size=ROWS, max_size=ROWS)
)


@st.composite
def tables(draw: st.DrawFn) -> pl.DataFrame:
    names = draw(st.lists(headers, min_size=1, max_size=6, unique=True))
    columns = {name: draw(mixed) for name in names if name != "Class"}
    outcomes = draw(st.lists(st.sampled_from(["good", "bad", "good", ""]), min_size=ROWS - 2, max_size=ROWS - 2))
    return pl.DataFrame(columns | {"Class": ["good", "bad", *outcomes], "steady": [str(n % 7) for n in range(ROWS)]},
                        schema_overrides=dict.fromkeys([*columns, "Class"], pl.String))  # fmt: skip


def drafted(rows: pl.DataFrame) -> Portfolio:
    draft = draft_portfolio(rows, Wishes("drafted", "Class"), TODAY)
    return parse_portfolio(render(draft, "a file", "a command"), "drafted", "drafted")


@given(tables())
def test_every_draft_is_a_declaration_that_its_own_rows_meet(rows):
    portfolio = drafted(rows)
    (batch,) = batches(rows, "rows")
    checked = check_batch(batch, applicants_contract(portfolio))
    assert checked.quarantined.height <= 0.05 * ROWS, checked.quarantined["reason"].to_list()


@given(st.lists(headers, unique=True, max_size=30), st.sets(st.sampled_from(["points", "label", "as_of"])))
def test_names_are_valid_all_different_and_not_reserved(received, reserved):
    names = valid_names(received, reserved)
    assert list(names) == received
    assert len(set(names.values())) == len(received)
    assert not set(names.values()) & reserved
    allowed = set(string.ascii_lowercase + string.digits + "_")
    assert all(name[0].isalpha() and set(name) <= allowed and len(name) <= LONGEST for name in names.values())


@given(texts)
def test_a_portfolio_can_be_named_after_any_file(text):
    assert portfolio_name(portfolio_name(text)) == portfolio_name(text)


@given(st.dictionaries(st.floats(-(2.0**53), 2.0**53), st.integers(1, 100), min_size=1))
def test_bounds_hold_all_that_was_seen(numbers):
    whole = all(number.is_integer() for number in numbers)
    low, high = bounds_around(numbers, whole)
    assert float(low) <= min(numbers) <= max(numbers) <= float(high)


@given(st.dictionaries(texts, st.one_of(texts, st.lists(texts, max_size=40), st.booleans(), st.integers())))
def test_what_is_written_as_yaml_is_read_back_unchanged(values):
    from credit_scoring.adapters.portfolio_file import _PlainLoader  # noqa: PLC0415

    text = "\n".join(line for key, value in values.items() for line in entry(key, value, 0)) or "{}"
    assert _PlainLoader(text).get_single_data() == values


@given(tables())
def test_a_draft_shows_no_text_that_is_not_declared(rows):
    assume(rows.width > 2)
    secret = [f"Secret {number} of an applicant, who lives somewhere" for number in range(ROWS)]
    rows = rows.with_columns(pl.Series("remark", secret))
    draft = draft_portfolio(rows, Wishes("drafted", "Class"), TODAY)
    assert "Secret" not in render(draft, "a file", "a command")


@pytest.mark.parametrize("target", ["nothing", None])
def test_a_target_is_needed(target):
    rows = pl.DataFrame({"Class": ["good", "bad"], "x": ["1", "2"]})
    with pytest.raises(DeclarationError, match="--target"):
        draft_portfolio(rows, Wishes("drafted", target), TODAY)
