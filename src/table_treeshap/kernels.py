"""The loops, written for numba's pointers: no allocation, no exception, no import.

They are plain functions here, compiled ahead by ``compilation`` and called through ``compiled_code``. Where a pointer
is expected, an array of one dimension works as well, so that tests can run them uncompiled. Additions keep one fixed
order per row, whatever surrounds the row: a column's contribution is the sum of four sums, the ``k``-th of them over
blocks ``k``, ``k + 4``, ``k + 8``, ... as they come; so that an addition need not wait for the one before it.
"""

from typing import Any

SIGNATURES = {
    "margins": "i64 i64 i64 f64 i32* i32* f32* u8* f64* f32* i64 f64* i32*",
    "contributions": "i32* f32* f64* f32* i64 f64* i32* f64*",
    "describe_blocks": "i64 i32* i32* i32* i32* i32* i32* i32*",
    "fill_tables": "i64 i32* i32* i32* i64* i32* i32* i32* i32* f64* f64* f64* f64* f64*",
}
"""Arguments of each kernel; a star is a pointer."""
HELPERS = (
    "_explain_row", "_set_state", "_reached", "_explain_tile", "_set_states", "_leaf_columns", "_weigh", "_multiply",
    "_share_out",
)  # fmt: skip
"""Functions that the kernels call, each after those that it calls itself."""

MOST_BITS = 16
"""Decisions a block may depend on; a table has two rows for each more."""
BANKS = 4
"""Sums per column."""
TILE = 128
"""Rows that are taken through a block together, so that its table is read from memory once for all of them."""
FEWEST_TILED = 16
"""Fewer rows go through all blocks one by one."""
HEADER = 16
"""Numbers at the beginning of the layout: ``WIDTH`` columns, ``BLOCKS``, ``GROUPS``, then where each part begins."""
WIDTH, BLOCKS, GROUPS = 0, 1, 2
STARTS, MIDDLES, EVENT_BLOCK, EVENT_BIT = 3, 4, 5, 6
MISSING_STARTS, MISSING_BLOCK, MISSING_BIT, MIDDLE_STATE = 7, 8, 9, 10
GROUP, SLOTS, BIT_COLUMN, BIT_MISSING = 11, 12, 13, 14
BIT_THRESHOLD = 15
"""Where the blocks' own thresholds begin, behind those of the events."""


def margins(
    trees: int, levels: int, width: int, base: float, child: Any, feature: Any, threshold: Any, default_left: Any,
    value: Any, columns: Any, rows: int, found: Any, at: Any,
) -> None:  # fmt: skip
    """Write each row's base margin plus its leaves, added in the order of the trees, to ``found`` (rows).

    ``at`` is scratch, one number per tree. A leaf names itself as its child, so that all trees take the same steps.
    """
    for row in range(rows):
        values = row * width
        for tree in range(trees):
            at[tree] = tree
        for _ in range(levels - 1):
            for tree in range(trees):
                node = at[tree]
                x = columns[values + feature[node]]
                right = 1 - (int(x < threshold[node]) | (int(x != x) & default_left[node]))  # noqa: PLR0124 - NaN
                inner = int(child[node] != node)
                at[tree] = child[node] + (right & inner)
        total = base
        for tree in range(trees):
            total += value[at[tree]]
        found[row] = total


def contributions(
    layout: Any, thresholds: Any, tables: Any, columns: Any, rows: int, found: Any, state: Any, sums: Any
) -> None:
    """Write ``(rows, width)`` contributions to ``found``.

    Scratch: ``state`` has a place per block or ``TILE``, ``sums`` has ``BANKS`` per column, and for ``FEWEST_TILED``
    rows or more as many times ``TILE``.
    """
    width = layout[WIDTH]
    if rows < FEWEST_TILED:
        for row in range(rows):
            _explain_row(layout, thresholds, tables, columns, row * width, found, state, sums)
    else:
        for row in range(0, rows, TILE):
            many = min(TILE, rows - row)
            _explain_tile(layout, thresholds, tables, columns, row * width, many, found, state, sums)


