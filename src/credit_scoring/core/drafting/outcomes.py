"""Which column tells the outcome, and which of its values are bad, good, or neither."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from credit_scoring.core.drafting.columns import GuessedColumn
from credit_scoring.core.drafting.distinct import Distinct
from credit_scoring.core.drafting.missing_values import Codes, never_values
from credit_scoring.core.drafting.names import normalised
from credit_scoring.core.drafting.numbers import NumberGuess, guess_numbers
from credit_scoring.core.drafting.words import is_id, is_protected, is_target, is_yes, name_says, value_says
from credit_scoring.core.errors import DeclarationError, nearest

_MOST_OUTCOMES = 20
_LISTED = 8
_NAMED = 40


@dataclass(frozen=True)
class OutcomeGuess:
    """What the target's values mean.

    ``labels`` has 'bad', 'good', 'indeterminate' or 'excluded' for each text; ``why`` tells what that was read from,
    and ``sure`` whether it was read at all rather than supposed. ``missing`` are texts that mean not known.
    Of amounts such as days late those ``above`` a number are bad.
    """

    source: str
    distinct: Distinct
    labels: dict[str, str]
    why: str
    sure: bool
    missing: tuple[str, ...] = ()
    whole: bool = False
    above: float | None = None
    amounts: NumberGuess | None = None
    counts: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("bad", "good", "indeterminate", "excluded"), 0)
        for text, rows in zip(self.distinct.texts, self.distinct.counts, strict=True):
            counts[self.labels[text]] += rows
        object.__setattr__(self, "counts", counts)

    @property
    def bads(self) -> int:
        """Rows with a bad outcome."""
        return self.counts["bad"]

    @property
    def judged(self) -> int:
        """Rows with a good or bad outcome."""
        return self.counts["bad"] + self.counts["good"]

    @property
    def bad_rate(self) -> float:
        """Share of the bad among good and bad."""
        return self.bads / self.judged

    def column(self) -> dict[str, Any]:
        """Return the target's keys as a column."""
        if self.amounts is not None:
            nullable = {"nullable": True} if self.distinct.missing else {}
            return self.amounts.declared() | nullable | {"after_outcome": True}
        about: dict[str, Any] = {"type": "integer" if self.whole else "category"}
        if self.whole:
            numbers = [int(float(text)) for text in self.labels]
            about |= {"min": min(numbers), "max": max(numbers)}
        else:
            about["values"] = list(self.distinct.texts)
        if self.missing:
            about["missing"] = list(self.missing)
        if self.distinct.missing:
            about["nullable"] = True
        return about | {"after_outcome": True}

    def rules(self) -> dict[str, Any]:
        """Return the values of each label, or bounds of them, as 'outcome' declares them."""
        if self.above is not None:
            return {"bad": {"above": self.above}, "good": {"at_most": self.above}}
        found: dict[str, list[Any]] = {}
        for text, label in self.labels.items():
            value = int(float(text)) if self.whole else text
            if value not in found.setdefault(label, []):
                found[label].append(value)
        return {label: found[label] for label in ("bad", "good", "indeterminate", "excluded") if label in found}

    def is_bad(self, received: pl.Series) -> pl.Series:
        """Return 1.0 for bad, 0.0 for good, null for neither, row by row."""
        codes = {text: {"bad": 1.0, "good": 0.0}.get(label) for text, label in self.labels.items()}
        return received.str.strip_chars().replace_strict(codes, default=None, return_dtype=pl.Float64)


def find_target(sources: Sequence[str], wanted: str | None, columns: Sequence[GuessedColumn]) -> str:
    """Return the target's received name; ``wanted`` may differ from it in case and signs.

    Raises:
        DeclarationError: If there is no such column, or none is wanted; candidates are named.
    """
    if wanted is None:
        likely = _candidates(columns)
        told = f" Likely: {', '.join(repr(name) for name in likely)}." if likely else ""
        raise DeclarationError(f"Name the column that tells what became of each loan with --target.{told}")
    if wanted in sources:
        return wanted
    same = [source for source in sources if normalised(source) == normalised(wanted)]
    if len(same) == 1:
        return same[0]
    named = [source for source in sources if source.isprintable()]
    shown = ", ".join(named[:_NAMED]) + (", ..." if len(sources) > min(len(named), _NAMED) else "")
    raise DeclarationError(f"There is no column '{wanted}' for --target.{nearest(wanted, named)} There are: {shown}.")


