import random
from datetime import date
from typing import Any

import polars as pl
import pytest

from credit_scoring.adapters.portfolio_file import parse_portfolio
from credit_scoring.core.drafting.columns import TextGuess, guess_column
from credit_scoring.core.drafting.cutoffs import draft_cutoffs, draft_reference_size, draft_split, small_sample_options
from credit_scoring.core.drafting.draft import Draft, DraftedColumn, Wishes, draft_portfolio
from credit_scoring.core.drafting.names import normalised, valid_names
from credit_scoring.core.drafting.rendering import render
from credit_scoring.core.drafting.words import decision_date_rank, is_after_outcome, is_id, is_protected, value_says
from credit_scoring.core.errors import ContractError, DeclarationError
from credit_scoring.core.portfolio import Portfolio, Scale

TODAY = date(2024, 5, 1)
ROWS = 400


def draft(columns: dict[str, list[Any]], target: str | None = "outcome", **wishes: Any) -> Draft:
    texts = {n: [None if v is None else str(v) for v in values] for n, values in columns.items()}
    rows = pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))
    return draft_portfolio(rows, Wishes("drafted", target, **wishes), TODAY)


def loans(seed: int = 0, **more: list[Any]) -> dict[str, list[Any]]:
    """A table whose income says a little about its outcome."""
    drawn = random.Random(seed)  # noqa: S311
    bad = [drawn.random() < 0.2 for _ in range(ROWS)]
    income = [drawn.randrange(500, 9000) - 400 * is_bad for is_bad in bad]
    return {"income": income, **more, "outcome": ["defaulted" if is_bad else "repaid" for is_bad in bad]}


def column(drafted: Draft, name: str) -> DraftedColumn:
    return next(found for found in drafted.columns if found.name == name)


def declared(values: list[Any], source: str = "x") -> dict[str, Any]:
    texts = pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
    return guess_column(source, texts).guess.declared()


def read(drafted: Draft) -> Portfolio:
    return parse_portfolio(render(drafted, "a file", "a command"), "drafted", "drafted")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Loan Amount", "loan_amount"),
        ("LoanAmount", "loan_amount"),
        ("PAY_AMT1", "pay_amt1"),
        ("Größe (m²)", "grosse_m2"),
        ("% used", "percent_used"),
        ("2nd income", "column_2nd_income"),
        ("金額", ""),
    ],
)
def test_received_names_become_readable(source, name):
    assert normalised(source) == name


def test_names_that_collide_or_are_reserved_are_told_apart():
    names = valid_names(["A b", "a_b", "label", "金額"], {"label"})
    assert list(names.values()) == ["a_b", "a_b_2", "label_received", "column_4"]


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (["1.234,50", "12,00", "999.999,10"], {"type": "number", "decimal": ",", "thousands": "."}),
        (["1,234.50", "12.00", "1,999,999.10"], {"type": "number", "thousands": ","}),
        (["1'234", "12", "1'999'999"], {"type": "integer", "thousands": "'"}),
        (["1.0", "2.0", "30.0"], {"type": "integer"}),
        (["2020-01-31", "1999-12-01"], {"type": "date", "min": date(1990, 1, 1)}),
        (["31.12.2020", "01.02.2003"], {"type": "date", "formats": ["%d.%m.%Y"]}),
        (["12/31/2020", "02/01/2003"], {"type": "date", "formats": ["%m/%d/%Y"]}),
        (["20201231", "20030201"], {"type": "date", "formats": ["%Y%m%d"]}),
        (["Dec-2011", "Jan-1999"], {"type": "date", "formats": ["%b-%Y"]}),
        (["01", "02", "03"], {"type": "category", "values": ["01", "02", "03"]}),
        (["yes", "no"], {"type": "category"}),
        ([f"{n}.5 %" for n in range(80)], {"type": "text"}),
    ],
)
def test_types_and_marks_are_told_by_the_values(values, keys):
    found = declared(values * 20)
    assert found | keys == found


def test_a_column_that_tells_nothing_is_left_out():
    for values in ([None] * 50, ["a"] * 50, ["7"] * 50, [f"text {n}" for n in range(50)], list(range(1, 51))):
        assert declared(values)["type"] == "text"


def test_ranges_are_rounded_outwards_where_nothing_natural_bounds_them():
    assert (declared([1100, 89900, 250] * 9)["min"], declared([1100, 89900, 250] * 9)["max"]) == (0, 100_000)
    assert (declared([660, 845, 700, 810])["min"], declared([660, 845, 700, 810])["max"]) == (600, 900)
    assert (declared([1, 2, 3, 4, 5] * 9)["min"], declared([1, 2, 3, 4, 5] * 9)["max"]) == (1, 5)