def _explain_row(
    layout: Any, thresholds: Any, tables: Any, columns: Any, at: int, found: Any, state: Any, sums: Any
) -> None:
    """Explain the row that begins at ``columns[at]``."""
    width = layout[WIDTH]
    groups = layout[GROUPS]
    _set_state(layout, thresholds, columns, at, state)
    for k in range(BANKS * width):
        sums[k] = 0.0
    slot = layout[SLOTS]
    group = layout[GROUP]
    for number in range(groups):
        first = layout[group + 5 * number]
        used = layout[group + 5 * number + 2]
        bits = layout[group + 5 * number + 3]
        stride = layout[group + 5 * number + 4]
        table = layout[group + 5 * groups + number]
        for block in range(first, layout[group + 5 * number + 1]):
            entry = table + (((block - first) << bits) + state[block]) * stride
            bank = (block & 3) * width
            for k in range(used):
                sums[bank + layout[slot + k]] += tables[entry + k]
            slot += used
    for column in range(width):
        first_two = sums[column] + sums[width + column]
        found[at + column] = first_two + (sums[2 * width + column] + sums[3 * width + column])


def _set_state(layout: Any, thresholds: Any, columns: Any, at: int, state: Any) -> None:
    """Set each block's state: the decisions that it depends on for this row, one bit each.

    It starts from the state of a row in the middle of all thresholds; each column flips the bits of the thresholds
    between the middle and its value, or those that a missing value decides otherwise. That is a quarter of all bits
    where values spread as thresholds do.
    """
    for block in range(layout[BLOCKS]):
        state[block] = layout[layout[MIDDLE_STATE] + block]
    for column in range(layout[WIDTH]):
        x = columns[at + column]
        if x != x:  # noqa: PLR0124 - NaN
            blocks = layout[MISSING_BLOCK]
            masks = layout[MISSING_BIT]
            begin = layout[layout[MISSING_STARTS] + column]
            end = layout[layout[MISSING_STARTS] + column + 1]
        else:
            blocks = layout[EVENT_BLOCK]
            masks = layout[EVENT_BIT]
            starts = layout[STARTS] + column
            reached = _reached(thresholds, layout[starts], layout[starts + 1], x)
            middle = layout[layout[MIDDLES] + column]
            begin = min(reached, middle)
            end = max(reached, middle)
        for event in range(begin, end):
            state[layout[blocks + event]] ^= layout[masks + event]


def _reached(thresholds: Any, low: int, end: int, x: float) -> int:
    """Return the place behind the last of the rising thresholds that ``x`` reaches."""
    size = end - low
    while size > 0:
        half = size >> 1
        above = int(thresholds[low + half] <= x)
        low += above * (half + 1)
        size = above * (size - half - 1) + (1 - above) * half
    return low


def _explain_tile(
    layout: Any, thresholds: Any, tables: Any, columns: Any, at: int, many: int, found: Any, state: Any, sums: Any
) -> None:
    """Explain ``many`` rows from ``columns[at]`` on.

    ``sums`` holds, per bank and column, the rows side by side; behind them, the tile's values in the same way.
    """
    width = layout[WIDTH]
    groups = layout[GROUPS]
    values = BANKS * width * TILE
    for column in range(width):
        for row in range(many):
            sums[values + column * TILE + row] = columns[at + row * width + column]
    for k in range(BANKS * width * TILE):
        sums[k] = 0.0
    slot = layout[SLOTS]
    bit = 0
    group = layout[GROUP]
    for number in range(groups):
        first = layout[group + 5 * number]
        used = layout[group + 5 * number + 2]
        bits = layout[group + 5 * number + 3]
        stride = layout[group + 5 * number + 4]
        table = layout[group + 5 * groups + number]
        for block in range(first, layout[group + 5 * number + 1]):
            _set_states(layout, thresholds, sums, values, many, bit, bits, stride, state)
            entry = table + ((block - first) << bits) * stride
            bank = (block & 3) * width
            for k in range(used):
                into = (bank + layout[slot + k]) * TILE
                for row in range(many):
                    sums[into + row] += tables[entry + k + state[row]]
            slot += used
            bit += bits
    for row in range(many):
        for column in range(width):
            one = column * TILE + row
            first_two = sums[one] + sums[one + width * TILE]
            last_two = sums[one + 2 * width * TILE] + sums[one + 3 * width * TILE]
            found[at + row * width + column] = first_two + last_two


