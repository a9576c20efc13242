"""What a model says of many applications: scores of all of them, reasons for those that it decides."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TypeVar

import numpy as np

from credit_scoring.api.decisions import GivenReason, ModelOutput
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.scoring import (
    Explanation,
    Matrix,
    ModelBundle,
    Scores,
    explain,
    score,
    score_and_explain,
)
from credit_scoring.usecases.assignment import RoleModel
from credit_scoring.usecases.feature_rows import ROW_FAILURES, Subject, matrix_of

NOT_FINITE = "NotFinite"
"""What is recorded of a model whose score, or what explains it, is not a finite number."""

Reasons = tuple[GivenReason, ...]
Judged = TypeVar("Judged")


@dataclass(frozen=True, slots=True)
class Opinion:
    """One model's score of one application."""

    points: int
    points_exact: float
    prob_default: float
    base_points: float


@dataclass(frozen=True, slots=True)
class ModelOpinions:
    """One model's opinion on each application, or the name of its failure; reasons by place, where they were asked for.

    ``matrix`` holds the features of those whose features could be computed, at ``rows`` by place.
    """

    bundle: ModelBundle
    opinions: Sequence[Opinion | str]
    matrix: Matrix
    rows: Mapping[int, int]
    reasons: Mapping[int, Reasons] = field(default_factory=dict)

    @classmethod
    def failed(cls, bundle: ModelBundle, failure: str, applications: int) -> "ModelOpinions":
        """Return the opinions of a model that failed as a whole."""
        return cls(bundle, [failure] * applications, matrix_of([], bundle.plan), {})

    def usable(self, place: int) -> Opinion | None:
        """Return the opinion on the application at ``place``, None where the model failed."""
        opinion = self.opinions[place]
        return None if isinstance(opinion, str) else opinion

    def explained(self, places: Collection[int]) -> "ModelOpinions":
        """Return the same with reasons at ``places`` too; where the model cannot explain itself it has failed."""
        asked = [place for place in places if place not in self.reasons and self.usable(place) is not None]
        if not asked:
            return self
        opinions, given = list(self.opinions), dict(self.reasons)
        told = _each(_reasons, self.bundle, self.matrix[[self.rows[place] for place in asked]])
        for place, found in zip(asked, told, strict=True):
            if isinstance(found, str):
                opinions[place] = found
            else:
                given[place] = found
        return ModelOpinions(self.bundle, opinions, self.matrix, self.rows, given)


def opinions_on(bundle: ModelBundle, subjects: Sequence[Subject], explaining: Collection[int] = ()) -> ModelOpinions:
    """Score every subject, and give reasons at the places ``explaining``; one that cannot be scored harms no other.

    Whom a model surely decides is better named here than asked for by ``explained`` afterwards: the model
    then looks at that row once. Each row is scored the same either way.
    """
    opinions: list[Opinion | str] = [row_failure(subject, bundle.plan) for subject in subjects]
    sound = [place for place, failure in enumerate(opinions) if not failure]
    matrix = matrix_of([subjects[place].row(bundle.plan) for place in sound], bundle.plan)
    rows = {place: row for row, place in enumerate(sound)}
    given: dict[int, Reasons] = {}
    told = [place for place in sound if place in explaining]
    silent = [place for place in sound if place not in explaining]
    for place, both in zip(told, _each(_scored_and_explained, bundle, _chosen(matrix, rows, told)), strict=True):
        if isinstance(both, str):
            opinions[place] = both
        else:
            opinions[place], given[place] = both
    for place, opinion in zip(silent, _each(_scored, bundle, _chosen(matrix, rows, silent)), strict=True):
        opinions[place] = opinion
    return ModelOpinions(bundle, opinions, matrix, rows, given)


def row_failure(subject: Subject, plan: FeatureSet) -> str:
    """Have the subject's features computed; return what the failure is called, '' when there is none."""
    try:
        subject.row(plan)
    except ROW_FAILURES as exc:
        return type(exc).__name__
    return ""


def output_of(model: RoleModel, opinion: Opinion | str) -> ModelOutput:
    """Return an opinion as it goes on record; a failure by its name."""
    if isinstance(opinion, str):
        return ModelOutput(**model.named, failure=opinion)
    return ModelOutput(
        **model.named,
        points=opinion.points,
        points_exact=opinion.points_exact,
        prob_default=opinion.prob_default,
        base_points=opinion.base_points,
    )


def _each(
    judge: Callable[[ModelBundle, Matrix], list[Judged | str]], bundle: ModelBundle, features: Matrix
) -> list[Judged | str]:
    """Return what is said of each row; when all at once fail, of each by itself, so that a failure is the row's own."""
    if not len(features):
        return []
    try:
        return judge(bundle, features)
    except ROW_FAILURES as exc:
        if len(features) == 1:
            return [type(exc).__name__]
    return [one for row in range(len(features)) for one in _each(judge, bundle, features[row : row + 1])]


def _scored(bundle: ModelBundle, features: Matrix) -> list[Opinion | str]:
    with np.errstate(all="ignore"):  # what is not finite is found below, and never becomes a number
        scores = score(features, bundle)
    return _opinions(bundle, scores)


def _reasons(bundle: ModelBundle, features: Matrix) -> list[Reasons | str]:
    return _told(bundle, features, explain(features, bundle))


def _scored_and_explained(bundle: ModelBundle, features: Matrix) -> list[tuple[Opinion, Reasons] | str]:
    with np.errstate(all="ignore"):
        scores, explanation = score_and_explain(features, bundle)
    both = zip(_opinions(bundle, scores), _told(bundle, features, explanation), strict=True)
    return [_sound(opinion, told) for opinion, told in both]


def _sound(opinion: Opinion | str, told: Reasons | str) -> tuple[Opinion, Reasons] | str:
    if isinstance(opinion, str):
        return opinion
    return told if isinstance(told, str) else (opinion, told)


def _opinions(bundle: ModelBundle, scores: Scores) -> list[Opinion | str]:
    told = zip(scores.points.tolist(), scores.points_exact.tolist(), scores.prob_default.tolist(), strict=True)
    return [_opinion(*one, bundle.base_points) for one in told]


def _opinion(points: int, points_exact: float, prob_default: float, base_points: float) -> Opinion | str:
    if not (isfinite(points_exact) and isfinite(prob_default) and isfinite(base_points)):
        return NOT_FINITE
    return Opinion(points, points_exact, prob_default, base_points)


def _told(bundle: ModelBundle, features: Matrix, explanation: Explanation) -> list[Reasons | str]:
    finite = np.logical_and.reduce(np.isfinite(explanation.points), axis=1)
    found = bundle.reason_table.reasons(features, explanation.points)
    return [one if sound else NOT_FINITE for one, sound in zip(found, finite, strict=True)]


def _chosen(matrix: Matrix, rows: Mapping[int, int], places: Sequence[int]) -> Matrix:
    return matrix if len(places) == len(rows) else matrix[[rows[place] for place in places]]
