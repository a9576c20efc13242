"""Logistic regression of outcomes on a log-odds: calibration maps, and how far off one is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from credit_scoring.core.errors import TrainingError

Z_95 = 1.959963984540054
"""97.5 % point of the normal distribution: half-width of a 95 % Wald interval in standard errors."""


@dataclass(frozen=True, slots=True)
class AffineFit:
    """``logit(P(bad)) = intercept + slope * log_odds`` with the standard error of each number."""

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float

    def slope_interval(self) -> tuple[float, float]:
        """Return the 95 % Wald interval of the slope."""
        return (self.slope - Z_95 * self.slope_error, self.slope + Z_95 * self.slope_error)


def fit_affine(log_odds: npt.NDArray[np.float64], is_bad: npt.NDArray[np.int8]) -> AffineFit:
    """Fit outcomes on ``(n,)`` log-odds by maximum likelihood (Cox 1958; Platt 1999).

    A well calibrated model has slope 1 and intercept 0.

    Raises:
        TrainingError: If only one outcome occurs, so that nothing can be fitted.
    """
    if len(np.unique(is_bad)) < 2:
        raise TrainingError(
            "Calibration needs good and bad outcomes; only one of them occurs. Check 'outcome' in the declaration."
        )
    column = log_odds.reshape(-1, 1)
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(column, is_bad)
    probability = fitted.predict_proba(column)[:, 1]
    design = np.column_stack([np.ones_like(log_odds), log_odds])
    information = design.T @ (design * (probability * (1 - probability))[:, None])
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    return AffineFit(float(fitted.intercept_[0]), float(fitted.coef_[0, 0]), float(errors[0]), float(errors[1]))
