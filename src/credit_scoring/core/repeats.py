"""Rows of one table that share a name: copies, of which the first is kept, and rows that contradict each other."""

import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.contracts import TableContract

Hashes = npt.NDArray[np.uint64]


class Names:
    """The names of rows, collected batch by batch: eight bytes a row, whatever the table's size."""

    def __init__(self) -> None:
        self._hashes: list[Hashes] = []

    def add(self, names: pl.Series) -> None:
        """Note the names of more rows."""
        self._hashes.append(names.hash().to_numpy())

    def repeated(self) -> Hashes:
        """Return the hash of every name that more than one row has (and, once in 2**64 pairs, of another)."""
        ordered = np.concatenate([np.zeros(0, np.uint64), *self._hashes])
        ordered.sort()
        return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def find_repeats(suspects: pl.DataFrame, contract: TableContract) -> pl.DataFrame:
    """Return the rows to set aside, with ``rule`` and ``reason`` beside the columns that ``suspects`` have.

    Args:
        suspects: Valid rows whose names are repeated, in the order in which they were received, with ``content``.
        contract: Their table's contract; its ``key`` is the name.

    Of rows that are equal in every column the first is kept; when rows of one name differ, nothing says which one
    is right, so none is.
    """
    key = str(contract.key)
    source = contract.sources[key].source
    copies = suspects.filter(~pl.struct(key, "content").is_first_distinct())
    once = suspects.filter(pl.struct(key, "content").is_first_distinct())
    differing = once.filter(pl.col(key).is_duplicated())
    return pl.concat(
        [
            copies.with_columns(
                column=pl.lit(""),
                rule=pl.lit("copy"),
                reason=pl.lit("the row repeats an earlier row in every column; that one was kept"),
            ),
            differing.with_columns(
                column=pl.lit(source),
                rule=pl.lit("unique"),
                reason=pl.lit(f"{source} must be unique; differing rows share this one"),
            ),
        ]
    )
