"""Fits a scorecard: bins, selection of features, one coefficient each."""

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression

from credit_scoring.core.errors import TrainingError
from credit_scoring.core.feature_bins import FeatureBins, Floats
from credit_scoring.core.scorecard import Scorecard, ScorecardData
from credit_scoring.core.training.binning import fit_bins, information_value
from credit_scoring.core.training.development import Development
from credit_scoring.core.training.options import ScorecardOptions


def fit_scorecard(data: Development, options: ScorecardOptions) -> Scorecard:
    """Fit a scorecard on ``data``; contributions are relative to ``data`` until a reference is set.

    Features are taken by falling information value unless their WoE correlates with one already taken; one
    whose coefficient would turn its own evidence round is dropped and the rest fitted again.

    Raises:
        TrainingError: If no feature carries enough information.
    """
    bins = {
        name: fit_bins(name, data.plan.features[name], data.plan.categories.get(name, ()), values, data.is_bad, options)
        for name, values in zip(data.plan.names, data.features.T, strict=True)
    }
    woe = {
        name: np.asarray(bins[name].woe)[bins[name].assign(values)]
        for name, values in zip(data.plan.names, data.features.T, strict=True)
    }
    chosen = _select(bins, woe, options)
    chosen, intercept, coefficients = _fit_agreeing(chosen, woe, data, options)
    return Scorecard(
        ScorecardData(
            inputs=data.plan.names,
            intercept=intercept,
            bins=tuple(bins[name] for name in chosen),
            coefficients=coefficients,
            reference_woe=tuple(float(woe[name].mean()) for name in chosen),
        )
    )


def _select(bins: Mapping[str, FeatureBins], woe: Mapping[str, Floats], options: ScorecardOptions) -> list[str]:
    values = {name: information_value(b) for name, b in bins.items()}
    enough = [name for name in bins if values[name] >= max(options.min_information_value, 1e-12)]
    chosen: list[str] = []
    for name in sorted(enough, key=lambda name: -values[name]):
        correlated = (abs(np.corrcoef(woe[name], woe[other])[0, 1]) > options.max_correlation for other in chosen)
        if len(chosen) < options.max_features and not any(correlated):
            chosen.append(name)
    return chosen


def _fit_agreeing(
    chosen: list[str], woe: Mapping[str, Floats], data: Development, options: ScorecardOptions
) -> tuple[list[str], float, tuple[float, ...]]:
    """Fit, dropping features until every coefficient agrees with its evidence: below zero, as WoE favours goods."""
    while chosen:
        design = np.column_stack([woe[name] for name in chosen])
        fitted = LogisticRegression(C=options.inverse_l2, solver="newton-cholesky", tol=1e-8).fit(design, data.is_bad)
        coefficients = dict(zip(chosen, (float(c) for c in fitted.coef_[0]), strict=True))
        turned = max(chosen, key=coefficients.__getitem__)
        if coefficients[turned] < 0:
            return chosen, float(fitted.intercept_[0]), tuple(coefficients.values())
        chosen = [name for name in chosen if name != turned]
    raise TrainingError(
        f"No feature reaches an information value of {options.min_information_value}; lower "
        f"'min_information_value' of the scorecard, or declare features that tell good from bad."
    )
