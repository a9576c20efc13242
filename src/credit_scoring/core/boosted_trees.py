"""The boosted trees: XGBoost on encoded features, explained by TreeSHAP against a declared reference."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from pydantic import BaseModel, ConfigDict

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

BACKGROUND_WEIGHT = 1.0
"""Applicants' worth of the development part mixed into the reference, so that no branch has a cover of zero."""


class EncodedColumn(BaseModel):
    """One column that the trees read, made from one feature.

    With ``codes`` it holds ``codes[value]`` for the values named there and NaN for all others (categories,
    and special values as states); without, the feature itself with the values in ``blank`` taken as missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature: str
    codes: tuple[tuple[float, float], ...] | None = None
    blank: tuple[float, ...] = ()

    def encode(self, values: Matrix) -> Matrix:
        """Return the column for ``(n,)`` float32 values."""
        if self.codes is None:
            return np.where(np.isin(values, np.asarray(self.blank, np.float32)), np.float32(np.nan), values)
        encoded = np.full(values.shape, np.nan, dtype=np.float32)
        for value, code in self.codes:
            encoded[values == np.float32(value)] = code
        return encoded


class Encoder(BaseModel):
    """From features to the trees' columns, fitted on the development part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[str, ...]
    columns: tuple[EncodedColumn, ...]

    def encode(self, features: Matrix) -> Matrix:
        """Return ``(n, c)`` float32 columns for ``(n, p)`` features, NaN where missing."""
        sources = [self.inputs.index(column.feature) for column in self.columns]
        encoded = [c.encode(features[:, source]) for c, source in zip(self.columns, sources, strict=True)]
        return np.ascontiguousarray(np.column_stack(encoded), dtype=np.float32)


@dataclass(frozen=True)
class BoostedTrees:
    """Classifier on an XGBoost model whose covers were recounted on the reference sample.

    Path-dependent TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2, algorithm 1) weighs the
    branches of a tree by their covers. Counting these on the reference makes the bias the reference's
    expected margin, and leaves every prediction as it was.
    """

    encoder: Encoder
    model: bytes
    """The model as UBJSON."""

    algorithm = "boosted_trees"

    @cached_property
    def booster(self) -> xgb.Booster:
        """The model, set to one thread: a second one doubles the cost of a row and gains nothing."""
        booster = xgb.Booster()
        booster.load_model(bytearray(self.model))
        booster.set_param({"nthread": 1})
        return booster

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features of the plan in the order of the matrix's columns."""
        return self.encoder.inputs

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
        by_column = self._pred_contribs(features)
        found = np.zeros(features.shape)
        for position, column in enumerate(self.encoder.columns):
            found[:, self.inputs.index(column.feature)] += by_column[:, position]
        return found

    def with_reference(self, reference: Matrix) -> "BoostedTrees":
        """Return the same trees with covers recounted on ``reference``, ``(m, p)``."""
        columns = xgb.DMatrix(self.encoder.encode(reference), nthread=1)
        leaves = np.asarray(self.booster.predict(columns, pred_leaf=True), dtype=np.int64).reshape(len(reference), -1)
        model = json.loads(self.booster.save_raw("json"))
        for position, tree in enumerate(model["learner"]["gradient_booster"]["model"]["trees"]):
            _recount(tree, leaves[:, position])
        edited = xgb.Booster()
        edited.load_model(bytearray(json.dumps(model).encode()))
        return BoostedTrees(self.encoder, bytes(edited.save_raw("ubj")))

    def to_files(self) -> dict[str, bytes]:
        """Return the classifier as files by name."""
        return {"model.ubj": self.model, "encoder.json": self.encoder.model_dump_json(indent=1).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "BoostedTrees":
        """Read what ``to_files`` wrote."""
        return cls(Encoder.model_validate_json(files["encoder.json"]), files["model.ubj"])

    def _pred_contribs(self, features: Matrix) -> Floats:
        columns = xgb.DMatrix(self.encoder.encode(features), nthread=1)
        found = np.asarray(self.booster.predict(columns, pred_contribs=True), dtype=np.float64)
        return found.reshape(len(features), len(self.encoder.columns) + 1)  # no rows come back without columns


def _recount(tree: dict[str, Any], leaves: npt.NDArray[np.int64]) -> None:
    """Replace a tree's covers by the reference rows that reach each node, plus the background's share."""
    left, right = tree["left_children"], tree["right_children"]
    fitted = np.asarray(tree["sum_hessian"], dtype=np.float64)
    cover = np.bincount(leaves, minlength=len(left)) + BACKGROUND_WEIGHT * fitted / fitted[0]
    for node in range(len(left) - 1, -1, -1):  # children carry higher numbers than their parent
        if left[node] != -1:
            cover[node] = cover[left[node]] + cover[right[node]]
    tree["sum_hessian"] = [float(np.float32(c)) for c in cover]
