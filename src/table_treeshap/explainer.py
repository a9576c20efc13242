"""Margins of a model and their exact explanation, for rows alone and in batches."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from table_treeshap import compiled_code
from table_treeshap.kernels import BANKS, FEWEST_TILED, TILE
from table_treeshap.tables import Tables, choose_blocks, tabulate
from table_treeshap.trees import Forest
from table_treeshap.xgboost_model import read_model

_LOG = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

DEFAULT_MEMORY_BUDGET = 128 * 2**20
"""Bytes that a model's tables may take."""
FEW_ROWS = 8
"""Up to this many rows, a call is over before another thread could take and hand back the interpreter."""
ROWS_PER_THREAD = 64
"""Fewer rows are not worth a thread's start."""


class _Scratch(threading.local):
    """Memory that each thread has for itself and keeps between calls."""

    def __init__(self) -> None:
        self._kept = np.empty(0)
        self._address = 0

    def address_of(self, places: int) -> int:
        """Return where ``places`` float64 numbers may be written; what they hold is not said."""
        if len(self._kept) < places:
            self._kept = np.empty(places)
            self._address = self._kept.ctypes.data
        return self._address


class TreeExplainer:
    """Scores and explains the rows of one model; see the package's docstring for what its numbers mean.

    What it knows never changes, and what a call writes to is the thread's own: any number of threads may use one at
    once, also after a fork.
    """

    def __init__(self, forest: Forest, tables: Tables | None, model: bytes, kernels: compiled_code.Kernels) -> None:
        self._forest = forest
        self._tables = tables
        self._model = model
        self._kernels = kernels
        self.width = forest.width
        self.bias = forest.bias
        self.block_height = None if tables is None else tables.height
        self.table_bytes = 0 if tables is None else tables.values.nbytes
        arrays = (forest.child, forest.feature, forest.threshold, forest.default_left, forest.value)
        sizes = (forest.trees, len(forest.levels), forest.width, forest.base_margin)
        self._margin_arguments = (*sizes, *(array.ctypes.data for array in arrays))
        blocks = 0 if tables is None else tables.blocks
        self._places = forest.trees + forest.width * BANKS + blocks
        self._tiled_places = forest.trees + (forest.width * (BANKS + 1) + 1) * TILE
        self._scratch = _Scratch()
        if tables is not None:
            self._table_arguments = tuple(a.ctypes.data for a in (tables.layout, tables.thresholds, tables.values))

    @classmethod
    def of(cls, model: bytes, memory_budget: int = DEFAULT_MEMORY_BUDGET) -> "TreeExplainer":
        """Return the explainer of an XGBoost model in JSON or UBJSON, whose tables take at most the budget in bytes.

        Raises:
            UnsupportedModelError: If the bytes are no model, or one that is not explained.
            CompilationError: If no compiled kernels are found and they cannot be compiled.
        """
        forest = Forest.of(read_model(model))
        kernels = compiled_code.kernels()
        blocks = choose_blocks(forest, kernels, memory_budget)
        if blocks is None:
            _LOG.warning(
                "No tables of this model of %d trees up to depth %d fit %d bytes: its explanations come from "
                "xgboost's pred_contribs, a hundred times slower. Allow more memory, or train shallower trees.",
                forest.trees,
                len(forest.levels) - 1,
                memory_budget,
            )
        return cls(forest, None if blocks is None else tabulate(forest, blocks, kernels), bytes(model), kernels)

    def margin(self, columns: Matrix, threads: int = 1) -> Floats:
        """Return ``(n,)`` margins of ``(n, c)`` float32 columns, NaN where missing.

        A margin is the base margin plus the trees' leaves, added as float64 in the order of the trees.

        Raises:
            ValueError: If ``columns`` is not such a matrix.
        """
        columns = self._checked(columns)
        margin = np.empty(len(columns))
        self._split(columns, margin, None, threads)
        return margin

    def contributions(self, columns: Matrix, threads: int = 1) -> Floats:
        """Return ``(n, c)`` contributions to the margins of ``(n, c)`` float32 columns; rows sum to margin - bias.

        Raises:
            ValueError: If ``columns`` is not such a matrix.
        """
        columns = self._checked(columns)
        if self._tables is None:
            return self._slow_contributions(columns)
        contributions = np.empty(columns.shape)
        self._split(columns, None, contributions, threads)
        return contributions

    def explained(self, columns: Matrix, threads: int = 1) -> tuple[Floats, Floats]:
        """Return what ``margin`` and ``contributions`` return, to the bit.

        Raises:
            ValueError: If ``columns`` is not such a matrix.
        """
        if self._tables is None:
            return self.margin(columns, threads), self.contributions(columns, threads)
        columns = self._checked(columns)
        margin, contributions = np.empty(len(columns)), np.empty(columns.shape)
        self._split(columns, margin, contributions, threads)
        return margin, contributions

    def _checked(self, columns: Matrix) -> Matrix:
        if not isinstance(columns, np.ndarray) or columns.dtype != np.float32 or columns.ndim != 2:
            raise ValueError("The columns must be a NumPy matrix of float32 with one row per applicant.")
        if columns.shape[1] != self.width:
            raise ValueError(f"The matrix has {columns.shape[1]} columns; the model reads {self.width}.")
        return columns if columns.flags.c_contiguous and columns.flags.aligned else np.array(columns, order="C")

    def _split(self, columns: Matrix, margin: Floats | None, contributions: Floats | None, threads: int) -> None:
        """Fill what is given for the rows, in parts of their own per thread."""
        parts = min(threads, len(columns) // ROWS_PER_THREAD)
        if parts <= 1:
            self._fill(columns, margin, contributions)
            return
        bounds = [len(columns) * part // parts for part in range(parts + 1)]
        with ThreadPoolExecutor(parts, thread_name_prefix="table-treeshap") as pool:
            filling = [
                pool.submit(
                    self._fill,
                    columns[a:b],
                    None if margin is None else margin[a:b],
                    None if contributions is None else contributions[a:b],
                )
                for a, b in pairwise(bounds)
            ]
        for part in filling:
            part.result()

    def _fill(self, columns: Matrix, margin: Floats | None, contributions: Floats | None) -> None:
        rows = len(columns)
        called = self._kernels.held if rows <= FEW_ROWS else self._kernels.released
        at = columns.ctypes.data  # an address costs as much to ask for as some dozens of blocks
        scratch = self._scratch.address_of(self._places if rows < FEWEST_TILED else self._tiled_places)
        if margin is not None:
            called["margins"](*self._margin_arguments, at, rows, margin.ctypes.data, scratch)
        if contributions is not None:
            sums = self.width * ((BANKS + 1) * TILE if rows >= FEWEST_TILED else BANKS)
            found = contributions.ctypes.data
            called["contributions"](*self._table_arguments, at, rows, found, scratch + sums * 8, scratch)

    @cached_property
    def _booster(self) -> Any:
        import xgboost  # noqa: PLC0415 - takes seconds, and only the fallback needs it

        booster = xgboost.Booster()
        booster.load_model(bytearray(self._model))
        booster.set_param({"nthread": 1})
        return booster

    def _slow_contributions(self, columns: Matrix) -> Floats:
        import xgboost  # noqa: PLC0415 - see above

        matrix = xgboost.DMatrix(columns, nthread=1)
        found = np.asarray(self._booster.predict(matrix, pred_contribs=True), dtype=np.float64)
        return found.reshape(len(columns), self.width + 1)[:, :-1].copy()
