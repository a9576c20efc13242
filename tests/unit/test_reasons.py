import numpy as np
import pytest
from factories import build_portfolio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from credit_scoring.api.decisions import GivenReason
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.reasons import MATERIAL_POINTS, ReasonTable, reasons
from credit_scoring.core.scoring import Matrix, ModelBundle, explain, score

NAMES = ("a", "b", "c", "d", "e", "f")
CODES = ("R1", "R1", "R2", "R3", "R4", "R5")
KNOWN = np.zeros(6, dtype=np.float32)


def portfolio(max_reasons: int = 4) -> Portfolio:
    features = {name: {"column": "income_eur", "reason": code} for name, code in zip(NAMES, CODES, strict=True)}
    texts: dict[str, dict[str, str]] = {code: {"text": f"text of {code}"} for code in CODES}
    texts["R2"]["missing_text"] = "income was not given"
    return build_portfolio(features=features, reasons=texts, policy__max_reasons=max_reasons)


def given_for(contributions: list[float], features: Matrix = KNOWN, max_reasons: int = 4) -> list[GivenReason]:
    return reasons(features, np.asarray(contributions), NAMES, portfolio(max_reasons))


def test_reasons_are_losses_from_the_costliest_down():
    found = given_for([-1, -2, -9, 5, -4, 0])
    assert [(reason.code, reason.points_lost) for reason in found] == [("R2", 9), ("R4", 4), ("R1", 3)]


def test_contributions_are_summed_per_code_before_ranking():
    assert [reason.code for reason in given_for([-5, -5, -7, 0, 0, 0])] == ["R1", "R2"]
    assert [reason.code for reason in given_for([-5, 6, -1, 0, 0, 0])] == ["R2"]


def test_a_code_names_the_feature_that_cost_most():
    assert given_for([-1, -3, 0, 0, 0, 0])[0].feature == "b"
    assert given_for([-3, -3, 0, 0, 0, 0])[0].feature == "a"


def test_equal_losses_keep_the_declared_order():
    assert [reason.code for reason in given_for([0, 0, -2, -2, -2, -2])] == ["R2", "R3", "R4", "R5"]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_there_are_at_most_as_many_as_declared(most: int):
    assert len(given_for([-1, -1, -2, -3, -4, -5], max_reasons=most)) == most


def test_a_missing_value_has_a_code_and_a_text_of_its_own():
    features = KNOWN.copy()
    features[[1, 2]] = np.nan
    found = {reason.code: reason for reason in given_for([-1, -3, -2, 0, 0, 0], features)}
    assert set(found) == {"R1", "R1-MISSING", "R2-MISSING"}
    assert found["R1-MISSING"].points_lost == 3
    assert found["R2-MISSING"].text == "income was not given"
    assert found["R1-MISSING"].text == "text of R1: not known (b)"


def test_gains_alone_give_no_reason():
    assert given_for([1, 2, 3, 0, 0, 0]) == []


@given(
    contributions=hnp.arrays(np.float64, 6, elements=st.floats(-50, 50)),
    missing=hnp.arrays(np.bool_, 6),
)
def test_whoever_scores_below_the_base_is_given_a_reason(contributions: np.ndarray, missing: np.ndarray):
    features = np.where(missing, np.float32(np.nan), np.float32(1))
    found = reasons(features, contributions, NAMES, portfolio())
    assert len(found) <= 4
    assert all(reason.points_lost > 0 for reason in found)
    assert [r.points_lost for r in found] == sorted((r.points_lost for r in found), reverse=True)
    if contributions.sum() < -1e-9:
        assert found
    assert found == reasons(features, contributions, NAMES, portfolio())


def plainly_told(features: Matrix, contributions: np.ndarray, declared: Portfolio) -> list[GivenReason]:
    """Reasons as they are worded in ``ReasonTable.reasons``, feature by feature."""
    total: dict[str, float] = {}
    members: dict[str, list[int]] = {}
    for place, name in enumerate(NAMES):
        code = str(declared.features[name].reason) + ("-MISSING" if np.isnan(features[place]) else "")
        total[code] = total.get(code, 0.0) + float(contributions[place])
        members.setdefault(code, []).append(place)
    found = []
    for code in sorted((code for code in total if total[code] <= -MATERIAL_POINTS), key=total.__getitem__):
        costliest = NAMES[min(members[code], key=lambda place: contributions[place])]
        reason = declared.reasons[code.removesuffix("-MISSING")]
        unknown = reason.missing_text or f"{reason.text}: not known ({costliest})"
        text = unknown if code.endswith("-MISSING") else reason.text
        found.append(GivenReason(code, text, costliest, -total[code]))
    return found[: declared.policy.max_reasons]


@given(
    contributions=hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 5), st.just(6)),
        elements=st.sampled_from((0.0, -0.0, -0.05, -0.02, -0.03, -1.0, -2.0, 1.0)) | st.floats(-50, 50),
    ),
    data=st.data(),
    most=st.integers(1, 4),
)
def test_the_reasons_of_any_number_of_applicants_are_those_that_a_plain_reading_gives(
    contributions: np.ndarray, data: st.DataObject, most: int
):
    missing = data.draw(hnp.arrays(np.bool_, contributions.shape))
    features = np.where(missing, np.float32(np.nan), np.float32(1))
    declared = portfolio(most)
    told = ReasonTable.of(declared, NAMES).reasons(features, contributions)
    assert [list(own) for own in told] == [
        plainly_told(row, points, declared) for row, points in zip(features, contributions, strict=True)
    ]


def test_a_loss_of_less_than_a_twentieth_of_a_point_is_no_reason():
    assert [reason.code for reason in given_for([0, 0, -0.05, -0.0499, 0, 0])] == ["R2"]


def test_declined_applicants_have_reasons_of_the_model_that_scored_them(bundle: ModelBundle, matrix: Matrix):
    explanation, scored = explain(matrix, bundle), score(matrix, bundle)
    below = np.flatnonzero(scored.points_exact < explanation.base - 1)
    assert len(below) > 50
    for row in below:
        found = reasons(matrix[row], explanation.points[row], bundle.plan.names, bundle.portfolio)
        assert 1 <= len(found) <= 4
        for reason in found:
            position = bundle.plan.names.index(reason.feature)
            assert np.isnan(matrix[row, position]) == reason.code.endswith("-MISSING")
            assert explanation.points[row, position] < 0
