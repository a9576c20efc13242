"""Searches better fit options by cross-validation on the development part."""

from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from credit_scoring.core.training.candidates import out_of_fold_margins
from credit_scoring.core.training.development import Development
from credit_scoring.core.training.options import (
    BoostedTreesOptions,
    CalibrationOptions,
    CandidateOptions,
    FitOptions,
    ScorecardOptions,
)

SEARCH_SPACE: Mapping[type[ScorecardOptions | BoostedTreesOptions], Mapping[str, BaseDistribution]] = {
    ScorecardOptions: {
        "max_bins": IntDistribution(3, 10),
        "min_bin_share": FloatDistribution(0.02, 0.1),
        "max_correlation": FloatDistribution(0.6, 0.98),
        "max_features": IntDistribution(20, 80),
        "inverse_l2": FloatDistribution(0.01, 10, log=True),
    },
    BoostedTreesOptions: {
        "rounds": IntDistribution(100, 800, step=20),
        "max_depth": IntDistribution(3, 6),
        "learning_rate": FloatDistribution(0.005, 0.1, log=True),
        "min_child_weight": FloatDistribution(1, 60, log=True),
        "subsample": FloatDistribution(0.5, 1),
        "colsample_bytree": FloatDistribution(0.1, 1),
        "colsample_bynode": FloatDistribution(0.2, 1),
        "reg_lambda": FloatDistribution(0.5, 50, log=True),
        "gamma": FloatDistribution(0, 4),
    },
}


def tune(data: Development, candidate: CandidateOptions) -> FitOptions:
    """Return the options with the best out-of-fold AUC among those tried, the configured ones first.

    Seeded (Optuna's TPE sampler): the same data and options search the same way. With ``trials: 0`` the
    configured options are returned as they are.
    """
    best, best_auc = candidate.fit, float("-inf")
    if candidate.tuning.trials == 0:
        return best
    folds = CalibrationOptions(folds=candidate.tuning.folds, seed=candidate.tuning.seed)
    space = dict(SEARCH_SPACE[type(candidate.fit)])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=candidate.tuning.seed))
    bar = tqdm(range(candidate.tuning.trials), desc=f"tuning {candidate.fit.algorithm}", unit="trial")
    study.enqueue_trial({name: value for name, value in candidate.fit.model_dump().items() if name in space})
    for _ in bar:
        trial = study.ask(space)
        options = candidate.fit.model_validate({**candidate.fit.model_dump(), **trial.params})
        auc = float(roc_auc_score(data.is_bad, out_of_fold_margins(data, options, folds)))
        study.tell(trial, auc)
        if auc > best_auc:
            best, best_auc = options, auc
        bar.set_postfix(best_auc=f"{best_auc:.4f}")
    return best
