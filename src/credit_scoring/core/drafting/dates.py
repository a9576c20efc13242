"""Columns of dates: the formats they are written in, and whether day and month can be told apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Any

import polars as pl

from credit_scoring.core.drafting.distinct import Distinct
from credit_scoring.core.drafting.missing_values import FIRST_DAYS, LAST_DAYS, no_numbers
from credit_scoring.core.parsing import parsed
from credit_scoring.core.portfolio import Column

_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_DAY_FIRST = ("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%d.%m.%y", "%d/%m/%y", "%d-%m-%y")
_MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%m-%d-%y")
_OTHERS = (
    *(
        "%Y-%m-%d",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%d-%b-%Y",
        "%d %b %Y",
        "%d%b%Y",
        "%b %d, %Y",
        "%d-%b-%y",
        "%d %B %Y",
        "%B %d, %Y",
    ),
    *("%b-%Y", "%b %Y", "%b-%y", "%Y-%m", "%m/%Y", "%m.%Y", "%Y%m%dT%H%M%S"),
)
_DIGITS = {8: "%Y%m%d", 6: "%y%m%d"}
_SHAPE = r"^[\p{L}\d .,:/+\-]{5,40}$"
_TRIED = 1_000
_MOST_FORMATS = 3
_MOST_WORDS = 3
_MOST_FAULTY = 0.005
_YEARS = (1900, 2100)
_FREQUENT = 0.005
_FEWEST_SIX_DIGITS = 30
"""So many different numbers of six digits that are all days are no accident."""


@dataclass(frozen=True, slots=True)
class DateGuess:
    """A column of dates: ``formats`` empty for ISO 8601, texts that mean missing, first and last day.

    ``ambiguous`` tells that day and month may be the other way round; ``faulty`` rows hold something else.
    """

    formats: tuple[str, ...]
    missing: tuple[str, ...]
    first: date
    last: date
    faulty: int = 0
    ambiguous: bool = False

    def declared(self) -> dict[str, Any]:
        """Return the keys of the column that follow; new dates will be later, so that no last day is declared."""
        about: dict[str, Any] = {"type": "date", "min": date(self.first.year - self.first.year % 10, 1, 1)}
        if self.formats:
            about["formats"] = list(self.formats)
        if self.missing:
            about["missing"] = list(self.missing)
        return about


def guess_dates(distinct: Distinct, month_first: bool = False) -> DateGuess | None:
    """Return how a column of dates is to be declared; None if it is none.

    Args:
        distinct: Its texts.
        month_first: Whether other columns of the file surely write the month first.
    """
    missing = no_numbers(distinct)
    missing += _words(distinct.without(missing))
    known = distinct.without(missing)
    formats = _formats(known, month_first) if known.known else None
    if formats is None:
        return None
    days = _days(known, formats)
    read = known.where(days.is_not_null())
    if read.known < known.known * (1 - _MOST_FAULTY):
        return None
    stand_in = _stand_ins(read, days.drop_nulls())
    shown = days.drop_nulls().filter(~read.texts.is_in(stand_in))
    first, last = shown.min(), shown.max()
    if not isinstance(first, date) or not isinstance(last, date):
        return None
    ambiguous = any(_swapped(form) for form in formats) and _both_ways(known, formats)
    return DateGuess(formats, (*missing, *stand_in), first, last, known.known - read.known, ambiguous)


def _words(known: Distinct) -> list[str]:
    """Texts without a digit that occur again and again beside others: whatever they say, it is no date."""
    words = known.where(~known.texts.str.contains(r"\d"))
    few = 0 < len(words) <= _MOST_WORDS and words.known < known.known / 2
    return words.texts.to_list() if few and int(words.counts[-1]) >= _FREQUENT * known.known else []


def has_month_first(guess: DateGuess | None) -> bool:
    """Whether the column surely writes the month before the day."""
    return guess is not None and not guess.ambiguous and any(form.startswith(_MONTH_FIRST) for form in guess.formats)


def _formats(known: Distinct, month_first: bool) -> tuple[str, ...] | None:
    """The fewest formats that read nearly all rows, of those tried on the most frequent texts; () for ISO."""
    tried = known.head(_TRIED)
    if not _plausible_shape(tried):
        return None
    if _read_by(tried, ()) == tried.known:
        return ()
    candidates = [*_candidates(tried, month_first)]
    chosen: tuple[str, ...] = ()
    reads = {form: _read_by(tried, (form,)) for form in candidates}
    for form in sorted(candidates, key=lambda form: -reads[form]):
        if reads[form] and _read_by(tried, (*chosen, form)) > _read_by(tried, chosen) * bool(chosen):
            chosen = (*chosen, form)
        if len(chosen) == _MOST_FORMATS or _read_by(tried, chosen) == tried.known:
            break
    if not chosen or _read_by(tried, chosen) < tried.known * (1 - 10 * _MOST_FAULTY):
        return () if _read_by(tried, ()) >= tried.known * (1 - 10 * _MOST_FAULTY) else None
    return chosen


def _plausible_shape(tried: Distinct) -> bool:
    shaped = tried.texts.str.contains(_SHAPE) & tried.texts.str.contains(r"\d")
    plain_number = tried.texts.str.contains(r"^[+-]?\d*[.,]?\d+$")
    return bool(shaped.sum() >= 0.9 * len(tried)) and (not plain_number.any() or _has_days_of_digits(tried))


def _has_days_of_digits(tried: Distinct) -> bool:
    lengths = set(tried.texts.str.len_chars().to_list())
    return bool(tried.texts.str.contains(r"^\d+$").all()) and lengths in ({8}, {6})


def _candidates(tried: Distinct, month_first: bool) -> Iterator[str]:
    if _has_days_of_digits(tried):
        size = len(tried.texts[0])
        if size == 8 or len(tried) >= _FEWEST_SIX_DIGITS:
            yield _DIGITS[size]
        return
    ordered = (*_MONTH_FIRST, *_DAY_FIRST) if month_first else (*_DAY_FIRST, *_MONTH_FIRST)
    for form, time in product((*ordered, *_OTHERS), _TIMES if tried.texts.str.contains(":").any() else ("",)):
        yield form + time


def _days(distinct: Distinct, formats: tuple[str, ...]) -> pl.Series:
    """The days that the texts mean; null where none."""
    column = Column(type="date", formats=formats)
    return distinct.texts.to_frame("text").select(parsed(pl.col("text"), column)).to_series().dt.date()


def _read_by(distinct: Distinct, formats: tuple[str, ...]) -> int:
    days = _days(distinct, formats)
    plausible = days.dt.year().is_between(*_YEARS) | days.cast(pl.String).is_in([*FIRST_DAYS, *LAST_DAYS])
    return distinct.where(plausible.fill_null(value=False)).known


def _stand_ins(read: Distinct, days: pl.Series) -> list[str]:
    """Texts of days that stand for 'not known': frequent, and far from all others."""
    told = days.cast(pl.String)
    odd = told.is_in([*FIRST_DAYS, *LAST_DAYS])
    others = days.filter(~odd)
    if not odd.any() or not others.len():
        return []
    first, last = others.min(), others.max()
    frequent = read.counts >= max(5, _FREQUENT * read.known)
    years = days.dt.year()
    apart = (years < first.year - 10) | (years > last.year + 10)  # type: ignore[union-attr] # dates
    return read.texts.filter(odd & frequent & apart).to_list()


def _swapped(form: str) -> str | None:
    for one, other in (("%d/%m", "%m/%d"), ("%d-%m", "%m-%d")):
        if one in form:
            return form.replace(one, other)
        if other in form and "%Y-%m-%d" not in form and "%Y/%m/%d" not in form:
            return form.replace(other, one)
    return None


def _both_ways(known: Distinct, formats: tuple[str, ...]) -> bool:
    other = tuple(_swapped(form) or form for form in formats)
    return len(formats) == 1 and _read_by(known, other) == _read_by(known, formats)
