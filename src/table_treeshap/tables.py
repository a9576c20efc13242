"""Blocks of trees, their tables, and the one array of whole numbers that the kernel walks along."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from table_treeshap.compiled_code import Kernels
from table_treeshap.kernels import HEADER, MOST_BITS
from table_treeshap.trees import Forest, Ints

HEIGHTS = (4, 3, 2, 1, 0)
"""Block heights that are tried."""
CACHED_BYTES = 12 * 2**20
"""Tables up to this size are read from a processor's cache; above it, the smallest tables are the fastest."""


LINE = 8
"""Numbers in a cache line."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of one height, by number of bits and of columns, then as they come in the trees."""

    height: int
    roots: Ints
    bits: Ints
    used: Ints
    """How many columns a block contributes to."""
    nodes: Ints
    """``(b, MOST_BITS)`` nodes that decide a block's state, one per bit."""
    columns: Ints
    """``(b, MOST_BITS)`` columns of a block's table."""

    @property
    def stride(self) -> Ints:
        """Numbers from one row of a table to the next: a row that fits a cache line (64 bytes) lies within one."""
        powers = 1 << np.ceil(np.log2(np.maximum(self.used, 1))).astype(np.int32)
        return np.where(self.used <= LINE, powers, self.used).astype(np.int32)

    @property
    def entries(self) -> npt.NDArray[np.int64]:
        """Numbers in each block's table."""
        return (np.int64(1) << self.bits.astype(np.int64)) * self.stride

    @property
    def table_bytes(self) -> int:
        """Memory of all tables."""
        return int(self.entries.sum()) * 8


@dataclass(frozen=True)
class Tables:
    """What the kernel reads."""

    height: int
    layout: Ints
    thresholds: npt.NDArray[np.float32]
    values: npt.NDArray[np.float64]
    blocks: int


def choose_blocks(forest: Forest, kernels: Kernels, memory_budget: int) -> Blocks | None:
    """Return the blocks of the height to tabulate, a function of the forest and the budget alone.

    That is the greatest height whose tables fit a processor's cache and the budget: higher blocks are fewer, each
    costs a row one read and an addition per column. If none fits the cache, the height with the smallest tables.
    None if not even these fit the budget, or if every height has a block of more than ``MOST_BITS`` bits.
    """
    smallest: Blocks | None = None
    for height in HEIGHTS:
        found = _blocks(forest, kernels, height, memory_budget)
        if found is None:
            continue
        if found.table_bytes <= min(CACHED_BYTES, memory_budget):
            return found
        if smallest is None or found.table_bytes < smallest.table_bytes:
            smallest = found
    return smallest if smallest is not None and smallest.table_bytes <= memory_budget else None


