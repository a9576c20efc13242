"""All trees of a model as arrays in level order: the roots first, then the roots' children, side by side."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from table_treeshap.xgboost_model import RawTrees, UnsupportedModelError, XGBoostModel

MOST_LEVELS = 1_000
"""Deepest tree that is read; each level costs every row a step per tree."""

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Forest:
    """Reachable nodes of all trees. Node ``t`` is the root of tree ``t``; a right child follows its left sibling."""

    width: int
    base_margin: float
    trees: int
    child: Ints
    """The left child; a leaf names itself."""
    parent: Ints
    """-1 at a root."""
    feature: Ints
    """Column that an inner node reads; 0 at a leaf."""
    threshold: npt.NDArray[np.float32]
    default_left: npt.NDArray[np.uint8]
    value: npt.NDArray[np.float64]
    """A leaf's value, a float32 number; 0 at an inner node."""
    share: npt.NDArray[np.float64]
    """The node's cover divided by its parent's; 1 at a root."""
    levels: tuple[slice, ...]
    """The nodes of each depth."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.child)

    @cached_property
    def is_leaf(self) -> npt.NDArray[np.bool_]:
        """Whether a node is a leaf."""
        return np.equal(self.child, np.arange(self.nodes))

    @cached_property
    def depth(self) -> Ints:
        """Edges between a node and its root."""
        return np.repeat(np.arange(len(self.levels)), [s.stop - s.start for s in self.levels]).astype(np.int32)

    @cached_property
    def bias(self) -> float:
        """Expected margin when every inner node sends rows to its children in proportion to their covers."""
        weight = np.ones(self.nodes)
        for level in self.levels[1:]:
            weight[level] = weight[self.parent[level]] * self.share[level]
        return math.fsum([self.base_margin, *(weight * self.value)[self.is_leaf]])

    @cached_property
    def tree(self) -> Ints:
        """The tree of each node."""
        found = np.arange(self.nodes, dtype=np.int32)
        for level in self.levels[1:]:
            found[level] = found[self.parent[level]]
        return found

    @cached_property
    def height(self) -> Ints:
        """Edges between a node and the deepest leaf below it."""
        found = np.zeros(self.nodes, dtype=np.int32)
        for level in self.levels[:0:-1]:
            np.maximum.at(found, self.parent[level], found[level] + 1)
        return found

    @cached_property
    def inner_below(self) -> Ints:
        """Inner nodes in the subtree of a node, itself included."""
        found = (~self.is_leaf).astype(np.int32)
        for level in self.levels[:0:-1]:
            np.add.at(found, self.parent[level], found[level])
        return found

    @classmethod
    def of(cls, model: XGBoostModel) -> "Forest":
        """Return a model's trees as they are reached from their roots.

        Raises:
            UnsupportedModelError: If nodes run in a circle or are shared, trees are deeper than ``MOST_LEVELS``, or a
                number is of no use: a value that is not finite, a threshold that is not a number, an inner node
                whose cover is not positive (TreeSHAP divides by it; ``pred_contribs`` returns NaN).
        """
        raw = model.trees
        order, parent, levels = _level_order(raw)
        new = np.zeros(len(raw.left), dtype=np.int64)
        new[order] = np.arange(len(order))
        left = raw.left[order]
        inner = left != -1
        _check_numbers(raw, order, inner)
        cover = raw.cover[order]
        above = cover[np.maximum(parent, 0)]
        return cls(
            width=model.width,
            base_margin=model.base_margin,
            trees=len(raw.roots),
            child=np.where(inner, new[left], np.arange(len(order))).astype(np.int32),
            parent=parent.astype(np.int32),
            feature=raw.feature[order].astype(np.int32),
            threshold=np.where(inner, raw.threshold[order], 0).astype(np.float32),
            default_left=raw.default_left[order].astype(np.uint8),
            value=np.where(inner, 0, raw.threshold[order]).astype(np.float64),
            share=np.where(parent == -1, 1.0, cover / np.where(above == 0, 1.0, above)),
            levels=levels,
        )


def _level_order(raw: RawTrees) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], tuple[slice, ...]]:
    """Return the nodes level by level, each one's parent as a place in that order, and where each level lies."""
    orders: list[npt.NDArray[np.int64]] = []
    parents: list[npt.NDArray[np.int64]] = []
    levels: list[slice] = []
    placed = 0
    nodes, above = raw.roots, np.full(len(raw.roots), -1, dtype=np.int64)
    while len(nodes):
        if len(levels) > MOST_LEVELS:
            raise UnsupportedModelError(f"A tree is deeper than {MOST_LEVELS} levels, or its nodes run in a circle.")
        orders.append(nodes)
        parents.append(above)
        levels.append(slice(placed, placed + len(nodes)))
        if placed + len(nodes) > len(raw.left):
            raise UnsupportedModelError("A tree's node has two parents; the file is damaged. Save the model again.")
        inner = raw.left[nodes] != -1
        above = np.repeat(placed + np.flatnonzero(inner), 2)
        placed += len(nodes)
        nodes = np.column_stack([raw.left[nodes[inner]], raw.right[nodes[inner]]]).ravel()
    order = np.concatenate([np.empty(0, dtype=np.int64), *orders])
    if len(np.unique(order)) != len(order):
        raise UnsupportedModelError("A tree's node has two parents; the file is damaged. Save the model again.")
    return order, np.concatenate([np.empty(0, dtype=np.int64), *parents]), tuple(levels)


def _check_numbers(raw: RawTrees, order: npt.NDArray[np.int64], inner: npt.NDArray[np.bool_]) -> None:
    threshold, cover = raw.threshold[order], raw.cover[order]
    if np.any(np.isnan(threshold[inner])) or not np.all(np.isfinite(threshold[~inner])):
        raise UnsupportedModelError("A threshold is not a number or a leaf is not finite. Train the model again.")
    if not np.all(np.isfinite(cover) & (cover >= 0)) or not np.all(cover[inner] > 0):
        raise UnsupportedModelError(
            "An inner node's cover is not positive, so that no reference says how rows divide below it. "
            "Count the covers on a sample that reaches every branch."
        )
