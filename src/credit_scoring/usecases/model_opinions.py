"""What a model says of many applications: scores of all of them, reasons for those that it decides."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from credit_scoring.api.decisions import GivenReason, ModelOutput
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.reasons import reasons
from credit_scoring.core.scoring import Matrix, ModelBundle, base_points, explain, score
from credit_scoring.usecases.assignment import RoleModel
from credit_scoring.usecases.feature_rows import ROW_FAILURES, Subject, matrix_of

NOT_FINITE = "NotFinite"
"""What is recorded of a model whose score, or what explains it, is not a finite number."""

Reasons = tuple[GivenReason, ...]


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
        """Return the same with reasons at ``places``; where the model cannot explain itself it has failed."""
        asked = [place for place in places if self.usable(place) is not None]
        told = _reasons(self.bundle, self.matrix[[self.rows[place] for place in asked]])
        opinions, given = list(self.opinions), {}
        for place, found in zip(asked, told, strict=True):
            if isinstance(found, str):
                opinions[place] = found
            else:
                given[place] = found
        return replace(self, opinions=opinions, reasons=given)


def opinions_on(bundle: ModelBundle, subjects: Sequence[Subject]) -> ModelOpinions:
    """Score every subject by one matrix; a subject that cannot be scored harms no other."""
    opinions: list[Opinion | str] = [row_failure(subject, bundle.plan) for subject in subjects]
    sound = [place for place, failure in enumerate(opinions) if not failure]
    matrix = matrix_of([subjects[place].row(bundle.plan) for place in sound], bundle.plan)
    for place, opinion in zip(sound, _scores(bundle, matrix), strict=True):
        opinions[place] = opinion
    return ModelOpinions(bundle, opinions, matrix, {place: row for row, place in enumerate(sound)})


def row_failure(subject: Subject, plan: FeatureSet) -> str:
    """Have the subject's features computed; return what the failure is called, '' when there is none."""
    try:
        subject.row(plan)
    except ROW_FAILURES as exc:
        return type(exc).__name__
    return ""


def output_of(model: RoleModel, opinion: Opinion | str) -> ModelOutput:
    """Return an opinion as it goes on record; a failure by its name."""
    names: dict[str, Any] = model.ref.model_dump() | {"feature_set": model.bundle.plan.version}
    if isinstance(opinion, str):
        return ModelOutput(**names, failure=opinion)
    return ModelOutput(
        **names,
        points=opinion.points,
        points_exact=opinion.points_exact,
        prob_default=opinion.prob_default,
        base_points=opinion.base_points,
    )


def _scores(bundle: ModelBundle, features: Matrix) -> list[Opinion | str]:
    """Opinion on each row; when all at once fail, each row by itself, so that a failure is the row's own."""
    try:
        return _scored(bundle, features)
    except ROW_FAILURES as exc:
        if len(features) == 1:
            return [type(exc).__name__]
    return [opinion for row in range(len(features)) for opinion in _scores(bundle, features[row : row + 1])]


def _scored(bundle: ModelBundle, features: Matrix) -> list[Opinion | str]:
    if not len(features):
        return []
    with np.errstate(all="ignore"):  # what is not finite is found below, and never becomes a number
        scores = score(features, bundle)
    base = base_points(bundle)
    finite = np.isfinite(scores.points_exact) & np.isfinite(scores.prob_default) & np.isfinite(base)
    told = zip(scores.points.tolist(), scores.points_exact.tolist(), scores.prob_default.tolist(), strict=True)
    return [Opinion(*one, base) if sound else NOT_FINITE for one, sound in zip(told, finite, strict=True)]


def _reasons(bundle: ModelBundle, features: Matrix) -> list[Reasons | str]:
    """Reasons of each row, or its failure, found as in ``_scores``."""
    try:
        return _explained(bundle, features)
    except ROW_FAILURES as exc:
        if len(features) == 1:
            return [type(exc).__name__]
    return [told for row in range(len(features)) for told in _reasons(bundle, features[row : row + 1])]


def _explained(bundle: ModelBundle, features: Matrix) -> list[Reasons | str]:
    if not len(features):
        return []
    names, declared = bundle.plan.names, bundle.portfolio
    contributions = explain(features, bundle).points
    return [
        tuple(reasons(row, points, names, declared)) if np.isfinite(points).all() else NOT_FINITE
        for row, points in zip(features, contributions, strict=True)
    ]
