import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.feature_bins import PRIOR_ROWS, PRIOR_ROWS_OF_A_STATE, FeatureBins
from credit_scoring.core.features.declared import FeatureDeclaration
from credit_scoring.core.scorecard import Scorecard, ScorecardData
from credit_scoring.core.scoring import Matrix, ModelBundle
from credit_scoring.core.training.binning import fit_bins
from credit_scoring.core.training.options import ScorecardOptions

NAN = np.float32(np.nan)
OPTIONS = ScorecardOptions(algorithm="scorecard")


def f32(*values: float) -> Matrix:
    return np.asarray(values, dtype=np.float32)


def around(edge: float) -> Matrix:
    at = np.float32(edge)
    return f32(np.nextafter(at, NAN.dtype.type(-np.inf)), at, np.nextafter(at, NAN.dtype.type(np.inf)))


BINS = FeatureBins(feature="x", edges=(0.1, 1.0), special=(-1.0,))


def test_a_value_at_an_edge_belongs_to_the_bin_above():
    edge = float(np.float32(0.1))
    bins = FeatureBins(feature="x", edges=(edge, 1.0))
    assert bins.assign(around(edge)).tolist() == [0, 1, 1]
    assert bins.assign(around(1.0)).tolist() == [1, 2, 2]


def test_missing_and_special_values_have_bins_of_their_own():
    assert BINS.assign(f32(-5, -1, 0.5, 7, np.nan)).tolist() == [0, 3, 1, 2, 4]
    assert BINS.assign(f32(-0.9999999, -1.0000001)).tolist() == [0, 0]


def test_categories_are_binned_by_group_and_missing_ones_apart():
    bins = FeatureBins(feature="c", groups=(1, 0, 1))
    assert bins.assign(f32(0, 1, 2, np.nan)).tolist() == [1, 0, 1, 2]
    assert bins.labels(["a", "b", "c"]) == ["b", "a, c", "missing"]


def test_labels_name_every_bin_in_order():
    assert BINS.labels() == ["[-inf, 0.1)", "[0.1, 1)", "[1, inf)", "special -1", "missing"]


def test_weight_of_evidence_is_that_of_the_textbook():
    values = f32(0, 0, 0, 0.5, 0.5, 2, 2, 2, -1, np.nan)
    is_bad = np.asarray([1, 1, 0, 1, 0, 0, 0, 0, 1, 0], dtype=np.int8)
    counted = BINS.counted(values, is_bad)
    assert counted.goods == (1, 1, 3, 0, 1)
    assert counted.bads == (2, 1, 0, 1, 0)
    prior_rows = [PRIOR_ROWS] * 3 + [PRIOR_ROWS_OF_A_STATE] * 2
    for goods, bads, rows, woe in zip(counted.goods, counted.bads, prior_rows, counted.woe, strict=True):
        share_of_goods = goods / 6 + rows / 10
        share_of_bads = bads / 4 + rows / 10
        assert woe == pytest.approx(np.log(share_of_goods / share_of_bads), abs=1e-12)


def test_a_handful_of_missing_values_proves_little_and_many_prove_much():
    def woe_of_missing(applicants: int) -> float:
        values = np.concatenate([np.linspace(0, 2, 10_000, dtype=np.float32), np.full(applicants, NAN)])
        is_bad = (np.arange(len(values)) % 4 == 0).astype(np.int8)
        is_bad[10_000:] = 0
        return BINS.counted(values, is_bad).woe[-1]

    assert 0 < woe_of_missing(2) < 0.15
    assert woe_of_missing(2000) > 2


def test_a_bin_without_applicants_is_the_average_applicant():
    counted = BINS.counted(f32(0, 0.5, 2), np.asarray([1, 0, 1], dtype=np.int8))
    assert counted.woe[3:] == (0.0, 0.0)


@given(values=st.lists(st.one_of(st.just(np.nan), st.floats(width=32, allow_infinity=False)), min_size=1, max_size=30))
def test_a_value_lands_in_the_same_bin_alone_and_in_company(values: list[float]):
    column = f32(*values)
    alone = [int(BINS.assign(column[i : i + 1])[0]) for i in range(len(column))]
    assert BINS.assign(column).tolist() == alone


