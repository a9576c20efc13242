"""What models are fitted on: the development part of a portfolio, aligned and checked."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.errors import TrainingError
from credit_scoring.core.features.feature_set import FeatureSet, to_matrix
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.training.options import DevelopmentOptions


@dataclass(frozen=True, slots=True)
class Development:
    """Features ``(n, p)`` float32 (NaN missing) of ``plan`` and ``is_bad`` ``(n,)`` int8, row by row."""

    portfolio: Portfolio
    plan: FeatureSet
    features: npt.NDArray[np.float32]
    is_bad: npt.NDArray[np.int8]

    def rows(self, index: npt.NDArray[np.intp]) -> "Development":
        """Return the same for some rows."""
        return replace(self, features=self.features[index], is_bad=self.is_bad[index])


def labelled(features: pl.DataFrame, outcomes: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.int8]]:
    """Return the rows of ``features`` whose outcome is good or bad, and ``is_bad`` of each, row by row."""
    joined = features.join(outcomes, on="applicant_id", how="inner", validate="1:1", maintain_order="left")
    known = joined.filter(pl.col("is_bad").is_not_null())
    return known.drop("is_bad"), known["is_bad"].to_numpy()


def development_part(
    portfolio: Portfolio,
    features: pl.DataFrame,
    outcomes: pl.DataFrame,
    parts: pl.DataFrame,
    options: DevelopmentOptions = DevelopmentOptions(),  # noqa: B008 - frozen
) -> Development:
    """Return the development part alone; nothing else may be seen by binning, fitting, tuning or calibration.

    Args:
        portfolio: The declaration.
        features: ``applicant_id`` and a float32 column per scored feature.
        outcomes: ``applicant_id`` and ``is_bad``.
        parts: ``applicant_id`` and ``part``.
        options: How rare an outcome may be.

    Raises:
        TrainingError: If either outcome is too rare to fit on.
    """
    chosen = parts.filter(pl.col("part") == "development").select("applicant_id")
    own = features.join(chosen, on="applicant_id", how="semi", maintain_order="left")
    rows, is_bad = labelled(own, outcomes)
    plan = FeatureSet.of(portfolio)
    bads, goods = int(is_bad.sum()), int(len(is_bad) - is_bad.sum())
    if min(bads, goods) < options.fewest_of_each_outcome:
        raise TrainingError(
            f"The development part has {goods} good and {bads} bad outcomes; at least "
            f"{options.fewest_of_each_outcome} of each are needed. Check 'outcome' and 'split' in the declaration, "
            f"bring more applicants, or lower the parameter 'development.fewest_of_each_outcome' and trust the "
            f"figures less."
        )
    return Development(portfolio, plan, to_matrix(rows, plan.names), is_bad)
