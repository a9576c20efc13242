"""Rows of one table that share a name: copies, of which the first is kept, and rows that contradict each other."""

import numpy as np
import numpy.typing as npt
import polars as pl

from credit_scoring.core.contracts import TableContract

Hashes = npt.NDArray[np.uint64]


COPY = "copy"
"""The rule of rows that say nothing new; they break no contract."""

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

    Of rows that are equal in every column the first is kept. Of events that share an id the first is kept too, and
    one that only became known at another time is a copy. When other rows of one name differ, nothing says which one
    is right, so none is kept.
    """
    key = str(contract.key)
    source = contract.sources[key].source
    values = [column.name for column in contract.columns if column.name != "known_at"]
    same = values if contract.first_wins else [key, "content"]
    is_copy = ~pl.struct(same).is_first_distinct()
    copies = suspects.filter(is_copy).with_columns(
        column=pl.lit(""),
        rule=pl.lit(COPY),
        reason=pl.lit("the row repeats an earlier row in every column; that one was kept"),
    )
    once = suspects.filter(~is_copy)
    if contract.first_wins:
        differing, told = once.filter(~pl.col(key).is_first_distinct()), "an earlier row has this one, and was kept"
    else:
        differing, told = once.filter(pl.col(key).is_duplicated()), "differing rows share this one"
    reason = pl.lit(f"{source} must be unique; {told}")
    return pl.concat([copies, differing.with_columns(column=pl.lit(source), rule=pl.lit("unique"), reason=reason)])