def made_up(direction: str | None, seed: int) -> tuple[Matrix, npt.NDArray[np.int8]]:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=3000).astype(np.float32)
    lift = {"riskier": 1, "safer": -1, None: 0}[direction] * values + 0.8 * np.sin(5 * values)
    is_bad = (draw.random(3000) < 1 / (1 + np.exp(1 - lift))).astype(np.int8)
    values[:200] = -99
    values[200:400] = np.nan
    return values, is_bad


@pytest.mark.parametrize("direction", ["riskier", "safer"])
@pytest.mark.parametrize("seed", range(3))
def test_the_bad_rate_follows_the_declared_direction_over_regular_bins(direction: str, seed: int):
    values, is_bad = made_up(direction, seed)
    declared = FeatureDeclaration(column="x", reason="R", higher_is=direction, special={-99: "none"})
    bins = fit_bins("x", declared, (), values, is_bad, OPTIONS)
    assert bins.regular > 2
    assert bins.goods[-2] + bins.bads[-2] == 200
    assert bins.goods[-1] + bins.bads[-1] == 200
    rates = [bad / (good + bad) for good, bad in zip(bins.goods, bins.bads, strict=True)][: bins.regular]
    assert rates == sorted(rates, reverse=direction == "safer")
    woe = list(bins.woe[: bins.regular])
    assert woe == sorted(woe, reverse=direction == "riskier")


def test_edges_are_float32_numbers():
    values, is_bad = made_up("riskier", 5)
    bins = fit_bins("x", FeatureDeclaration(column="x", reason="R"), (), values, is_bad, OPTIONS)
    assert bins.edges
    assert all(float(np.float32(edge)) == edge for edge in bins.edges)


@pytest.mark.parametrize("categories", [(), ("a", "b")])
@pytest.mark.parametrize("known", [0, 1, 3])
def test_a_feature_that_is_hardly_ever_known_is_binned_too(categories: tuple[str, ...], known: int):
    values = np.full(500, NAN)
    values[:known] = 1
    is_bad = (np.arange(500) % 4 == 0).astype(np.int8)
    bins = fit_bins("x", FeatureDeclaration(column="x", reason="R"), categories, values, is_bad, OPTIONS)
    assert sum(bins.goods) + sum(bins.bads) == 500
    assert np.isfinite(bins.woe).all()


def test_a_declared_category_never_seen_has_a_bin():
    draw = np.random.default_rng(0)
    values = draw.integers(0, 3, 2000).astype(np.float32)
    is_bad = (draw.random(2000) < 0.1 + 0.2 * values).astype(np.int8)
    bins = fit_bins("c", FeatureDeclaration(column="c", reason="R"), ("a", "b", "c", "unseen"), values, is_bad, OPTIONS)
    assert len(bins.groups or ()) == 4
    assert 0 <= int(bins.assign(f32(3))[0]) < bins.regular


def scorecard(bundle: ModelBundle) -> Scorecard:
    assert isinstance(bundle.classifier, Scorecard)
    return bundle.classifier


def woe_by_hand(bins: FeatureBins, value: np.float32) -> float:
    if np.isnan(value):
        found = len(bins.woe) - 1
    elif float(value) in bins.special:
        found = bins.regular + bins.special.index(float(value))
    elif bins.groups is not None:
        found = bins.groups[int(value)]
    else:
        found = sum(float(value) >= edge for edge in bins.edges)
    return bins.woe[found]


def by_hand(card: Scorecard, row: Matrix) -> float:
    margin = card.data.intercept
    for bins, coefficient in zip(card.data.bins, card.data.coefficients, strict=True):
        margin += coefficient * woe_by_hand(bins, row[card.inputs.index(bins.feature)])
    return margin