def test_several_negative_states_beside_amounts_are_special():
    keys = declared([-9, -8, -7] * 10 + list(range(100)))
    assert list(keys["special"]) == [-9, -8, -7]
    assert keys["min"] == 0


def test_several_frequent_sentinels_far_below_all_others_are_special():
    keys = declared([-99] * 40 + [-98] * 20 + list(range(36)) * 10)
    assert (list(keys["special"]), keys["min"]) == ([-99, -98], 0)
    assert list(declared([-999] * 9 + [-99] * 9 + [5.5 * n for n in range(99)])["special"]) == [-999, -99]
    assert list(declared([-9999] * 9 + [-8888] * 9 + list(range(99)))["special"]) == [-9999, -8888]
    assert "special" not in declared([-20, -10, 0, 10, 20, 30] * 50)
    assert declared([-99] * 40 + list(range(36)) * 10)["missing"] == ["-99"]
    assert "special" not in declared(list(range(-99, 36)) * 10)
    assert "special" not in declared([-99, -98, *range(36)] * 1)


def test_small_counts_may_be_larger_than_seen():
    counts = [0] * 80 + [1] * 15 + [2] * 5
    assert declared(counts)["max"] == 10
    assert declared([0, 1, 2] * 30)["max"] == 2
    assert any("leaves room" in told for told in column(draft(loans(delinquencies=counts * 4)), "delinquencies").seen)


def test_words_among_dates_are_missing_and_so_is_what_is_no_answer_in_any_language():
    dates = [f"2020-{1 + n % 12:02}-{1 + n % 28:02}" for n in range(90)]
    found = declared([*dates, None, "-", "-", "N/D", "N/D", "pendente", "pendente"])
    assert (found["type"], set(found["missing"])) == ("date", {"-", "N/D", "pendente"})
    assert declared(["casa", "carro", "N/D"] * 30)["missing"] == ["N/D"]


def test_plain_numbers_are_no_amounts_with_a_sign():
    guess = guess_column("x", pl.Series([f"{n:02}" for n in range(1, 26)])).guess
    assert isinstance(guess, TextGuess)
    assert "sign" not in guess.why


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2009", " "])
def test_thousands_are_grouped_by_spaces_of_any_kind(space):
    found = declared([f"{space}1{space}234,50{space}", "12,00", f"999{space}999,10"] * 9)
    assert found | {"type": "number", "decimal": ",", "thousands": " "} == found
    assert declared([f"1{space}234", "12", f"1{space}999{space}999"] * 9)["type"] == "integer"


def test_a_frequent_amount_of_nines_far_from_all_others_is_missing():
    assert declared([9999] * 10 + list(range(100)))["missing"] == ["9999"]
    assert "missing" not in declared([99] * 10 + list(range(98)))


def test_a_code_that_is_not_clear_cut_is_only_told():
    drafted = draft(loans(status=[n % 11 - 2 for n in range(ROWS)]))
    assert column(drafted, "status").keys["min"] == -2
    assert any("-2, -1 may stand for 'not known'" in text for text in column(drafted, "status").suggested)
    assert any("status" in note for note in drafted.notes)


def test_none_is_missing_among_numbers_and_an_answer_among_words():
    assert declared(["None", "1", "2", "3"] * 20)["missing"] == ["None"]
    assert "None" in declared(["None", "One", "Two"] * 20)["values"]


def test_a_date_that_can_be_read_both_ways_is_told():
    ambiguous = [f"0{1 + n % 9}/0{1 + n % 7}/2020" for n in range(ROWS)]
    drafted = draft(loans(day=ambiguous))
    assert any("other way round" in note for note in drafted.notes)
    settled = draft(
        loans(day=ambiguous, other=["12/31/2020"] * ROWS, third=[f"12/{10 + n % 20}/2019" for n in range(ROWS)])
    )
    assert column(settled, "day").keys["formats"] == ["%m/%d/%Y"]


@pytest.mark.parametrize(
    "name", ["SEX", "personal_status_sex", "Age", "DATE_OF_BIRTH", "Familienstand", "Nationalité", "edad"]
)
def test_protected_attributes_are_known_by_name(name):
    assert is_protected(name)


@pytest.mark.parametrize("name", ["mortgage", "page", "age_of_car", "foreign_currency", "percentage", "CLAGE", "usage"])
def test_other_columns_are_not_protected(name):
    assert not is_protected(name)


