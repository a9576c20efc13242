from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.scoring import Matrix, ModelBundle, explain, score
from credit_scoring.usecases.feature_rows import FeatureRow
from credit_scoring.usecases.model_opinions import NOT_FINITE, ModelOpinions, opinions_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Known:
    """A subject whose features are known, or cannot be computed."""

    values: Matrix | None

    def row(self, plan: Any) -> FeatureRow:  # noqa: ARG002 - as subjects are asked
        if self.values is None:
            raise LookupError("facts were not read")
        return FeatureRow(self.values, "store", NOW)


def subjects(matrix: Matrix, unknown: tuple[int, ...] = ()) -> list[Any]:
    return [Known(None if place in unknown else row) for place, row in enumerate(matrix)]


class Altered:
    """A classifier whose margin and contributions are changed as told."""

    algorithm = "scorecard"

    def __init__(self, whole: Any, margin: Callable[..., Any], contributions: Callable[..., Any]) -> None:
        self._whole, self._margin, self._contributions = whole, margin, contributions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def margin(self, features: Matrix) -> Any:
        return self._margin(features, self._whole.margin(features))

    def contributions(self, features: Matrix) -> Any:
        return self._contributions(features, self._whole.contributions(features))

    def explained(self, features: Matrix) -> Any:
        return self.margin(features), self.contributions(features)


def as_it_is(features: Matrix, found: Any) -> Any:
    return found


def raising_for(value: float) -> Callable[..., Any]:
    def fail(features: Matrix, found: Any) -> Any:
        if (features[:, 0] == value).any():
            raise KeyError("no")
        return found

    return fail


def no_number_for(value: float) -> Callable[..., Any]:
    return lambda features, found: np.where((features[:, 0] == value)[(..., *[None] * (found.ndim - 1))], np.nan, found)


def both_ways(bundle: ModelBundle, asked: list[Any], places: list[int]) -> list[ModelOpinions]:
    return [opinions_on(bundle, asked).explained(places), opinions_on(bundle, asked, places)]


@given(places=st.lists(st.integers(0, 7), max_size=8, unique=True), unknown=st.sets(st.integers(0, 7)))
def test_reasons_asked_for_at_once_or_afterwards_are_those_of_each_alone(
    bundle: ModelBundle, matrix: Matrix, places: list[int], unknown: set[int]
):
    rows = matrix[:8]
    for told in both_ways(bundle, subjects(rows, tuple(unknown)), places):
        assert set(told.reasons) == set(places) - unknown
        for place in range(8):
            alone = opinions_on(bundle, subjects(rows[place : place + 1]), [0])
            if place in unknown:
                assert told.opinions[place] == "LookupError"
            else:
                assert told.opinions[place] == alone.opinions[0]
            if place in told.reasons:
                assert told.reasons[place] == alone.reasons[0]


def test_an_opinion_is_what_the_scorer_says(bundle: ModelBundle, matrix: Matrix):
    told = opinions_on(bundle, subjects(matrix), range(0, 400, 2))
    scores, explanation = score(matrix, bundle), explain(matrix, bundle)
    for place in range(400):
        opinion = told.usable(place)
        assert opinion is not None
        assert (opinion.points, opinion.points_exact) == (scores.points[place], scores.points_exact[place])
        assert (opinion.prob_default, opinion.base_points) == (scores.prob_default[place], explanation.base)
        assert type(opinion.points) is int
    reasons = bundle.reason_table.reasons(matrix, explanation.points)
    assert told.reasons == {place: reasons[place] for place in range(0, 400, 2)}


def test_what_was_explained_at_once_is_not_explained_again(scorecard_bundle: ModelBundle, matrix: Matrix):
    asked: list[int] = []

    def counted(features: Matrix, found: Any) -> Any:
        asked.append(len(features))
        return found

    bundle = replace(scorecard_bundle, classifier=Altered(scorecard_bundle.classifier, as_it_is, counted))
    told = opinions_on(bundle, subjects(matrix[:5]), [1, 3])
    assert asked == [2]
    assert told.explained([3, 1]) is told
    assert set(told.explained([3, 4]).reasons) == {1, 3, 4}
    assert asked == [2, 1]


@pytest.mark.parametrize("bad", [raising_for, no_number_for], ids=["raises", "gives no number"])
@pytest.mark.parametrize("of", ["margin", "contributions"])
def test_who_cannot_be_scored_or_explained_fails_alone(
    scorecard_bundle: ModelBundle, matrix: Matrix, bad: Callable[..., Any], of: str
):
    rows = matrix[:6].copy()
    rows[:, 0] = range(6)
    change = bad(3.0)
    given = (change, as_it_is) if of == "margin" else (as_it_is, change)
    bundle = replace(scorecard_bundle, classifier=Altered(scorecard_bundle.classifier, *given))
    whole = opinions_on(scorecard_bundle, subjects(rows), range(6))
    failure = "KeyError" if bad is raising_for else NOT_FINITE
    for told in both_ways(bundle, subjects(rows), list(range(6))):
        assert told.opinions[3] == failure
        assert told.usable(3) is None
        assert 3 not in told.reasons
        for place in (0, 1, 2, 4, 5):
            assert told.opinions[place] == whole.opinions[place]
            assert told.reasons[place] == whole.reasons[place]


def test_nobody_asked_is_nobody_told(bundle: ModelBundle):
    told = opinions_on(bundle, [], ())
    assert (list(told.opinions), dict(told.reasons)) == ([], {})
    assert told.explained([]) is told
