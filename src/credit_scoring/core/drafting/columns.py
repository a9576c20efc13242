"""One received column as it would be declared, with what was seen."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from credit_scoring.core.drafting.dates import DateGuess, guess_dates
from credit_scoring.core.drafting.distinct import Distinct
from credit_scoring.core.drafting.missing_values import maybe_missing_category, never_values
from credit_scoring.core.drafting.numbers import NumberGuess, guess_numbers, looks_signed
from credit_scoring.core.drafting.words import is_id

MOST_CATEGORIES = 60
_LONGEST_CATEGORY = 60
_FEW_CATEGORIES = 12
_FEWEST_PER_CATEGORY = 5
"""Categories with fewer rows on average are names or texts."""

_ID_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class CategoryGuess:
    """A column of categories in order of frequency; texts that mean missing, and those that may."""

    values: tuple[str, ...]
    missing: tuple[str, ...]
    maybe_missing: tuple[str, ...]
    rarest: int

    def declared(self) -> dict[str, Any]:
        """Return the keys of the column that follow."""
        about: dict[str, Any] = {"type": "category", "values": list(self.values)}
        return about | ({"missing": list(self.missing)} if self.missing else {})


@dataclass(frozen=True, slots=True)
class TextGuess:
    """A column that is received and left out, and why."""

    why: str

    def declared(self) -> dict[str, Any]:
        """Return the keys of the column that follow."""
        return {"type": "text"}


Guess = NumberGuess | DateGuess | CategoryGuess | TextGuess


@dataclass(frozen=True)
class GuessedColumn:
    """A received column: its texts and what it is taken for."""

    source: str
    distinct: Distinct
    guess: Guess

    @property
    def missing_rows(self) -> int:
        """Rows where the value is blank or one of the texts that mean missing."""
        texts: tuple[str, ...] = ()
        if not isinstance(self.guess, TextGuess):
            texts = self.guess.missing
        if isinstance(self.guess, NumberGuess):
            texts = (*texts, *self.guess.missing_codes)
        return self.distinct.without(texts).missing


def guess_column(
    source: str, received: pl.Series | Distinct, decimal_comma: bool = False, month_first: bool = False
) -> GuessedColumn:
    """Return what a column of received text is taken for; the two flags tell what other columns of the file do."""
    distinct = received if isinstance(received, Distinct) else Distinct.of(received)
    return GuessedColumn(source, distinct, _guess(source, distinct, decimal_comma, month_first))


def guess_category(distinct: Distinct) -> CategoryGuess:
    """Return the column as categories, whatever their number."""
    missing = never_values(distinct)
    known = distinct.without(missing)
    maybe = maybe_missing_category(known)
    rarest = int(known.counts[-1]) if len(known) else 0
    return CategoryGuess(tuple(known.texts), tuple(missing), tuple(maybe), rarest)


def _guess(source: str, distinct: Distinct, decimal_comma: bool, month_first: bool) -> Guess:
    known = distinct.without(never_values(distinct))
    useless = _why_useless(source, known)
    if useless is not None:
        return TextGuess(useless)
    dates = guess_dates(distinct, month_first)
    if dates is not None:
        return dates
    numbers = guess_numbers(distinct, decimal_comma)
    if numbers is not None:
        sequence = numbers.whole and _is_sequence(numbers, known)
        return TextGuess("it counts the rows") if sequence else _unless_constant(numbers)
    if _are_categories(known):
        return guess_category(distinct)
    return TextGuess(_why_text(known))


def _why_useless(source: str, known: Distinct) -> str | None:
    if not known.known:
        return "it is always empty"
    if len(known) == 1 and not known.missing:
        return "it is always the same"
    return "its name is that of an id" if is_id(source) and len(known) > _FEW_CATEGORIES else None


def _unless_constant(numbers: NumberGuess) -> Guess:
    if len(numbers.numbers) == 1 and not numbers.codes.special:
        return TextGuess("every number in it is the same")
    return numbers


def _is_sequence(numbers: NumberGuess, known: Distinct) -> bool:
    """Whether every row has the next whole number."""
    size = len(numbers.numbers)
    return size > 30 and size == known.rows and max(numbers.numbers) - min(numbers.numbers) == size - 1


def _are_categories(known: Distinct) -> bool:
    if len(known) > MOST_CATEGORIES or int(known.texts.str.len_chars().max() or 0) > _LONGEST_CATEGORY:  # type: ignore[arg-type]
        return False
    return known.known >= _FEWEST_PER_CATEGORY * len(known) or (
        len(known) <= _FEW_CATEGORIES and known.known > 2 * len(known)
    )


def _why_text(known: Distinct) -> str:
    if looks_signed(known):
        return "it holds amounts with a sign such as % or $; remove the sign where the file is made to use them"
    if len(known) >= _ID_SHARE * known.known:
        return "nearly every row has its own text, as ids and free text do"
    if len(known) > MOST_CATEGORIES:
        return f"it has {len(known):,} different texts; group them where the file is made to use them as categories"
    return "it has too few rows for each of its texts to be categories"