def test_later_events_and_ids_are_known_by_name():
    assert all(is_after_outcome(name) for name in ("recoveries", "last_pymnt_d", "total_rec_prncp", "ChargeOffDate"))
    assert not any(is_after_outcome(name) for name in ("purpose", "pub_rec", "collateral", "payment_inc_ratio"))
    assert all(is_id(name) for name in ("ID", "SK_ID_CURR", "Kunden-Nr", "loan number", "member_id", "Unnamed: 0"))
    assert not any(is_id(name) for name in ("paid", "number_credits", "residence", "No. Of Credit Lines"))


@pytest.mark.parametrize(
    "name",
    ["decided_on", "decision", "Data do Pedido", "date_demande", "fecha_solicitud", "Antragsdatum", "issue_d", "date"],
)
def test_the_day_of_the_decision_is_known_by_name(name):
    assert decision_date_rank(name) is not None


def test_the_best_column_alone_is_hinted_at_and_dates_after_it_are_told():
    day = [f"2020-{1 + n % 6:02}-{1 + n % 28:02}" for n in range(ROWS)]
    later = [f"2021-{1 + n % 6:02}-{1 + n % 28:02}" for n in range(ROWS)]
    before = [f"2010-{1 + n % 6:02}-{1 + n % 27:02}" for n in range(ROWS)]
    bad = [outcome == "defaulted" for outcome in loans()["outcome"]]
    drafted = draft(
        loans(
            birth_date=before,
            approved_on=[d if b else None for d, b in zip(later, bad, strict=True)],
            **{"issue_date": later, "Data do Pedido": day, "last_application_date": before},
        )
    )
    assert drafted.decision_date == "data_do_pedido"
    text = " ".join(render(drafted, "a file", "a command").split("\n# "))
    assert text.count("looks like each application's own day") == 1
    assert "as_of: {column: data_do_pedido}" in text
    told = [note for note in drafted.notes if "it lies after 'Data do Pedido'" in note]
    assert [note.split(":")[0] for note in told] == ["issue_date"]
    assert any("write after_outcome: true" in seen for seen in column(drafted, "issue_date").seen)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("Charged Off", "bad"),
        ("Uncreditworthy", "bad"),
        ("Creditworthy", "good"),
        ("Fully Paid", "good"),
        ("no default", "good"),
        ("not paid", "bad"),
        ("Current", "indeterminate"),
        ("Late (16-30 days)", "indeterminate"),
        ("Does not meet the credit policy. Status:Fully Paid", "excluded"),
        ("withdrawn", "excluded"),
        ("ARR", None),
    ],
)
def test_outcomes_are_understood_by_their_words(value, meaning):
    assert value_says(value) == meaning


def test_what_is_neither_bad_nor_good_is_not_trained_on():
    outcomes = ["Charged Off", "Fully Paid", "Fully Paid", "Current", "Cancelled", ""] * 50
    portfolio = read(draft({"income": list(range(0, 900, 3)), "loan_status": outcomes}, "loan_status"))
    assert portfolio.outcome.bad.one_of == ("Charged Off",)
    assert portfolio.outcome.indeterminate.one_of == ("Current",)
    assert portfolio.outcome.excluded.one_of == ("Cancelled",)
    assert portfolio.applicants.columns["loan_status"].nullable


def test_the_rarer_number_is_bad_and_that_is_said_first():
    drafted = draft({"income": list(range(0, 300, 3)), "credit_risk": [0] * 30 + [1] * 70}, "credit_risk")
    assert drafted.outcome.rules() == {"bad": [0], "good": [1]}
    assert not drafted.outcome.sure
    assert "LOOK FIRST" in render(drafted, "a file", "a command")
    asked = draft({"income": list(range(0, 300, 3)), "credit_risk": [0] * 30 + [1] * 70}, "credit_risk", bad=("1",))
    assert asked.outcome.rules() == {"bad": [1], "good": [0]}


def test_the_name_of_the_target_tells_what_one_means():
    assert draft({"x": list(range(0, 270, 3)), "BAD": [1] * 20 + [0] * 70}, "bad").outcome.sure
    assert draft({"x": list(range(0, 270, 3)), "good": [1] * 20 + [0] * 70}, "good").outcome.rules()["bad"] == [0]


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (["a"] * 40, "one value only"),
        ([None] * 40, "always missing"),
        ([f"v{n}" for n in range(40)], "different values"),
        ([str(n) for n in range(40)], "--bad-above"),
        (["a", "b", "c", "d"] * 10, "--bad"),
    ],
)
def test_a_target_without_two_outcomes_is_refused(outcomes, told):
    with pytest.raises(DeclarationError, match=told):
        draft({"x": list(range(0, 120, 3)), "outcome": outcomes})