def explained_by_hand(card: Scorecard, row: Matrix) -> list[float]:
    found = [0.0] * len(card.inputs)
    terms = zip(card.data.bins, card.data.coefficients, card.data.reference_woe, strict=True)
    for bins, coefficient, reference in terms:
        place = card.inputs.index(bins.feature)
        found[place] = coefficient * (woe_by_hand(bins, row[place]) - reference)
    return found


def test_the_margin_is_intercept_plus_coefficient_times_evidence(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    assert card.margin(matrix[:50]).tolist() == [by_hand(card, row) for row in matrix[:50]]


def test_a_contribution_is_coefficient_times_evidence_beyond_that_of_the_reference(
    scorecard_bundle: ModelBundle, matrix: Matrix
):
    card = scorecard(scorecard_bundle)
    assert card.contributions(matrix[:50]).tolist() == [explained_by_hand(card, row) for row in matrix[:50]]


numbers = st.floats(-9, 9)
edge_values = st.floats(-100, 100, width=32)


@st.composite
def scorecards(draw: st.DrawFn) -> Scorecard:
    """Any scorecard of up to six features in any order, of which some are not used."""
    inputs = tuple("abcdef"[: draw(st.integers(1, 6))])
    bins = []
    for feature in draw(st.permutations(inputs))[: draw(st.integers(0, len(inputs)))]:
        if draw(st.booleans()):
            made = FeatureBins(feature=feature, groups=tuple(draw(st.lists(st.integers(0, 2), min_size=3, max_size=3))))
        else:
            edges = tuple(sorted(draw(st.sets(edge_values, max_size=4))))
            special = tuple(draw(st.lists(st.sampled_from((-2.0, -1.0, 0.0, 1e30)), max_size=3, unique=True)))
            made = FeatureBins(feature=feature, edges=edges, special=special)
        woe = tuple(draw(st.lists(numbers, min_size=made.size, max_size=made.size)))
        bins.append(made.model_copy(update={"woe": woe}))
    several = st.lists(numbers, min_size=len(bins), max_size=len(bins)).map(tuple)
    return Scorecard(
        ScorecardData(
            inputs=inputs,
            intercept=draw(numbers),
            bins=tuple(bins),
            coefficients=draw(several),
            reference_woe=draw(several),
        )
    )


def row_of(card: Scorecard, draw: st.DataObject) -> list[float]:
    """Categories where they are read, numbers elsewhere, at edges and specials often."""
    read = {bins.feature: bins for bins in card.data.bins}
    values = []
    for feature in card.inputs:
        bins = read.get(feature)
        if bins is not None and bins.groups is not None:
            known = st.sampled_from((0.0, 1.0, 2.0))
        else:
            at = (*bins.edges, *bins.special) if bins is not None else ()
            known = st.sampled_from((0.0, -0.0, *at)) | st.floats(width=32, allow_nan=False)
        values.append(draw.draw(st.just(np.nan) | known))
    return values


@given(card=scorecards(), data=st.data())
def test_any_scorecard_scores_and_explains_as_by_hand(card: Scorecard, data: st.DataObject):
    rows = f32(*(value for _ in range(data.draw(st.integers(0, 4))) for value in row_of(card, data)))
    matrix = rows.reshape(-1, len(card.inputs))
    margin, contributions = card.explained(matrix)
    assert margin.tolist() == card.margin(matrix).tolist() == [by_hand(card, row) for row in matrix]
    assert contributions.shape == matrix.shape
    assert (
        contributions.tolist()
        == card.contributions(matrix).tolist()
        == [explained_by_hand(card, row) for row in matrix]
    )
    for row in range(len(matrix)):
        alone = card.explained(matrix[row : row + 1])
        assert (alone[0].tobytes(), alone[1].tobytes()) == (margin[row].tobytes(), contributions[row].tobytes())


def test_more_rows_than_are_taken_at_once_score_as_each_by_itself(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    many = np.resize(matrix, (40_000, matrix.shape[1]))
    margin, contributions = card.explained(many)
    assert margin.tobytes() == np.resize(card.margin(matrix), 40_000).tobytes() == card.margin(many).tobytes()
    assert contributions.tobytes() == np.resize(card.contributions(matrix), many.shape).tobytes()
    assert card.contributions(many).tobytes() == contributions.tobytes()


def test_what_is_none_of_the_declared_categories_has_no_margin():
    bins = FeatureBins(feature="x", groups=(0, 1), woe=(0.5, -0.5, 0.0))
    data = ScorecardData(inputs=("x",), intercept=1.0, bins=(bins,), coefficients=(-1.0,), reference_woe=(0.0,))
    assert np.isnan(Scorecard(data).margin(f32(2, -1).reshape(2, 1))).all()


def test_at_every_edge_and_next_to_it_one_row_and_a_batch_agree(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    rows = []
    for bins in card.data.bins:
        for value in [*(v for edge in bins.edges for v in around(edge)), *(v for s in bins.special for v in around(s))]:
            row = matrix[0].copy()
            row[card.inputs.index(bins.feature)] = value
            rows.append(row)
    batch = np.ascontiguousarray(rows)
    assert len(batch) > 50
    together = card.margin(batch)
    assert together.tobytes() == b"".join(card.margin(batch[i : i + 1]).tobytes() for i in range(len(batch)))
    assert together.tolist() == [by_hand(card, row) for row in batch]


def test_each_edge_really_parts_what_lies_next_to_it(scorecard_bundle: ModelBundle):
    for bins in scorecard(scorecard_bundle).data.bins:
        for edge in bins.edges:
            below, at, _ = bins.assign(around(edge))
            assert at == below + 1


def test_contributions_and_bias_add_up_to_the_margin(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    np.testing.assert_allclose(
        card.contributions(matrix).sum(axis=1) + card.bias, card.margin(matrix), atol=1e-12, rtol=0
    )


def test_contributions_average_to_nothing_over_the_reference(scorecard_bundle: ModelBundle):
    card = scorecard(scorecard_bundle)
    reference = scorecard_bundle.reference
    np.testing.assert_allclose(card.contributions(reference).mean(axis=0), 0, atol=1e-12)
    assert card.bias == pytest.approx(card.margin(reference).mean(), abs=1e-12)


def test_another_reference_moves_reasons_and_no_score(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    moved = card.with_reference(matrix[:100])
    assert moved.margin(matrix).tobytes() == card.margin(matrix).tobytes()
    np.testing.assert_allclose(moved.contributions(matrix[:100]).mean(axis=0), 0, atol=1e-12)


def test_features_that_are_not_used_contribute_exactly_nothing(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    used = {bins.feature for bins in card.data.bins}
    unused = [position for position, name in enumerate(card.inputs) if name not in used]
    assert unused
    assert not card.contributions(matrix)[:, unused].any()


def test_every_coefficient_agrees_with_its_evidence(scorecard_bundle: ModelBundle):
    assert all(coefficient < 0 for coefficient in scorecard(scorecard_bundle).data.coefficients)


def test_more_risk_never_lowers_the_margin(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    for bins in card.data.bins:
        declared = scorecard_bundle.plan.features[bins.feature]
        if declared.higher_is is None or bins.groups is not None:
            continue
        sweep = sorted({float(v) for edge in bins.edges for v in around(edge)} - set(bins.special))
        rows = np.repeat(matrix[:1], len(sweep), axis=0)
        rows[:, card.inputs.index(bins.feature)] = sweep
        steps = np.diff(card.margin(rows))
        assert (steps >= 0).all() if declared.higher_is == "riskier" else (steps <= 0).all(), bins.feature


def test_files_hold_the_scorecard_whole(scorecard_bundle: ModelBundle, matrix: Matrix):
    card = scorecard(scorecard_bundle)
    again = Scorecard.from_files(card.to_files())
    assert again == card
    assert again.margin(matrix).tobytes() == card.margin(matrix).tobytes()


def test_an_unused_scorecard_is_its_intercept():
    data = ScorecardData(inputs=("x",), intercept=-1.5, bins=(), coefficients=(), reference_woe=())
    assert Scorecard(data).margin(f32(1, np.nan).reshape(2, 1)).tolist() == [-1.5, -1.5]
