"""Rows of one table that share a name: copies, of which the first is kept, and rows that contradict each other."""

import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.contracts import TableContract

Hashes = npt.NDArray[np.uint64]


_NAMES_AT_ONCE = 4_000_000


def repeated_names(valid: pl.LazyFrame, key: str, rows: int) -> Hashes:
    """Return the hash of every name that more than one of ``rows`` rows has (and, once in 2**64 pairs, of another).

    Many rows are gone through several times, each time for one share of the hashes, so that memory stays bounded.
    """
    shares = rows // _NAMES_AT_ONCE + 1
    hashed = valid.select(name=pl.col(key).hash())
    found = [_repeated(hashed.filter(pl.col("name") % shares == share)) for share in range(shares)]
    return np.concatenate(found)


def _repeated(hashed: pl.LazyFrame) -> Hashes:
    ordered = hashed.collect(engine="streaming")["name"].sort().to_numpy()
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
