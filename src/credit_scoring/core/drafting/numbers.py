"""Columns of numbers: how they are written, what stands among them, and between which bounds they lie."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from credit_scoring.core.drafting.distinct import Distinct
from credit_scoring.core.drafting.missing_values import Codes, codes_among, no_numbers
from credit_scoring.core.drafting.ranges import bounds_around
from credit_scoring.core.parsing import parsed
from credit_scoring.core.portfolio import LARGEST_EXACT_INTEGER, Column

_MARKS: tuple[tuple[str, str | None], ...] = (
    *((".", None), (",", None), (".", ","), (",", "."), (".", "'"), (".", " "), (",", " "), (",", "'")),
)
_TRIED = 2_000
_MOST_FAULTY = 0.005
"""Share of rows that may hold no number and be set aside for it."""

_MOST_WORDS = 3
_MOST_LISTED = 12
_GROUPED = r"^[+-]?\d{1,3}([.,]\d{3})+$"
_LEADING_ZERO = r"^0\d+$"
_SIGNED = re.compile(r"^[+-]?\s*[$€£¥₹%]?\s*[+-]?[\d.,'\s]+\s*(%|[$€£¥₹]|[A-Z]{3}|[kKmM])?$")


@dataclass(frozen=True, slots=True)
class NumberGuess:
    """A column of numbers: what to declare, and what was seen.

    ``numbers`` are the amounts by count of rows, without codes; ``faulty`` rows hold something else.
    ``ambiguous`` tells that a comma or point may group thousands or begin a fraction.
    """

    whole: bool
    decimal: str
    thousands: str | None
    missing: tuple[str, ...]
    codes: Codes
    numbers: Mapping[float, int]
    faulty: int = 0
    ambiguous: bool = False
    missing_codes: tuple[str, ...] = field(default=())

    def declared(self) -> dict[str, Any]:
        """Return the keys of the column that follow."""
        low, high = bounds_around(self.numbers, self.whole)
        about: dict[str, Any] = {"type": "integer" if self.whole else "number", "min": low, "max": high}
        if self.codes.special:
            about["special"] = {code: f"code {code:g}" for code in self.codes.special}
        if self.missing or self.missing_codes:
            about["missing"] = [*self.missing, *self.missing_codes]
        if self.decimal != ".":
            about["decimal"] = self.decimal
        if self.thousands is not None:
            about["thousands"] = self.thousands
        return about

    def values_of(self, distinct: Distinct) -> pl.Series:
        """Return the number that each text means, null where none."""
        return _values(distinct, (self.decimal, self.thousands))

    @property
    def listed(self) -> tuple[float, ...]:
        """The amounts when they are few and whole, so that they may be codes; else nothing."""
        few = self.whole and 2 < len(self.numbers) <= _MOST_LISTED
        return tuple(sorted(self.numbers)) if few else ()


def guess_numbers(distinct: Distinct, decimal_comma: bool = False) -> NumberGuess | None:
    """Return how a column of numbers is to be declared; None if it is none.

    Args:
        distinct: Its texts.
        decimal_comma: Whether other columns of the file surely write fractions with a comma.
    """
    missing = no_numbers(distinct)
    known = distinct.without(missing)
    if not known.known or _all(known, _LEADING_ZERO, some=True):
        return None
    marks = _best_marks(known)
    if marks is None:
        return None
    ambiguous = marks in ((",", None), (".", None)) and _may_be_grouped(known)
    if ambiguous and (marks[0] == "," or decimal_comma):
        marks = (".", ",") if marks[0] == "," else (",", ".")
        if decimal_comma and marks == (".", ","):
            marks = (",", None)
    return _read(known, missing, marks, ambiguous)


def _read(known: Distinct, missing: list[str], marks: tuple[str, str | None], ambiguous: bool) -> NumberGuess | None:
    values = _values(known, marks)
    words = known.where(values.is_null())
    if words.known and not _few_faulty(words, known):
        if len(words) > _MOST_WORDS or len(known) - len(words) <= 10 or words.known > known.known / 2:
            return None
        if int(words.counts[-1]) < max(5, _MOST_FAULTY * known.known):
            return None
        missing = [*missing, *words.texts]
        words = words.head(0)
    read = pl.DataFrame({"text": known.texts, "value": values, "rows": known.counts}).filter(values.is_not_null())
    if read.filter(pl.col("value").abs() > LARGEST_EXACT_INTEGER).height:
        return None
    counts = read.group_by("value").agg(pl.col("rows").sum()).sort("value")
    numbers = dict(zip(counts["value"].to_list(), counts["rows"].to_list(), strict=True))
    codes = codes_among(numbers)
    amounts = {n: count for n, count in numbers.items() if n not in {*codes.special, *codes.missing}}
    if not amounts:
        codes, amounts = Codes(), numbers
    spelt = read.filter(pl.col("value").is_in(list(codes.missing)))["text"].to_list()
    return NumberGuess(
        whole=bool((counts["value"] == counts["value"].round()).all()),
        decimal=marks[0],
        thousands=marks[1],
        missing=tuple(missing),
        codes=codes,
        numbers=amounts,
        faulty=words.known,
        ambiguous=ambiguous,
        missing_codes=tuple(spelt),
    )


def looks_signed(distinct: Distinct) -> bool:
    """Whether the texts are amounts with a sign such as % or $, which cannot be declared."""
    texts = distinct.head(200).texts.to_list()
    signed = any(not re.fullmatch(r"[\d.,'\s+-]*", text) for text in texts)
    return signed and all(_SIGNED.match(text) and any(c.isdigit() for c in text) for text in texts)


def has_decimal_comma(guess: NumberGuess | None) -> bool:
    """Whether the column surely writes fractions with a comma."""
    return guess is not None and guess.decimal == "," and not guess.ambiguous


def _best_marks(known: Distinct) -> tuple[str, str | None] | None:
    """The marks by which most rows are numbers, the plain ones if several are; None if hardly any is."""
    tried = known.head(_TRIED)
    if int(_values(tried, _MARKS[0]).is_not_null().sum()) == len(tried):
        return _MARKS[0]
    read = {marks: int(tried.where(_values(tried, marks).is_not_null()).known) for marks in _MARKS}
    best = max(read, key=lambda marks: read[marks])
    return best if read[best] * 2 >= tried.known else None


def _may_be_grouped(known: Distinct) -> bool:
    """Whether every comma or point stands before three digits."""
    marked = known.where(known.texts.str.contains("[.,]"))
    return bool(len(marked)) and _all(marked, _GROUPED) and not marked.texts.str.contains(r"^[+-]?0[.,]").any()


def _values(distinct: Distinct, marks: tuple[str, str | None]) -> pl.Series:
    column = Column.model_validate({"type": "number", "decimal": marks[0], "thousands": marks[1]})
    return distinct.texts.to_frame("text").select(parsed(pl.col("text"), column)).to_series()


def _few_faulty(words: Distinct, known: Distinct) -> bool:
    return words.known <= _MOST_FAULTY * known.known


def _all(distinct: Distinct, pattern: str, some: bool = False) -> bool:
    found = distinct.texts.str.contains(pattern)
    return bool(found.any() if some else found.all())
