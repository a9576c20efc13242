"""The trees as XGBoost itself scores and explains them: version 1 of the scorer, and the oracle of later ones.

XGBoost is imported when it is first needed: it takes seconds and 60 to 170 MB, and no decision needs it.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from credit_scoring.core.encoder import Encoder, Floats, Matrix

BACKGROUND_WEIGHT = 1.0
"""Applicants' worth of the development part mixed into the reference, so that no branch has a cover of zero."""


@dataclass(frozen=True)
class XGBoostTrees:
    """Scores and explains by XGBoost, in float32; decisions on record under scorer version 1 were made by it.

    A row takes about 0.5 ms to score and a millisecond more to explain. Nothing here may change, lest
    those decisions come out otherwise when they are computed again.
    """

    encoder: Encoder
    model: bytes
    """The model as UBJSON."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features of the plan in the order of the matrix's columns."""
        return self.encoder.inputs

    @cached_property
    def booster(self) -> Any:
        """The model, set to one thread: a second one doubles the cost of a row and gains nothing."""
        return _load(self.model)

    @cached_property
    def bias(self) -> float:
        """Expected margin of the reference sample, as the trees' covers state it."""
        nothing = np.full((1, len(self.inputs)), np.nan, dtype=np.float32)
        return float(self._pred_contribs(nothing)[0, -1])

    def margin(self, features: Matrix) -> Floats:
        """Return the log-odds of bad before calibration, ``(n,)``, for ``(n, p)`` features."""
        columns = self.encoder.encode(features)
        return np.asarray(self.booster.inplace_predict(columns, predict_type="margin"), dtype=np.float64)

    def contributions(self, features: Matrix) -> Floats:
        """Return ``(n, p)`` contributions to the margin; rows add up to margin - bias within 1e-5."""
        return self.encoder.by_feature(self._pred_contribs(features)[:, :-1])

    def explained(self, features: Matrix) -> tuple[Floats, Floats]:
        """Return ``margin`` and ``contributions`` of ``(n, p)`` features."""
        return self.margin(features), self.contributions(features)

    def _pred_contribs(self, features: Matrix) -> Floats:
        found = np.asarray(
            self.booster.predict(_for_xgboost(self.encoder.encode(features)), pred_contribs=True), dtype=np.float64
        )
        return found.reshape(len(features), len(self.encoder.columns) + 1)  # no rows come back without columns


def _load(model: bytes) -> Any:
    """Return XGBoost's model of JSON or UBJSON, set to one thread."""
    import xgboost as xgb  # noqa: PLC0415 - see the module's docstring

    booster = xgb.Booster()
    booster.load_model(bytearray(model))
    booster.set_param({"nthread": 1})
    return booster


def with_covers_of(model: bytes, columns: Matrix) -> bytes:
    """Return the model with the covers of its trees counted anew on ``(m, c)`` columns; no prediction changes."""
    booster = _load(model)
    leaves = np.asarray(booster.predict(_for_xgboost(columns), pred_leaf=True), dtype=np.int64)
    leaves = leaves.reshape(len(columns), -1)
    told = json.loads(booster.save_raw("json"))
    for position, tree in enumerate(told["learner"]["gradient_booster"]["model"]["trees"]):
        _recount(tree, leaves[:, position])
    return bytes(_load(json.dumps(told).encode()).save_raw("ubj"))


def _for_xgboost(columns: Matrix) -> Any:
    import xgboost as xgb  # noqa: PLC0415 - see the module's docstring

    return xgb.DMatrix(columns, nthread=1)


def _recount(tree: dict[str, Any], leaves: npt.NDArray[np.int64]) -> None:
    """Replace a tree's covers by the reference rows that reach each node, plus the background's share."""
    left, right = tree["left_children"], tree["right_children"]
    fitted = np.asarray(tree["sum_hessian"], dtype=np.float64)
    cover = np.bincount(leaves, minlength=len(left)) + BACKGROUND_WEIGHT * fitted / fitted[0]
    for node in range(len(left) - 1, -1, -1):  # children carry higher numbers than their parent
        if left[node] != -1:
            cover[node] = cover[left[node]] + cover[right[node]]
    tree["sum_hessian"] = [float(np.float32(c)) for c in cover]
