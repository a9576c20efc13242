"""The loops, written for numba's pointers: no allocation, no exception, no call, no import.

They are plain functions here, compiled ahead by ``compilation`` and called through ``compiled_code``. Where a pointer
is expected, an array of one dimension works as well, so that tests can run them uncompiled. Additions keep one fixed
order per row, whatever surrounds the row.
"""

from typing import Any

SIGNATURES = {
    "margins": "i64 i64 i64 f64 i32* i32* f32* u8* f64* f32* i64 f64* i32*",
    "contributions": "i32* f32* f64* f32* i64 f64* u16* f64*",
    "describe_blocks": "i64 i32* i32* i32* i32* i32* i32* i32*",
    "fill_tables": "i64 i32* i32* i32* i64* i32* i32* i32* i32* f64* f64* f64* f64* f64*",
}
"""Arguments of each kernel; a star is a pointer."""

MOST_BITS = 16
"""Decisions a block may depend on; its number must fit 16 bits."""
BANKS = 4
"""Accumulators per column; an addition need not wait for the one before it."""
HEADER = 16
"""Numbers at the beginning of the layout."""


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
    """Write ``(rows, width)`` contributions to ``found``; ``state`` and ``sums`` are scratch.

    ``state`` holds per block the decisions that it depends on, one bit each. It starts from those of a row in the
    middle of all thresholds, and each column flips the bits of the thresholds between the middle and its value.
    """
    width = layout[0]
    blocks = layout[1]
    groups = layout[2]
    starts = layout[3]
    middles = layout[4]
    event_block = layout[5]
    event_bit = layout[6]
    missing_starts = layout[7]
    missing_block = layout[8]
    missing_bit = layout[9]
    middle_state = layout[10]
    group = layout[11]
    slots = layout[12]
    for row in range(rows):
        for block in range(blocks):
            state[block] = layout[middle_state + block]
        for k in range(4 * width):
            sums[k] = 0.0
        for column in range(width):
            x = columns[row * width + column]
            if x != x:  # noqa: PLR0124 - NaN
                for event in range(layout[missing_starts + column], layout[missing_starts + column + 1]):
                    state[layout[missing_block + event]] ^= layout[missing_bit + event]
            else:
                low = layout[starts + column]
                size = layout[starts + column + 1] - low
                while size > 0:
                    half = size >> 1
                    above = int(thresholds[low + half] <= x)
                    low += above * (half + 1)
                    size = above * (size - half - 1) + (1 - above) * half
                middle = layout[middles + column]
                for event in range(min(low, middle), max(low, middle)):
                    state[layout[event_block + event]] ^= layout[event_bit + event]
        slot = slots
        for number in range(groups):
            first = layout[group + 4 * number]
            last = layout[group + 4 * number + 1]
            used = layout[group + 4 * number + 2]
            bits = layout[group + 4 * number + 3]
            table = layout[group + 4 * groups + number]
            for block in range(first, last):
                entry = table + (((block - first) << bits) + state[block]) * used
                bank = (block & 3) * width
                for k in range(used):
                    sums[bank + layout[slot + k]] += tables[entry + k]
                slot += used
        for column in range(width):
            first_two = sums[column] + sums[width + column]
            found[row * width + column] = first_two + (sums[2 * width + column] + sums[3 * width + column])


def describe_blocks(
    blocks: int, roots: Any, child: Any, parent: Any, feature: Any, nodes: Any, used: Any, sizes: Any
) -> None:
    """List what each block depends on, ``MOST_BITS`` places per block.

    ``nodes``: the ancestors of its root, then its own inner nodes; ``used``: the different columns that these read.
    ``sizes`` gets two numbers per block, how many of each.
    """
    for block in range(blocks):
        place = block * 16
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

    ``tables[offsets[block] + state * used + k]`` is what the block contributes to its ``k``-th column when the bits of
    ``state`` say which of its nodes send a row to the right. ``quadrature`` holds, for up to 16 columns, eight places
    and eight weights each (see ``tables``). ``scratch`` has ``19 * 2**m + 64`` places for ``m`` columns of one leaf.
    """
    for block in range(blocks):
        place = block * 16
        bits = sizes[2 * block]
        columns = sizes[2 * block + 1]
        root = roots[block]
        depth = 0
        node = parent[root]
        while node >= 0:
            depth += 1
            node = parent[node]
        turns = 1
        if child[root] != root:
            turns = 2 * (bits - depth)
        for turn in range(turns):
            leaf = root
            if child[root] != root:
                leaf = child[nodes[place + depth + (turn >> 1)]] + (turn & 1)
                if child[leaf] != leaf:
                    continue
            # The leaf's columns: scratch[0:16] what covers say of them, [16:32] the bits and [32:48] their wanted state,
            # [48:64] the place in the table's row.
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
            subsets = 1 << m
            weighed = 64  # of each subset: the integral that stands for the sum over its subsets
            product = weighed + subsets  # of each subset: the product of what covers say
            shapley = product + subsets
            for subset in range(subsets):
                scratch[weighed + subset] = 0.0
            for point in range((m + 1) >> 1):
                t = quadrature[m * 16 + point]
                powers = quadrature[m * 16 + 8 + point]
                for _ in range(m - 1):
                    powers *= 1.0 - t
                scratch[product] = powers
                scratch[weighed] += powers
                top = 1
                for slot in range(m):
                    factor = t / (1.0 - t) + scratch[slot]
                    for subset in range(top):
                        scratch[product + top + subset] = scratch[product + subset] * factor
                        scratch[weighed + top + subset] += scratch[product + top + subset]
                    top *= 2
            scratch[product] = 1.0
            top = 1
            for slot in range(m):
                for subset in range(top):
                    scratch[product + top + subset] = scratch[product + subset] * scratch[slot]
                top *= 2
            for subset in range(subsets):
                outside = value[leaf] * scratch[product + subsets - 1 - subset]
                for slot in range(m):
                    if (subset >> slot) & 1:
                        gain = (1.0 - scratch[slot]) * scratch[weighed + (subset ^ (1 << slot))]
                        scratch[shapley + subset * m + slot] = outside * gain
                    else:
                        scratch[shapley + subset * m + slot] = -outside * scratch[weighed + subset]
            for state in range(1 << bits):
                subset = 0
                for slot in range(m):
                    subset |= int((state & int(scratch[16 + slot])) == int(scratch[32 + slot])) << slot
                entry = offsets[block] + state * columns
                for slot in range(m):
                    tables[entry + int(scratch[48 + slot])] += scratch[shapley + subset * m + slot]