def _set_states(
    layout: Any, thresholds: Any, tile: Any, at: int, many: int, bit: int, bits: int, stride: int, state: Any
) -> None:
    """Set one block's state for ``many`` rows of a tile, as the place of its row in the table."""
    for row in range(many):
        state[row] = 0
    for k in range(bits):
        threshold = thresholds[layout[BIT_THRESHOLD] + bit + k]
        place = at + layout[layout[BIT_COLUMN] + bit + k] * TILE
        weight = stride << k
        if layout[layout[BIT_MISSING] + bit + k] != 0:
            for row in range(many):
                state[row] += int(not tile[place + row] < threshold) * weight  # a missing value too
        else:
            for row in range(many):
                state[row] += int(tile[place + row] >= threshold) * weight


def describe_blocks(
    blocks: int, roots: Any, child: Any, parent: Any, feature: Any, nodes: Any, used: Any, sizes: Any
) -> None:
    """List what each block depends on, ``MOST_BITS`` places per block.

    ``nodes``: the ancestors of its root, then its own inner nodes; ``used``: the different columns that these read.
    ``sizes`` gets two numbers per block, how many of each.
    """
    for block in range(blocks):
        place = block * MOST_BITS
        bits = 0
        node = parent[roots[block]]
        while node >= 0:
            nodes[place + bits] = node
            bits += 1
            node = parent[node]
        looked_at = bits
        if child[roots[block]] != roots[block]:
            nodes[place + bits] = roots[block]
            bits += 1
        while looked_at < bits:
            left = child[nodes[place + looked_at]]
            for node in range(left, left + 2):
                if child[node] != node:
                    nodes[place + bits] = node
                    bits += 1
            looked_at += 1
        columns = 0
        for k in range(bits):
            column = feature[nodes[place + k]]
            known = 0
            for j in range(columns):
                known |= int(used[place + j] == column)
            if known == 0:
                used[place + columns] = column
                columns += 1
        sizes[2 * block] = bits
        sizes[2 * block + 1] = columns


def fill_tables(
    blocks: int, nodes: Any, used: Any, sizes: Any, offsets: Any, roots: Any, child: Any, parent: Any,
    feature: Any, share: Any, value: Any, quadrature: Any, scratch: Any, tables: Any,
) -> None:  # fmt: skip
    """Add the Shapley values of every leaf's game to its block's table, which holds zeros.

    ``tables[offsets[block] + state * stride + k]`` is what the block contributes to its ``k``-th column when the bits
    of ``state`` say which of its nodes send a row to the right; ``sizes`` has the bits and the stride of each block.
    ``quadrature`` holds, for up to 16 columns, eight places
    and eight weights each (see ``tables``). ``scratch`` has ``(m + 2) * 2**m + 64`` places, ``m`` the most columns of
    a block.
    """
    for block in range(blocks):
        place = block * MOST_BITS
        bits = sizes[2 * block]
        stride = sizes[2 * block + 1]
        root = roots[block]
        own = 0  # where the block's own inner nodes begin
        node = parent[root]
        while node >= 0:
            own += 1
            node = parent[node]
        leaves = 1 if child[root] == root else 2 * (bits - own)
        for number in range(leaves):
            leaf = root
            if child[root] != root:
                leaf = child[nodes[place + own + (number >> 1)]] + (number & 1)
            if child[leaf] == leaf:
                m = _leaf_columns(leaf, place, nodes, used, child, parent, feature, share, scratch)
                _weigh(m, quadrature, scratch)
                _multiply(m, scratch)
                _share_out(m, value[leaf], 1 << bits, stride, offsets[block], scratch, tables)


