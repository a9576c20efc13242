"""XGBoost's JSON or UBJSON bytes -> the numbers that explaining needs, or a clear refusal."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from table_treeshap import ubjson

LINKS = {
    "binary:logistic": "logit",
    "reg:logistic": "logit",
    "reg:squarederror": "identity",
}
"""Objectives that are read, and the link that takes their base score to the margin."""


class UnsupportedModelError(ValueError):
    """The bytes are no model, or one that this package does not explain; the message says what to do."""


@dataclass(frozen=True)
class RawTrees:
    """All trees' nodes one after another, numbered as in the file; children are positions within all of them."""

    roots: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    """Position of the left child; -1 at a leaf."""
    right: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    """Below it, a row goes left; at a leaf, the leaf's value."""
    default_left: npt.NDArray[np.bool_]
    cover: npt.NDArray[np.float64]


@dataclass(frozen=True)
class XGBoostModel:
    """What a model file says about one margin per row."""

    width: int
    base_margin: float
    trees: RawTrees


def read_model(data: bytes) -> XGBoostModel:
    """Return the model in ``data``, as ``Booster.save_raw`` or ``save_model`` wrote it (JSON or UBJSON).

    All trees count, as in ``Booster.predict`` without an iteration range; a best iteration of early stopping is
    not looked at. Slice the booster first if fewer trees shall count.

    Raises:
        UnsupportedModelError: If the bytes are no such model, or the model is of a kind that is not explained.
    """
    try:
        document = _document(bytes(data))
        learner = document["learner"]
        _refuse_other_kinds(learner)
        width = int(learner["learner_model_param"]["num_feature"])
        trees = learner["gradient_booster"]["model"]["trees"]
        return XGBoostModel(width, _base_margin(learner), _raw_trees(trees, width))
    except UnsupportedModelError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as exc:
        raise UnsupportedModelError(
            f"These bytes are not an XGBoost model in JSON or UBJSON ({exc or type(exc).__name__}). "
            f"Give what Booster.save_raw('ubj') returns."
        ) from exc


def _document(data: bytes) -> Any:
    if data[:1] == b"{" and data[1:2] in {b'"', b" ", b"\n", b"\r", b"\t", b"}"}:
        return json.loads(data)
    return ubjson.decode(data)


def _refuse_other_kinds(learner: Mapping[str, Any]) -> None:
    booster = learner["gradient_booster"]["name"]
    if booster == "dart":
        raise UnsupportedModelError(
            "The model is a DART booster, whose trees carry weights of their own. Train it with booster='gbtree'."
        )
    if booster != "gbtree":
        raise UnsupportedModelError(f"The model's booster is '{booster}'. Only 'gbtree' has trees to explain.")
    objective = learner["objective"]["name"]
    if objective not in LINKS:
        raise UnsupportedModelError(f"The objective is '{objective}'. Explained are: {', '.join(sorted(LINKS))}.")
    sizes = learner["learner_model_param"]
    if int(sizes.get("num_class", 0)) > 1 or int(sizes.get("num_target", 1)) > 1:
        raise UnsupportedModelError("The model has more than one output. Train one model per class or target.")


def _base_margin(learner: Mapping[str, Any]) -> float:
    text = str(learner["learner_model_param"]["base_score"]).strip().removeprefix("[").removesuffix("]")
    score = float(np.float32(text))  # XGBoost keeps it as float32
    if LINKS[learner["objective"]["name"]] == "logit":
        if not 0 < score < 1:
            raise UnsupportedModelError("The base score of a logistic model must lie between 0 and 1.")
        return math.log(score / (1 - score))
    if not math.isfinite(score):
        raise UnsupportedModelError("The base score is not a finite number.")
    return score


def _raw_trees(trees: Any, width: int) -> RawTrees:
    if width < 1:
        raise UnsupportedModelError("The model reads no column.")
    parts = [_raw_tree(tree, width) for tree in trees]
    sizes = [len(part[0]) for part in parts]
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    left, right, feature, threshold, default_left, cover = (
        np.concatenate([part[number] for part in parts]) if parts else np.empty(0) for number in range(6)
    )
    shift = np.repeat(starts[:-1], sizes)
    inner = left != -1
    return RawTrees(
        roots=starts[:-1],
        left=np.where(inner, left + shift, -1).astype(np.int64),
        right=np.where(inner, right + shift, -1).astype(np.int64),
        feature=np.where(inner, feature, 0).astype(np.int32),
        threshold=threshold.astype(np.float32),
        default_left=default_left != 0,
        cover=cover.astype(np.float64),
    )


def _raw_tree(tree: Mapping[str, Any], width: int) -> list[npt.NDArray[Any]]:
    """Return left, right, feature, threshold, default side and cover of one tree's nodes, checked one by one."""
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise UnsupportedModelError("A tree's leaves are vectors. Train with multi_strategy='one_output_per_tree'.")
    whole = ("left_children", "right_children", "split_indices", "default_left")
    left, right, feature, default_left = (np.asarray(tree[name]).astype(np.int64) for name in whole)
    threshold, cover = (np.asarray(tree[name]).astype(np.float32) for name in ("split_conditions", "sum_hessian"))
    found: list[npt.NDArray[Any]] = [left, right, feature, threshold, default_left, cover]
    size = len(left)
    if not size or any(column.shape != (size,) for column in found):
        raise UnsupportedModelError("A tree's columns differ in length; the file is damaged. Save the model again.")
    inner = left != -1
    if np.any(np.asarray(tree.get("split_type", [])).astype(np.int64)[: size + 1] != 0):
        raise UnsupportedModelError(
            "A tree splits on categories. Encode categories as numbers (enable_categorical=False)."
        )
    children = np.concatenate([left[inner], right[inner]])
    if np.any((children < 0) | (children >= size)) or np.any((feature[inner] < 0) | (feature[inner] >= width)):
        raise UnsupportedModelError("A node points outside its tree or its columns; the file is damaged.")
    if np.any(right[inner] != left[inner] + 1):
        raise UnsupportedModelError("A right child does not follow its left sibling, by which XGBoost predicts.")
    return found
