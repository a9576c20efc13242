"""Random XGBoost models written by hand, and what the definition of Shapley values says of them."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import xgboost as xgb

LARGEST = float(np.finfo(np.float32).max)
EXTREMES = (LARGEST, -LARGEST, 1e-45, -1e-45, 0.0, -0.0, 3e38, -3e38)


@dataclass(frozen=True)
class Recipe:
    """What a random model and its rows look like."""

    seed: int
    trees: int
    depth: int
    width: int = 12
    missing: float = 0.2
    leaf: float = 0.05
    stop: float = 0.15
    objective: str = "binary:logistic"
    extreme: bool = False

    def model(self) -> dict[str, Any]:
        generator = np.random.default_rng(self.seed)
        return document([self._tree(generator) for _ in range(self.trees)], self.width, self.objective)

    def rows(self, number: int = 12) -> np.ndarray:
        generator = np.random.default_rng(self.seed + 1)
        rows = generator.normal(size=(number, self.width)).astype(np.float32)
        rows[:, -1] = 0.5  # constant
        rows[:, -2] = rows[:, 0]  # twice the same
        rows[:, 1] = np.round(rows[:, 1] * 2)
        if self.extreme:
            at = generator.random(rows.shape) < 0.3
            rows[at] = generator.choice(np.array(EXTREMES, dtype=np.float32), at.sum())
        rows[generator.random(rows.shape) < self.missing] = np.nan
        return rows

    def _tree(self, generator: np.random.Generator) -> dict[str, Any]:
        nodes: list[dict[str, Any]] = []
        self._grow(generator, nodes, self.depth, float(generator.uniform(50, 500)))
        return tree(nodes)

    def _grow(self, generator: np.random.Generator, nodes: list[dict[str, Any]], depth: int, cover: float) -> int:
        place = len(nodes)
        nodes.append({})
        if depth == 0 or (depth < self.depth and generator.random() < self.stop):
            nodes[place] = {"value": float(generator.uniform(-self.leaf, self.leaf)), "cover": cover}
            return place
        threshold = float(np.round(generator.normal() * 4) / 4)
        if self.extreme and generator.random() < 0.3:
            threshold = float(generator.choice(EXTREMES))
        part = float(generator.uniform(0.05, 0.95))
        nodes[place] = {
            "feature": int(generator.integers(self.width)),
            "threshold": threshold,
            "default_left": int(generator.random() < 0.5),
            "cover": cover,
            "left": self._grow(generator, nodes, depth - 1, cover * part),
            "right": self._grow(generator, nodes, depth - 1, cover * (1 - part)),
        }
        return place


def tree(nodes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A tree in XGBoost's words from nodes with a value, or with feature, threshold, default_left, left and right.

    Nodes are numbered anew as XGBoost numbers them, a right child behind its left sibling; it predicts by that alone.
    """
    order = [0]
    for place in order:
        order += [nodes[place][side] for side in ("left", "right") if side in nodes[place]]
    new = {place: number for number, place in enumerate(order)}
    sides = ("left", "right")
    nodes = [nodes[at] | {side: new[nodes[at][side]] for side in sides if side in nodes[at]} for at in order]
    size = len(nodes)
    parents = [2**31 - 1] * size
    for place, node in enumerate(nodes):
        for child in (node.get("left"), node.get("right")):
            if child is not None:
                parents[child] = place
    return {
        "base_weights": [0.0] * size,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [node.get("default_left", 0) for node in nodes],
        "id": 0,
        "left_children": [node.get("left", -1) for node in nodes],
        "loss_changes": [0.0] * size,
        "parents": parents,
        "right_children": [node.get("right", -1) for node in nodes],
        "split_conditions": [float(np.float32(node.get("threshold", node.get("value")))) for node in nodes],
        "split_indices": [node.get("feature", 0) for node in nodes],
        "split_type": [0] * size,
        "sum_hessian": [float(np.float32(node["cover"])) for node in nodes],
        "tree_param": {"num_deleted": "0", "num_feature": "0", "num_nodes": str(size), "size_leaf_vector": "1"},
    }


def document(trees: Sequence[dict[str, Any]], width: int, objective: str = "binary:logistic") -> dict[str, Any]:
    for number, one in enumerate(trees):
        one["id"] = number
        one["tree_param"]["num_feature"] = str(width)
    gbtree = {
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(len(trees) + 1)),
        "tree_info": [0] * len(trees),
        "trees": list(trees),
    }
    sizes = {"base_score": "[3E-1]", "boost_from_average": "1", "num_class": "0", "num_feature": str(width)}
    return {
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {"model": gbtree, "name": "gbtree"},
            "learner_model_param": sizes | {"num_target": "1"},
            "objective": {"name": objective, "reg_loss_param": {"scale_pos_weight": "1"}},
        },
        "version": [3, 2, 0],
    }


def as_bytes(model: dict[str, Any]) -> bytes:
    return json.dumps(model).encode()


def booster(model: bytes) -> xgb.Booster:
    found = xgb.Booster()
    found.load_model(bytearray(model))
    found.set_param({"nthread": 1})
    return found


def by_xgboost(model: bytes, rows: np.ndarray) -> np.ndarray:
    """``(n, c + 1)`` contributions, the bias last."""
    found = booster(model).predict(xgb.DMatrix(rows, nthread=1), pred_contribs=True)
    return np.asarray(found, dtype=np.float64).reshape(len(rows), -1)


def by_definition(model: dict[str, Any], row: np.ndarray) -> np.ndarray:
    """Contributions of one row from all sets of features, tree by tree: the definition, and nothing clever."""
    found = np.zeros(len(row))
    for one in model["learner"]["gradient_booster"]["model"]["trees"]:
        inner = [place for place, left in enumerate(one["left_children"]) if left != -1]
        features = sorted({one["split_indices"][place] for place in inner})
        game = {
            known: _expected(one, 0, row, frozenset(known))
            for size in range(len(features) + 1)
            for known in combinations(features, size)
        }
        m = len(features)
        for feature in features:
            for known, value in game.items():
                if feature not in known:
                    weight = math.factorial(len(known)) * math.factorial(m - len(known) - 1) / math.factorial(m)
                    found[feature] += weight * (game[tuple(sorted((*known, feature)))] - value)
    return found


def _expected(one: dict[str, Any], place: int, row: np.ndarray, known: frozenset[int]) -> float:
    left, right = one["left_children"][place], one["right_children"][place]
    if left == -1:
        return float(np.float32(one["split_conditions"][place]))
    x = row[one["split_indices"][place]]
    if one["split_indices"][place] in known:
        goes_left = bool(one["default_left"][place]) if np.isnan(x) else x < np.float32(one["split_conditions"][place])
        return _expected(one, left if goes_left else right, row, known)
    cover = one["sum_hessian"]
    below = sum(np.float32(cover[child]) * np.float64(_expected(one, child, row, known)) for child in (left, right))
    return float(below / np.float64(np.float32(cover[place])))