def tabulate(forest: Forest, blocks: Blocks, kernels: Kernels) -> Tables:
    """Return the filled tables with all that a row needs to find its way through them."""
    offsets = np.concatenate([[0], np.cumsum(blocks.entries)]).astype(np.int64)
    unaligned = np.empty(int(offsets[-1]) + LINE)  # NumPy asks for large pages here, and not for zeros
    values = unaligned[-unaligned.ctypes.data // 8 % LINE :][: offsets[-1]]
    values.fill(0)
    largest = int(blocks.used.max(initial=0))
    scratch = np.empty((largest + 2) * 2**largest + 64)
    sizes = np.ascontiguousarray(np.column_stack([blocks.bits, blocks.stride]).ravel(), dtype=np.int32)
    rules = _quadrature()
    arrays = (blocks.nodes, blocks.columns, sizes, offsets, blocks.roots, forest.child, forest.parent)
    more = (forest.feature, forest.share, forest.value, rules, scratch, values)
    kernels.released["fill_tables"](len(blocks.roots), *(a.ctypes.data for a in (*arrays, *more)))
    layout, thresholds = _layout(forest, blocks, offsets)
    return Tables(blocks.height, layout, thresholds, values, len(blocks.roots))


def _blocks(forest: Forest, kernels: Kernels, height: int, memory_budget: int) -> Blocks | None:
    above = np.where(forest.parent < 0, np.iinfo(np.int32).max, forest.height[np.maximum(forest.parent, 0)])
    bits_of = forest.depth + forest.inner_below
    roots = np.flatnonzero((forest.height <= height) & (above > height) & (bits_of > 0)).astype(np.int32)
    if bits_of[roots].max(initial=0) > MOST_BITS:
        return None
    # Every column once would be the smallest table there is; do not describe what cannot fit.
    if 8 * int((np.int64(1) << bits_of[roots].astype(np.int64)).sum()) > memory_budget:
        return None
    nodes = np.zeros((len(roots), MOST_BITS), dtype=np.int32)
    columns, sizes = np.zeros_like(nodes), np.zeros((len(roots), 2), dtype=np.int32)
    arrays = (roots, forest.child, forest.parent, forest.feature, nodes, columns, sizes)
    kernels.released["describe_blocks"](len(roots), *(array.ctypes.data for array in arrays))
    order = np.lexsort((forest.tree[roots], sizes[:, 1], sizes[:, 0]))
    return Blocks(height, roots[order], sizes[order, 0], sizes[order, 1], nodes[order], columns[order])


def _quadrature() -> npt.NDArray[np.float64]:
    """Return, for m columns, the Gauss-Legendre rule on [0, 1] that integrates polynomials of degree m - 1 exactly."""
    rules = np.zeros((MOST_BITS + 1, 2, 8))
    for m in range(1, MOST_BITS + 1):
        places, weights = np.polynomial.legendre.leggauss((m + 1) // 2)
        rules[m, 0, : len(places)] = (places + 1) / 2
        rules[m, 1, : len(places)] = weights / 2
    return rules


def _layout(forest: Forest, blocks: Blocks, offsets: npt.NDArray[np.int64]) -> tuple[Ints, npt.NDArray[np.float32]]:
    """Return the kernel's whole numbers, and the events' thresholds.

    An event is one bit of one block: its column's value reaches a threshold, and the row goes right there.
    """
    block = np.repeat(np.arange(len(blocks.roots)), blocks.bits)
    bit = np.arange(len(block)) - np.repeat(np.cumsum(blocks.bits) - blocks.bits, blocks.bits)
    node = blocks.nodes[block, bit]
    column, threshold = forest.feature[node], forest.threshold[node]
    by_block = [column, forest.default_left[node] == 0]
    order = np.lexsort((bit, block, threshold, column))
    block, mask, node, column = block[order], 1 << bit[order], node[order], column[order]
    counts = np.bincount(column, minlength=forest.width)
    starts = np.concatenate([[0], np.cumsum(counts)])
    middles = (starts[:-1] + starts[1:]) // 2
    right = np.arange(len(block)) < middles[column]  # in the state that every row starts from
    middle_state = np.bincount(block[right], weights=mask[right], minlength=len(blocks.roots))
    flipped = right != (forest.default_left[node] == 0)
    missing = np.concatenate([[0], np.cumsum(np.bincount(column[flipped], minlength=forest.width))])
    group, group_tables = _groups(blocks, offsets)
    used = np.arange(MOST_BITS) < blocks.used[:, None]
    parts = [starts, middles, block, mask, missing, block[flipped], mask[flipped], middle_state]
    parts += [np.concatenate([group.ravel(), group_tables]), blocks.columns[used], *by_block]
    places = HEADER + np.cumsum([0, *map(len, parts)])
    header = np.zeros(HEADER)
    header[:3] = forest.width, len(blocks.roots), len(group)
    header[3 : 4 + len(parts)] = *places[:-1], len(block)
    thresholds = np.concatenate([forest.threshold[node], threshold])
    return np.concatenate([header, *parts]).astype(np.int32), thresholds.astype(np.float32)


def _groups(blocks: Blocks, offsets: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return first and last block, columns, bits and stride of each run of one shape, and where its tables begin."""
    shape = np.column_stack([blocks.used, blocks.bits])
    starts = np.flatnonzero(np.concatenate([[True], np.any(shape[1:] != shape[:-1], axis=1)])[: len(shape)])
    ends = np.append(starts[1:], len(shape))[: len(starts)]
    return np.column_stack([starts, ends, shape[starts], blocks.stride[starts]]).astype(np.int64), offsets[starts]
