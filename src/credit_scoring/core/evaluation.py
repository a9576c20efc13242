"""Two candidates judged on the same applicants, as a bank's model validator would."""

from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.calibration_checks import (
    CalibrationError,
    CalibrationLine,
    brier_score,
    calibration_error,
    calibration_line,
    log_loss,
)
from credit_scoring.core.discrimination import (
    AucComparison,
    Estimate,
    Floats,
    Labels,
    auc,
    compare_auc,
    gini,
    kolmogorov_smirnov,
)
from credit_scoring.core.portfolio import Band, Policy
from credit_scoring.core.samples import Holdout, matrix_for
from credit_scoring.core.scoring import ModelBundle, Scores, score

Mask: TypeAlias = npt.NDArray[np.bool_]


class EvaluationOptions(BaseModel):
    """How candidates are judged; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0)
    chance_draws: int = Field(default=1000, ge=100)
    calibration_groups: int = Field(default=10, ge=2)
    explained_applicants: int = Field(default=2000, ge=50)


@dataclass(frozen=True, slots=True)
class BandRow:
    """What became of the applicants of one score band, and of all from the safest band down to it.

    ``bad_rate``, ``mean_prob_default`` and the range of points are None where the band is empty.
    """

    band: str
    from_points: int
    applicants: int
    share: float
    bads: int
    bad_rate: float | None
    mean_prob_default: float | None
    lowest_points: int | None
    highest_points: int | None
    cumulative_share: float
    cumulative_bad_rate: float | None
    cumulative_share_of_bads: float


@dataclass(frozen=True, slots=True)
class CandidateEvaluation:
    """One candidate, named by its bundle's ``digest``, on the holdout part.

    ``brier_of_average`` is the Brier score of giving everybody the bad rate: what a useful model must undercut.
    ``approved`` and ``approved_bad_rate`` follow the declared cut-off; ``clipped`` is the share of applicants
    whose points lay outside the declared range.
    """

    algorithm: str
    feature_set: str
    digest: str
    auc: Estimate
    gini: Estimate
    ks: float
    brier: float
    brier_of_average: float
    log_loss: float
    calibration: CalibrationLine
    ece: CalibrationError
    bands: tuple[BandRow, ...]
    approved: float
    approved_bad_rate: float | None
    clipped: float


@dataclass(frozen=True, slots=True)
class SwapSet:
    """Applicants by what the two candidates would do at the declared cut-off; ``bad_rate`` None where empty."""

    first_approves: bool
    second_approves: bool
    applicants: int
    bad_rate: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Both candidates by name, AUC of the second minus that of the first, and the sample that they were judged on."""

    applicants: int
    bads: int
    without_outcome: int
    part_sizes: dict[str, int]
    labelled_sizes: dict[str, int]
    calibration_groups: int
    candidates: dict[str, CandidateEvaluation]
    comparison: AucComparison
    swap_sets: tuple[SwapSet, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as nested dictionaries, lists and plain numbers."""
        return asdict(self)

    def to_metrics(self) -> dict[str, float]:
        """Return the headline numbers by flat name, for a tracker of metrics."""
        found = {
            "applicants": float(self.applicants),
            "bad_rate": self.bads / self.applicants,
            "auc_difference": self.comparison.difference.value,
            "auc_difference_low": self.comparison.difference.low,
            "auc_difference_high": self.comparison.difference.high,
            "auc_difference_p_value": self.comparison.p_value,
        }
        for name, judged in self.candidates.items():
            found |= {f"{name}.{metric}": value for metric, value in _headline(judged).items()}
        return found


def evaluate(first: ModelBundle, second: ModelBundle, holdout: Holdout, options: EvaluationOptions) -> Evaluation:
    """Judge two candidates on the holdout part.

    Args:
        first: One candidate.
        second: The other; the comparison is its AUC minus the first's.
        holdout: Applicants with known outcomes, the same for both.
        options: Seed and sizes.

    Raises:
        EvaluationError: If only one outcome occurs.
        MissingInputsError: If the features are not those of a bundle's plan.
    """
    scores = {bundle.candidate: score(matrix_for(bundle, holdout.features), bundle) for bundle in (first, second)}
    judged = {b.candidate: evaluate_candidate(b, scores[b.candidate], holdout.is_bad, options) for b in (first, second)}
    one, other = scores[first.candidate], scores[second.candidate]
    return Evaluation(
        applicants=len(holdout.is_bad),
        bads=int(holdout.is_bad.sum()),
        without_outcome=holdout.without_outcome,
        part_sizes=dict(holdout.part_sizes),
        labelled_sizes=dict(holdout.labelled_sizes),
        calibration_groups=options.calibration_groups,
        candidates=judged,
        comparison=compare_auc(holdout.is_bad, -other.points_exact, -one.points_exact),
        swap_sets=_swap_sets(
            holdout.is_bad,
            one.points >= first.portfolio.policy.approve_from,
            other.points >= second.portfolio.policy.approve_from,
        ),
    )


def evaluate_candidate(
    bundle: ModelBundle, scores: Scores, is_bad: Labels, options: EvaluationOptions
) -> CandidateEvaluation:
    """Judge one candidate by its ``scores`` of ``(n,)`` applicants with outcomes ``is_bad``.

    Raises:
        EvaluationError: If only one outcome occurs.
    """
    prob_default, policy = scores.prob_default, bundle.portfolio.policy
    # Ranked by exact points: rounding, clipping or the precision of a probability would add ties.
    area = auc(is_bad, -scores.points_exact)
    approved = scores.points >= policy.approve_from
    return CandidateEvaluation(
        algorithm=bundle.classifier.algorithm,
        feature_set=bundle.plan.version,
        digest=digest(to_files(bundle)),
        auc=area,
        gini=Estimate.of(gini(area.value), 2 * area.error),
        ks=kolmogorov_smirnov(is_bad, -scores.points_exact),
        brier=brier_score(is_bad, prob_default),
        brier_of_average=float(is_bad.mean() * (1 - is_bad.mean())),
        log_loss=log_loss(is_bad, prob_default),
        calibration=calibration_line(is_bad, prob_default),
        ece=calibration_error(
            is_bad, prob_default, groups=options.calibration_groups, draws=options.chance_draws, seed=options.seed
        ),
        bands=band_table(scores, is_bad, policy),
        approved=float(approved.mean()),
        approved_bad_rate=_mean(is_bad[approved]),
        clipped=float(scores.clipped.mean()),
    )


def band_table(scores: Scores, is_bad: Labels, policy: Policy) -> tuple[BandRow, ...]:
    """Return the policy's bands from safest to riskiest, with what happened in each."""
    starts = [band.from_points for band in policy.bands]
    # A band reaches up to the one before it; the safest one has no upper end.
    ends = [np.inf, *starts[:-1]]
    inside = [(scores.points >= start) & (scores.points < end) for start, end in zip(starts, ends, strict=True)]
    upto = accumulate(inside, np.logical_or)
    return tuple(
        _band_row(band, rows, seen, scores, is_bad) for band, rows, seen in zip(policy.bands, inside, upto, strict=True)
    )


def _band_row(band: Band, rows: Mask, seen: Mask, scores: Scores, is_bad: Labels) -> BandRow:
    points = scores.points[rows]
    return BandRow(
        band=band.name,
        from_points=band.from_points,
        applicants=len(points),
        share=float(rows.mean()),
        bads=int(is_bad[rows].sum()),
        bad_rate=_mean(is_bad[rows]),
        mean_prob_default=_mean(scores.prob_default[rows]),
        lowest_points=int(points.min()) if len(points) else None,
        highest_points=int(points.max()) if len(points) else None,
        cumulative_share=float(seen.mean()),
        cumulative_bad_rate=_mean(is_bad[seen]),
        cumulative_share_of_bads=float(is_bad[seen].sum() / is_bad.sum()),
    )


def _swap_sets(is_bad: Labels, first: Mask, second: Mask) -> tuple[SwapSet, ...]:
    sets = []
    for one, other in ((True, True), (True, False), (False, True), (False, False)):
        rows = (first == one) & (second == other)
        sets.append(SwapSet(one, other, int(rows.sum()), _mean(is_bad[rows])))
    return tuple(sets)


def _headline(judged: CandidateEvaluation) -> dict[str, float]:
    return {
        "auc": judged.auc.value,
        "auc_low": judged.auc.low,
        "auc_high": judged.auc.high,
        "gini": judged.gini.value,
        "ks": judged.ks,
        "brier": judged.brier,
        "log_loss": judged.log_loss,
        "calibration_slope": judged.calibration.slope.value,
        "calibration_slope_low": judged.calibration.slope.low,
        "calibration_slope_high": judged.calibration.slope.high,
        "calibration_intercept": judged.calibration.intercept.value,
        "calibration_intercept_low": judged.calibration.intercept.low,
        "calibration_intercept_high": judged.calibration.intercept.high,
        "ece": judged.ece.observed,
        "ece_chance_mean": judged.ece.chance_mean,
        "ece_chance_95": judged.ece.chance_95,
        "approved_share": judged.approved,
    }


def _mean(values: Floats | Labels) -> float | None:
    """Mean of an array, None where there is nothing to average."""
    return float(values.mean()) if len(values) else None