def _leaf_columns(
    leaf: int, place: int, nodes: Any, used: Any, child: Any, parent: Any, feature: Any, share: Any, scratch: Any
) -> int:
    """Return how many columns decide about a leaf.

    Per column, scratch gets: at 0, the part of the rows that reach the leaf where the column decides, as covers say;
    at 16, the bits of its nodes; at 32, what these are on the way to the leaf; at 48, its place in the table's row.
    """
    m = 0
    below = leaf
    node = parent[leaf]
    while node >= 0:
        bit = 0
        while nodes[place + bit] != node:
            bit += 1
        spot = 0
        while used[place + spot] != feature[node]:
            spot += 1
        slot = 0
        while slot < m and scratch[48 + slot] != spot:
            slot += 1
        if slot == m:
            scratch[slot] = 1.0
            scratch[16 + slot] = 0.0
            scratch[32 + slot] = 0.0
            scratch[48 + slot] = spot
            m += 1
        scratch[slot] *= share[below]
        scratch[16 + slot] += 1 << bit
        if below != child[node]:
            scratch[32 + slot] += 1 << bit
        below = node
        node = parent[node]
    return m


def _weigh(m: int, quadrature: Any, scratch: Any) -> None:
    """Put the weight of each set of columns to scratch from 64 on: the integral that the package's docstring derives.

    The products of a quadrature point lie behind the weights.
    """
    subsets = 1 << m
    for subset in range(subsets):
        scratch[64 + subset] = 0.0
    products = 64 + subsets
    for point in range((m + 1) >> 1):
        t = quadrature[m * 16 + point]
        empty = quadrature[m * 16 + 8 + point]
        for _ in range(m - 1):
            empty *= 1.0 - t
        scratch[products] = empty
        scratch[64] += empty
        top = 1
        for slot in range(m):
            factor = t / (1.0 - t) + scratch[slot]
            for subset in range(top):
                scratch[products + top + subset] = scratch[products + subset] * factor
                scratch[64 + top + subset] += scratch[products + top + subset]
            top *= 2


def _multiply(m: int, scratch: Any) -> None:
    """Put the product of each set's parts behind the weights."""
    products = 64 + (1 << m)
    scratch[products] = 1.0
    top = 1
    for slot in range(m):
        for subset in range(top):
            scratch[products + top + subset] = scratch[products + subset] * scratch[slot]
        top *= 2


def _share_out(m: int, value: float, states: int, stride: int, offset: int, scratch: Any, tables: Any) -> None:
    """Add a leaf's Shapley values to all rows of its block's table.

    They depend on the set of columns that send a row towards the leaf; each state stands for one such set.
    """
    subsets = 1 << m
    shapley = 64 + 2 * subsets
    for subset in range(subsets):
        outside = value * scratch[64 + subsets + (subsets - 1 - subset)]
        for slot in range(m):
            if (subset >> slot) & 1:
                gain = (1.0 - scratch[slot]) * scratch[64 + (subset ^ (1 << slot))]
                scratch[shapley + subset * m + slot] = outside * gain
            else:
                scratch[shapley + subset * m + slot] = -outside * scratch[64 + subset]
    for state in range(states):
        subset = 0
        for slot in range(m):
            subset |= int((state & int(scratch[16 + slot])) == int(scratch[32 + slot])) << slot
        for slot in range(m):
            tables[offset + state * stride + int(scratch[48 + slot])] += scratch[shapley + subset * m + slot]