def test_neither_protected_columns_nor_ids_are_proposed_as_outcome():
    table = loans(Sexo=["M", "F"] * (ROWS // 2), branch_id=["1", "2"] * (ROWS // 2))
    with pytest.raises(DeclarationError) as refused:
        draft(table, None)
    assert "'outcome'" in str(refused.value)
    assert "Sexo" not in str(refused.value)
    assert "branch_id" not in str(refused.value)
    with pytest.raises(DeclarationError) as refused:
        draft(loans(**{"a\x1bb": [1] * ROWS}), "nothing")
    assert str(refused.value).isprintable()


def test_amounts_such_as_days_late_are_bad_above_a_number():
    late = [0 if n % 3 else n % 253 for n in range(ROWS)]
    with pytest.raises(DeclarationError, match=r"from 0 to 25\d\..*--bad-above 30"):
        draft(loans(late=late), "late")
    drafted = draft(loans(late=[None, *late[1:]]), "late", bad_above=90)
    portfolio = read(drafted)
    assert (portfolio.outcome.bad.above, portfolio.outcome.good.at_most) == (90, 90)
    assert drafted.outcome.bads == sum(days > 90 for days in late[1:])
    assert drafted.outcome.judged == ROWS - 1
    assert portfolio.applicants.columns["late"].type == "integer"
    with pytest.raises(DeclarationError, match="No row of 'late' is above 999"):
        draft(loans(late=late), "late", bad_above=999)
    with pytest.raises(DeclarationError, match="holds no numbers"):
        draft(loans(), bad_above=30)
    with pytest.raises(DeclarationError, match="one of them"):
        draft(loans(late=late), "late", bad_above=30, bad=("1",))


def test_an_absent_target_or_bad_value_is_named_with_the_nearest():
    with pytest.raises(DeclarationError, match="Did you mean 'outcome'"):
        draft(loans(), "outcom")
    with pytest.raises(DeclarationError, match="Did you mean 'defaulted'"):
        draft(loans(), bad=("default",))
    with pytest.raises(DeclarationError, match="Likely: 'outcome'"):
        draft(loans(), None)
    with pytest.raises(ContractError, match="no rows"):
        draft({"x": [], "outcome": []})


def test_a_column_that_tells_the_outcome_alone_is_left_out():
    table = loans()
    table |= {
        "final": ["c" if outcome == "defaulted" else "ab"[n % 2] for n, outcome in enumerate(table["outcome"])],
        "loss": [n % 50 + 1 if outcome == "defaulted" else 0 for n, outcome in enumerate(table["outcome"])],
        "closed_on": [None if outcome == "defaulted" else n % 90 for n, outcome in enumerate(table["outcome"])],
        "recoveries": [n % 50 for n in range(ROWS)],
    }
    drafted = draft(table)
    assert set(drafted.leaks) == {"final", "loss", "closed_on", "recoveries"}
    assert read(drafted).application_columns.keys() == {"income"}
    assert "missing alone" in drafted.leaks["closed_on"]


def test_a_column_given_for_bad_outcomes_only_is_a_leak_in_any_language():
    table = loans()
    bad = [outcome == "defaulted" for outcome in table["outcome"]]
    sued = [is_bad and n % 2 == 0 for n, is_bad in enumerate(bad)]
    drafted = draft(
        table
        | {
            "Montante Recuperado": [100 + n % 97 if sued[n] else None for n in range(ROWS)],
            "Montante 2": [100 + n % 97 if sued[n] else 0 for n in range(ROWS)],
            "Fase": ["contencioso" if sued[n] else "ab"[n % 2] for n in range(ROWS)],
            "Quitado em": [None if bad[n] or n % 2 else f"2020-01-{1 + n % 28:02}" for n in range(ROWS)],
        }
    )
    assert set(drafted.leaks) == {"montante_recuperado", "montante_2", "fase", "quitado_em"}
    assert read(drafted).application_columns.keys() == {"income"}
    assert "all of them are bad" in drafted.leaks["montante_recuperado"]
    assert any("LIKELY LEAK" in text for text in column(drafted, "montante_2").seen)


def test_a_column_that_nearly_tells_the_outcome_is_worth_a_look():
    table = loans()
    drawn = random.Random(5)  # noqa: S311
    near = [drawn.gauss(2.2 * (outcome == "defaulted"), 1) for outcome in table["outcome"]]
    drafted = draft(table | {"near": [round(amount) for amount in near]})
    assert "near" in {feature.name for feature in drafted.features}
    assert any("near" in note and "suspicious" in note for note in drafted.notes)
    assert any(text.startswith("LOOK: suspicious") for text in column(drafted, "near").seen)


def test_a_grade_without_bad_outcomes_is_only_worth_a_look():
    table = loans()
    grade = ["A" if outcome == "repaid" and n % 6 == 0 else "BC"[n % 2] for n, outcome in enumerate(table["outcome"])]
    assert not draft(table | {"grade": grade}).leaks
    assert not draft({name: values[:90] for name, values in (table | {"grade": grade}).items()}).notes[1:]


def test_honest_columns_of_chance_are_no_leaks():
    drawn = random.Random(3)  # noqa: S311
    noise = {f"noise_{n}": [drawn.randrange(200) for _ in range(ROWS)] for n in range(20)}
    assert not draft(loans(**noise)).leaks


def test_protected_attributes_are_kept_and_never_features():
    portfolio = read(draft(loans(sex=[1 + n % 2 for n in range(ROWS)], age=[18 + n % 60 for n in range(ROWS)])))
    assert portfolio.protected_columns.keys() == {"sex", "age"}
    assert portfolio.protected_columns["sex"].categories == ("1", "2")
    assert portfolio.features.keys() == {"income"}


def test_a_key_is_taken_when_it_is_clear_and_listed_when_it_is_not():
    ids = [f"A{n:05}" for n in range(ROWS)]
    assert draft(loans(loan_id=ids)).key.key == "loan_id"
    assert draft(loans(row=list(range(7, ROWS + 7)))).key.key == "row"
    unclear = draft(loans(word=[f"w{n}" for n in range(ROWS)]))
    assert (unclear.key.key, unclear.key.others) == (None, ("word",))
    assert draft(loans(word=[f"w{n}" for n in range(ROWS)]), key="word").key.key == "word"
    with pytest.raises(DeclarationError, match="repeated"):
        draft(loans(word=["a", "b"] * (ROWS // 2)), key="word")
    persons = draft(loans(loan_id=ids, customer_id=[f"C{n // 2}" for n in range(ROWS)]))
    assert persons.key.persons == ("customer_id",)
    assert "grouped_by: customer_id" in render(persons, "a file", "a command")


def test_copies_are_told():
    purpose = [["car", "house", "boat", "debt"][n * 5 % 7 % 4] for n in range(ROWS)]
    coarse = [{"car": "thing", "boat": "thing", "house": "home", "debt": "debt"}[p] for p in purpose]
    notes = draft(loans(purpose=purpose, coarse=coarse, purpose_again=purpose)).notes
    assert any(note.startswith("purpose_again: nearly always the same as 'purpose'") for note in notes)
    assert any(note.startswith("coarse: it follows from") for note in notes)


def test_cut_offs_rise_with_safety_and_stay_on_the_scale():
    for bad_rate in (1e-6, 0.001, 0.05, 0.2, 0.5, 0.9, 0.999):
        cut = draft_cutoffs(bad_rate, Scale())
        points = [from_points for _, from_points, _ in cut.bands]
        assert points == sorted(set(points), reverse=True)
        assert Scale().min <= points[-1] < cut.refer_from < cut.approve_from <= Scale().max
    assert draft_reference_size(1000, 0.6) == 60
    assert draft_split(40, 5000)[0] > draft_split(400, 5000)[0]


def test_trees_are_made_smaller_only_where_the_shared_ones_could_not_split():
    assert small_sample_options(300, 700) is None
    few = small_sample_options(50, 250)
    assert few is not None
    assert few["min_child_weight"] < 5


def test_few_outcomes_are_told():
    drafted = draft({"x": list(range(0, 300, 3)), "outcome": ["bad"] * 10 + ["good"] * 90})
    assert "only 10 bad outcomes" in drafted.notes[0]


def test_a_table_without_anything_to_learn_from_is_refused():
    with pytest.raises(DeclarationError, match="No column is left"):
        draft({"name": [f"n{n}" for n in range(40)], "outcome": ["bad", "good"] * 20})


def test_the_day_of_decision_is_the_given_one_or_that_of_the_draft():
    assert read(draft(loans())).as_of.constant == TODAY
    assert read(draft(loans(), as_of=date(2020, 1, 1))).as_of.constant == date(2020, 1, 1)
    dated = draft(loans(application_date=[f"2020-01-{1 + n % 28:02}" for n in range(ROWS)]))
    assert "as_of: {column: application_date}" in " ".join(render(dated, "a file", "a command").split("\n# "))