def _candidates(columns: Sequence[GuessedColumn]) -> list[str]:
    def rank(column: GuessedColumn) -> tuple[bool, bool]:
        return (is_target(column.source), len(column.distinct) == 2)

    likely = [
        c
        for c in columns
        if 2 <= len(c.distinct) <= _MOST_OUTCOMES
        and any(rank(c))
        and not (is_protected(c.source) or is_id(c.source))
        and c.source.isprintable()
    ]
    return [c.source for c in sorted(likely, key=rank, reverse=True)[:_LISTED]]


def judge_outcome(source: str, distinct: Distinct, bad: Sequence[str], bad_above: float | None = None) -> OutcomeGuess:
    """Return which values are bad and which good, by ``bad`` or ``bad_above``, else by words, else by which is rarer.

    Raises:
        DeclarationError: If all is missing, there is one value only, there are too many, or nothing tells which is bad.
    """
    if bad_above is not None:
        return _by_amount(source, distinct, bad, bad_above)
    missing = never_values(distinct)
    known = distinct.without(missing)
    _require_outcomes(source, known, bad)
    whole = all(_is_whole(text) for text in known.texts)
    if bad:
        labels, why, sure = _as_asked(source, known, bad), "as asked for", True
    else:
        labels, why, sure = _by_words(source, known) or _by_name(source, known) or _by_rarity(source, known)
    guess = OutcomeGuess(source, known, labels, why, sure, tuple(missing), whole)
    for label in ("bad", "good"):
        if not guess.counts[label]:
            raise DeclarationError(
                f"No row of '{source}' has a {label} outcome, so there is nothing to learn. Name the bad values with "
                f"--bad, or another column with --target."
            )
    return guess


def _require_outcomes(source: str, known: Distinct, bad: Sequence[str]) -> None:
    if not known.known:
        raise DeclarationError(f"'{source}' is always missing. Name the column with the outcomes with --target.")
    if len(known) == 1:
        raise DeclarationError(
            f"'{source}' has one value only in {known.rows:,} rows; a model needs good and bad outcomes. Name another "
            f"column with --target, or bring rows with both."
        )
    if len(known) > _MOST_OUTCOMES and not bad:
        amounts = guess_numbers(known)
        if amounts is not None and len(amounts.numbers) > 1:
            raise DeclarationError(
                f"'{source}' has {len(amounts.numbers):,} different numbers, from {min(amounts.numbers):g} to "
                f"{max(amounts.numbers):g}. If they are days late or the like, name the number above which an outcome "
                f"is bad, for instance --bad-above 30; else name another column with --target."
            )
        raise DeclarationError(
            f"'{source}' has {len(known):,} different values, which is no outcome of the kind good or bad. Name "
            f"another column with --target, or name its bad values with --bad."
        )


def _by_amount(source: str, distinct: Distinct, bad: Sequence[str], above: float) -> OutcomeGuess:
    """Return amounts above a number as bad and all others as good; what is no amount is not known."""
    amounts = guess_numbers(distinct)
    if bad or amounts is None:
        raise DeclarationError(
            f"--bad names bad values of '{source}', and --bad-above the number above which all are; give one of them."
            if bad
            else f"'{source}' holds no numbers, so none is above {above:g}. Name its bad values with --bad instead."
        )
    values = amounts.values_of(distinct)
    special = distinct.texts.filter(values.is_in(list(amounts.codes.special)))
    amounts = replace(amounts, codes=Codes(), missing_codes=(*amounts.missing_codes, *special))
    known = distinct.without((*amounts.missing, *amounts.missing_codes))
    values = amounts.values_of(known)
    known, values = known.where(values.is_not_null()), values.drop_nulls()
    labels = {text: "bad" if value > above else "good" for text, value in zip(known.texts, values, strict=True)}
    for label, side in (("bad", "above"), ("good", "at most")):
        if label not in labels.values():
            raise DeclarationError(
                f"No row of '{source}' is {side} {above:g}; it goes from {min(amounts.numbers):g} to "
                f"{max(amounts.numbers):g}. Name a number between them with --bad-above."
            )
    return OutcomeGuess(source, known, labels, "as asked for", sure=True, above=above, amounts=amounts)


