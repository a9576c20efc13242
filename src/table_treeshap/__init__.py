r"""Table TreeSHAP: exact path-dependent TreeSHAP of gradient-boosted trees, looked up instead of computed.

    explainer = TreeExplainer.of(model_bytes)            # XGBoost, JSON or UBJSON
    margin, contributions = explainer.explained(columns)  # (n,) and (n, c) float64 for (n, c) float32

A row's contributions add up to its margin less ``explainer.bias``, in units of the margin (log-odds for a logistic
model). Missing values are NaN and take a split's default side, as in XGBoost.

What is computed
----------------
The game of Lundberg et al. (2020). For a set S of known columns, a tree's value is expected by walking from the root:
at a node whose column is in S the row's own branch is taken, at any other both, each weighed by its cover divided by
the node's. A column's contribution is its Shapley value in that game, summed over trees; the bias is the value of the
empty set plus the base margin. Covers are those in the file, so that counting them again on a reference sample
changes the reference and no prediction.

The game is a sum over leaves. Let a leaf of value v be decided by m different columns; for column j let o_j be 1 if
the row goes towards the leaf at all of the column's nodes on the path, else 0, and z_j the product of the cover
shares there. The leaf's game is  v * prod_{j in S} o_j * prod_{j not in S} z_j.  With A = {j: o_j = 1} and
w(s) = s! (m-1-s)! / m! = integral over t in [0, 1] of t^s (1-t)^(m-1-s), define for a set B of fewer than m columns

    Psi(B) = sum_{S subset of B} w(|S|) prod_{j in B - S} z_j
           = integral over t in [0, 1] of (1-t)^(m-1-|B|) prod_{j in B} (t + (1-t) z_j).

Then the leaf contributes, with Z the product of z_j over the columns outside A,

    v * Z * (1 - z_i) * Psi(A - {i})   to a column i in A,   and   - v * Z * Psi(A)   to one outside A.

The integrand is a polynomial of degree m - 1, which Gauss and Legendre's rule integrates exactly with ceil(m / 2)
points; all of its terms are positive, so that nothing cancels. (Yu et al. 2022 evaluate TreeSHAP at such points, too.)

How it is looked up
-------------------
A leaf's contributions depend on the row through left/right decisions alone. Cut each tree into blocks: maximal
subtrees of height at most h. What a block's leaves contribute depends on the b decisions at its a ancestors and its
own inner nodes, so it is a table of 2^b rows with a number for each of the u different columns read there; b is at
most a + 2^h - 1. A row alone starts from the states of a row in the middle of all thresholds and flips the bits of
the thresholds between the middle and its values: thresholds are sorted per column, so no node is visited. In
batches, a tile of rows goes through each block together. Both add the same numbers in the same order.

For T full trees of depth D, with 2^(D-h) blocks of b = D - h + 2^h - 1 bits each:

    memory   about 8 T 2^(D-h) 2^b min(b, c) bytes, the columns rounded up to a power of two if there are at most eight
    a row    T 2^(D-h) (min(b, c) additions and at most b flips of bits) + c log(thresholds per column)
    loading  T 2^D (2^m m + 2^b m) with m = min(D, c)

TreeSHAP itself takes T 2^D D^2 per row. Loading takes up to a tenth of a second for 300 trees of depth 7.

The height is chosen per model, from the model and the memory budget alone: the greatest whose tables fit a
processor's cache (12 MiB), else the one with the smallest tables. If these exceed the budget
(``DEFAULT_MEMORY_BUDGET``, 128 MiB), or a block depends on more than 16 decisions, ``block_height`` is None, and
contributions come from xgboost's ``pred_contribs`` on one thread; a warning says so once per model. Margins never do.

What holds
----------
* Margins are the base margin plus the leaves, added as float64 in the order of the trees: monotone constraints hold to
  the bit, as rounding keeps order. XGBoost adds float32, and differs in the last digits.
* A row has the same bits alone, in any batch, on any number of threads, on every level of a processor family. No
  fused or reordered arithmetic is used. Tables are float64: differences to ``pred_contribs`` are its own rounding.
  (The fallback gives xgboost's float32 numbers.)
* An explainer never changes: threads and forked processes share it. Calls with up to eight rows keep Python's
  interpreter lock, as they are over in microseconds; larger ones release it. ``threads`` splits a batch.
* No start compiles where the compiled code was shipped, and none imports a compiler: see ``compiled_code``.

Limits
------
Objectives ``binary:logistic``, ``reg:logistic`` and ``reg:squarederror``; numeric splits; one output. DART, gblinear,
splits on categories, vector leaves, several classes or targets, other objectives, and inner nodes without cover (where
``pred_contribs`` divides by zero) are refused by ``UnsupportedModelError``. All trees of the file count; a best
iteration of early stopping does not (slice the booster). Infinite values compare as numbers; ``DMatrix`` refuses them.
Thresholds of a chain of splits on few columns are not merged: deep, thin trees fall back early.

Sources
-------
Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees, Nature Machine
Intelligence 2, 56-67. Yang (2021), Fast TreeSHAP, arXiv:2109.09847. Yu, Xu, Huang, Hooker (2022), Linear TreeShap,
arXiv:2209.08192. Lucchese et al. (2015), QuickScorer, SIGIR, for decisions kept as bits and thresholds sorted by
column.
"""

from table_treeshap.compiled_code import CompilationError
from table_treeshap.explainer import DEFAULT_MEMORY_BUDGET, TreeExplainer
from table_treeshap.xgboost_model import UnsupportedModelError

__all__ = ["DEFAULT_MEMORY_BUDGET", "CompilationError", "TreeExplainer", "UnsupportedModelError"]
