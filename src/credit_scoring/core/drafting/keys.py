"""Columns that may name the applicant."""

from collections.abc import Sequence
from dataclasses import dataclass

from credit_scoring.core.drafting.columns import GuessedColumn, TextGuess
from credit_scoring.core.drafting.words import is_id, is_person_id
from credit_scoring.core.errors import DeclarationError, nearest


@dataclass(frozen=True, slots=True)
class KeyGuess:
    """The column that names applicants (None: rows go by their number), and why; other columns that could.

    ``persons`` are columns that name a person who has several rows.
    """

    key: str | None
    why: str
    others: tuple[str, ...]
    persons: tuple[str, ...]


def choose_key(columns: Sequence[GuessedColumn], target: str, wanted: str | None) -> KeyGuess:
    """Return the key: the wanted one, else the only one whose name or sequence says that it is one.

    Raises:
        DeclarationError: If the wanted column is absent, the target, or does not name each row.
    """
    unique = [column.source for column in columns if _is_complete_and_unique(column) and column.source != target]
    persons = tuple(column.source for column in columns if _names_persons(column))
    if wanted is not None:
        return KeyGuess(_wanted(columns, wanted, target), "as asked for", _but(unique, wanted), _but(persons, wanted))
    by_name = [source for source in unique if is_id(source)]
    by_sequence = [c.source for c in columns if c.source in unique and _counts_rows(c)]
    chosen = by_name[:1] if len(by_name) == 1 or by_name[:1] == unique[:1] else [] if by_name else by_sequence[:1]
    if not chosen:
        why = (
            "several columns could be it"
            if by_name
            else "no column is complete, different in every row and called an id"
        )
        return KeyGuess(None, why, tuple(by_name or _id_like(columns, unique)), persons)
    return KeyGuess(chosen[0], "complete and different in every row", _but(by_name, chosen[0]), persons)


def _but(sources: Sequence[str], chosen: str) -> tuple[str, ...]:
    return tuple(source for source in sources if source != chosen)


def _wanted(columns: Sequence[GuessedColumn], wanted: str, target: str) -> str:
    found = {column.source: column for column in columns}
    if wanted not in found:
        raise DeclarationError(f"There is no column '{wanted}' for --key.{nearest(wanted, found)}")
    if wanted == target:
        raise DeclarationError(f"'{wanted}' is the target; name another column with --key.")
    missing, repeated = found[wanted].distinct.missing, found[wanted].distinct
    if missing or len(repeated) < repeated.known:
        raise DeclarationError(
            f"'{wanted}' cannot be the key: it is missing in {missing:,} rows and repeated in "
            f"{repeated.known - len(repeated):,}. Name a column that is different in every row, or leave --key out."
        )
    return wanted


def _is_complete_and_unique(column: GuessedColumn) -> bool:
    distinct = column.distinct
    return distinct.rows > 1 and len(distinct) == distinct.rows


def _counts_rows(column: GuessedColumn) -> bool:
    return column.guess == TextGuess("it counts the rows")


def _id_like(columns: Sequence[GuessedColumn], unique: Sequence[str]) -> list[str]:
    return [c.source for c in columns if c.source in unique and isinstance(c.guess, TextGuess)]


def _names_persons(column: GuessedColumn) -> bool:
    """Whether it is called the id of a person and has some in several rows."""
    distinct = column.distinct
    return is_person_id(column.source) and len(distinct) < distinct.known and len(distinct) > distinct.known / 50
