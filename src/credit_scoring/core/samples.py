"""Applicants of one part of the split, as a model bundle reads them."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from credit_scoring.core.discrimination import Labels
from credit_scoring.core.errors import EvaluationError, MissingInputsError
from credit_scoring.core.features.feature_set import to_matrix
from credit_scoring.core.scoring import Matrix, ModelBundle
from credit_scoring.core.training.development import labelled


@dataclass(frozen=True, slots=True)
class Holdout:
    """The applicants that no fit has seen and whose outcome is known.

    ``features`` has ``applicant_id`` and a float32 column per feature, null where missing; ``is_bad`` is
    ``(n,)``, row by row. ``without_outcome`` more belong to the part, neither good nor bad. ``part_sizes`` counts
    the applicants of every part, ``labelled_sizes`` those of them who are good or bad.
    """

    features: pl.DataFrame
    is_bad: Labels
    without_outcome: int
    part_sizes: Mapping[str, int]
    labelled_sizes: Mapping[str, int]


def select_holdout(features: pl.DataFrame, parts: pl.DataFrame, outcomes: pl.DataFrame) -> Holdout:
    """Return the holdout part alone, the only one on which candidates are judged.

    Args:
        features: ``applicant_id`` and a float32 column per scored feature.
        parts: ``applicant_id`` and ``part``.
        outcomes: ``applicant_id`` and ``is_bad``, null where neither good nor bad.

    Raises:
        EvaluationError: If the part is empty.
    """
    own = rows_of_part(features, parts, "holdout")
    rows, is_bad = labelled(own, outcomes)
    known = outcomes.filter(pl.col("is_bad").is_not_null()).select("applicant_id")
    labelled_parts = parts.join(known, on="applicant_id", how="semi")
    return Holdout(rows, is_bad, own.height - rows.height, _sizes(parts), _sizes(labelled_parts))


def _sizes(parts: pl.DataFrame) -> dict[str, int]:
    return dict(parts.group_by("part").len().sort("part").iter_rows())


def rows_of_part(features: pl.DataFrame, parts: pl.DataFrame, part: str) -> pl.DataFrame:
    """Return the rows of ``features`` whose applicant is in ``part``, in their order.

    Raises:
        EvaluationError: If there are none.
    """
    chosen = parts.filter(pl.col("part") == part).select("applicant_id")
    rows = features.join(chosen, on="applicant_id", how="semi", maintain_order="left")
    if rows.is_empty():
        raise EvaluationError(
            f"The part '{part}' has no applicants. Raise its share under 'split' in the declaration, or bring more "
            f"applicants, then run the features pipeline again. Monitoring can watch another part: set the parameter "
            f"'monitoring.period_part'."
        )
    return rows


def matrix_for(bundle: ModelBundle, features: pl.DataFrame) -> Matrix:
    """Return ``(n, p)`` features in the order of the bundle's own plan, NaN where missing.

    Raises:
        MissingInputsError: If ``features`` was computed for another feature set and lacks some.
    """
    missing = set(bundle.plan.names) - set(features.columns)
    if missing:
        raise MissingInputsError("features_applicants", missing)
    return to_matrix(features, bundle.plan.names)
