"""One way to fit any candidate: model, out-of-fold calibration, reference, development deciles."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from credit_scoring.core.calibration import fit_affine
from credit_scoring.core.drift import development_deciles
from credit_scoring.core.errors import TrainingError
from credit_scoring.core.portfolio import Policy
from credit_scoring.core.scoring import Calibration, Classifier, Floats, ModelBundle, score
from credit_scoring.core.training.boosted_trees import fit_boosted_trees
from credit_scoring.core.training.development import Development
from credit_scoring.core.training.options import CalibrationOptions, CandidateOptions, FitOptions, ScorecardOptions
from credit_scoring.core.training.scorecard import fit_scorecard


@dataclass(frozen=True, slots=True)
class Candidate:
    """A fitted bundle and the AUC of its out-of-fold scores on the development part."""

    bundle: ModelBundle
    development_auc: float


def fit_classifier(data: Development, options: FitOptions) -> Classifier:
    """Fit the algorithm that ``options`` name on ``data``."""
    # One thread adds in one order, so the same data give the same bundle on any number of cores; and on a
    # busy machine the linear algebra's threads wait for each other a hundred times longer than they work.
    with threadpool_limits(limits=1):
        if isinstance(options, ScorecardOptions):
            return fit_scorecard(data, options)
        return fit_boosted_trees(data, options)


def fit_candidate(name: str, data: Development, options: CandidateOptions) -> Candidate:
    """Fit one candidate on the development part.

    Calibration is fitted on out-of-fold margins, so that it corrects what the model does on applicants it
    has not seen; the reference is then chosen by the calibrated points.

    Raises:
        TrainingError: If the scores rank applicants no better than chance, the wrong way round included.
    """
    held_out = out_of_fold_margins(data, options.fit, options.calibration)
    fitted = fit_affine(held_out, data.is_bad)
    if fitted.slope <= 0:
        raise TrainingError(
            f"Candidate '{name}' does not rank unseen applicants better than chance (calibration slope "
            f"{fitted.slope:.2f}). Check 'outcome' and the features in the declaration."
        )
    bundle = ModelBundle(
        candidate=name,
        portfolio=data.portfolio,
        classifier=fit_classifier(data, options.fit),
        calibration=Calibration(fitted.intercept, fitted.slope),
        reference=data.features[:0],
        deciles={},
    )
    points = score(data.features, bundle).points_exact
    anchored = bundle.explained_against(data.features[just_approved(points, data.portfolio.policy)])
    deciles = development_deciles(data.features, data.plan.names, points)
    return Candidate(replace(anchored, deciles=deciles), float(roc_auc_score(data.is_bad, held_out)))


def out_of_fold_margins(data: Development, options: FitOptions, folds: CalibrationOptions) -> Floats:
    """Return ``(n,)`` margins of each row by a model that was fitted without it.

    Raises:
        TrainingError: If an outcome is too rare for every fold to have one.
    """
    rarest = int(min(data.is_bad.sum(), (1 - data.is_bad).sum()))
    if rarest < folds.folds:
        raise TrainingError(
            f"{folds.folds} folds need as many good and as many bad outcomes; the development part has {rarest} of "
            f"one. Lower 'folds' under 'calibration' and 'tuning' in the parameters, or bring more applicants."
        )
    margins = np.full(len(data.is_bad), np.nan)
    splitter = StratifiedKFold(folds.folds, shuffle=True, random_state=folds.seed)
    for seen, unseen in splitter.split(data.features, data.is_bad):
        margins[unseen] = fit_classifier(data.rows(seen), options).margin(data.features[unseen])
    return margins


def just_approved(points: Floats, policy: Policy) -> npt.NDArray[np.intp]:
    """Return the rows that anchor reasons: the ``policy.reference_size`` nearest above the approval cut-off.

    Raises:
        TrainingError: If fewer than a tenth of that would be approved, too few to compare anybody with.
    """
    approved = np.flatnonzero(np.rint(points) >= policy.approve_from)
    fewest = policy.reference_size // 10
    if len(approved) < fewest:
        raise TrainingError(
            f"Only {len(approved)} development applicants reach 'policy.approve_from: {policy.approve_from}'; reasons "
            f"are relative to applicants just approved and need {fewest}. Lower 'approve_from' or 'reference_size'."
        )
    nearest = approved[np.argsort(points[approved], kind="stable")]
    return np.sort(nearest[: policy.reference_size])