def _is_whole(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return "_" not in text and number.is_integer() and abs(number) < 2**53 and text.strip("+-0123456789.eE") == ""


def _as_asked(source: str, known: Distinct, bad: Sequence[str]) -> dict[str, str]:
    texts = known.texts.to_list()
    wanted = {match for value in bad for match in _matching(source, texts, value)}
    rest = {text: value_says(text) for text in texts if text not in wanted}
    some_good = "good" in rest.values()
    labels = dict.fromkeys(wanted, "bad")
    for text, told in rest.items():
        labels[text] = (told if told != "bad" else "excluded") or ("excluded" if some_good else "good")
    if "good" not in labels.values():  # what is not called bad is good, whatever its words
        labels |= dict.fromkeys(rest, "good")
    return {text: labels[text] for text in texts}


def _matching(source: str, texts: Sequence[str], value: str) -> list[str]:
    wanted = value.strip()
    same = [text for text in texts if text == wanted or text.casefold() == wanted.casefold()]
    if not same and _is_whole(wanted):
        same = [text for text in texts if _is_whole(text) and float(text) == float(wanted)]
    if not same:
        known = ", ".join(texts[:_MOST_OUTCOMES])
        raise DeclarationError(
            f"'{source}' never is '{value}', named by --bad.{nearest(wanted, texts)} It is: {known}."
        )
    return same


def _by_words(source: str, known: Distinct) -> tuple[dict[str, str], str, bool] | None:
    told = {text: value_says(text) for text in known.texts}
    if "bad" not in told.values() and "good" not in told.values():
        return None
    if len(told) == 2 and None in told.values():
        other = next(label for label in told.values() if label)
        if other in ("bad", "good"):
            opposite = {"bad": "good", "good": "bad"}[other]
            told = {text: label or opposite for text, label in told.items()}
    if "bad" not in told.values():
        raise DeclarationError(
            f"Nothing tells which values of '{source}' are bad: {', '.join(known.texts)}. Name them with --bad."
        )
    if "good" not in told.values():
        told = {text: label or "good" for text, label in told.items()}
    return {text: label or "excluded" for text, label in told.items()}, "by its words", True


def _by_name(source: str, known: Distinct) -> tuple[dict[str, str], str, bool] | None:
    """For yes and no, or 1 and 0, in a column whose name says what yes means."""
    said, answers = name_says(source), {text: is_yes(text) for text in known.texts}
    if said is None or set(answers.values()) != {True, False}:
        return None
    meaning = {True: said, False: "good" if said == "bad" else "bad"}
    labels = {text: meaning[bool(answer)] for text, answer in answers.items()}
    share = (
        sum(rows for text, rows in zip(known.texts, known.counts, strict=True) if labels[text] == "bad") / known.known
    )
    return (
        labels,
        f"by the name of the column{'' if share <= 0.5 else ', although it is the more frequent one'}",
        share <= 0.5,
    )


def _by_rarity(source: str, known: Distinct) -> tuple[dict[str, str], str, bool]:
    rows: dict[object, int] = {}
    for text, count in zip(known.texts, known.counts, strict=True):
        value = float(text) if _is_whole(text) else text
        rows[value] = rows.get(value, 0) + count
    if len(rows) != 2:
        raise DeclarationError(
            f"Nothing tells which values of '{source}' are bad: {', '.join(known.texts)}. Name them with --bad."
        )
    rarer = min(rows, key=lambda value: rows[value])
    labels = {text: "bad" if (float(text) if _is_whole(text) else text) == rarer else "good" for text in known.texts}
    return labels, "ONLY because it is the rarer value", False
