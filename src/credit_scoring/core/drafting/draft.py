"""Received rows to a drafted declaration: what is declared, what was seen, and what somebody should look at."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import polars as pl

from credit_scoring.core.declaration_checks import RESERVED
from credit_scoring.core.drafting.columns import (
    CategoryGuess,
    Guess,
    GuessedColumn,
    TextGuess,
    guess_category,
    guess_column,
)
from credit_scoring.core.drafting.copies import copies
from credit_scoring.core.drafting.cutoffs import too_few
from credit_scoring.core.drafting.dates import DateGuess, has_month_first
from credit_scoring.core.drafting.decision_dates import choose_decision_date, dates_after
from credit_scoring.core.drafting.keys import KeyGuess, choose_key
from credit_scoring.core.drafting.leaks import leak_of
from credit_scoring.core.drafting.names import valid_names
from credit_scoring.core.drafting.numbers import NumberGuess, has_decimal_comma
from credit_scoring.core.drafting.outcomes import OutcomeGuess, find_target, judge_outcome
from credit_scoring.core.drafting.seen import seen_in
from credit_scoring.core.drafting.words import is_protected, is_proxy
from credit_scoring.core.errors import ContractError, DeclarationError
from credit_scoring.core.leaks import Leak

_MOST_GROUPS = 12
"""Codes of a protected attribute, beyond which it is an amount such as an age."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user has asked for: names are received ones; ``as_of`` is the day of decision for every row."""

    name: str
    target: str | None = None
    key: str | None = None
    bad: tuple[str, ...] = ()
    bad_above: float | None = None
    as_of: date | None = None


@dataclass(frozen=True, slots=True)
class DraftedColumn:
    """A column to declare: ``keys`` as in the declaration; ``seen`` and ``suggested`` go into its comment."""

    name: str
    source: str
    keys: Mapping[str, Any]
    seen: tuple[str, ...] = ()
    suggested: tuple[str, ...] = ()

    @property
    def is_feature(self) -> bool:
        """Whether models will read it by default."""
        return self.keys["type"] != "text" and not (self.keys.get("protected") or self.keys.get("after_outcome"))


@dataclass(frozen=True)
class Draft:
    """A drafted declaration.

    ``rows`` were looked at, all of them where ``whole``. ``today`` is the day of the draft, and ``as_of`` that of the
    decisions. ``leaks``, ``protected`` and ``notes`` are what somebody should look at, by declared name.
    """

    name: str
    rows: int
    whole: bool
    today: date
    as_of: date
    as_of_is_given: bool
    key: KeyGuess
    missing: tuple[str, ...]
    columns: tuple[DraftedColumn, ...]
    outcome: OutcomeGuess
    outcome_name: str
    leaks: Mapping[str, str]
    protected: tuple[str, ...]
    decision_date: str | None
    notes: tuple[str, ...] = field(default=())

    @property
    def features(self) -> tuple[DraftedColumn, ...]:
        """Columns that models will read."""
        return tuple(column for column in self.columns if column.is_feature)


def draft_portfolio(rows: pl.DataFrame, wishes: Wishes, today: date, whole: bool = True) -> Draft:
    """Draft a declaration of ``rows``.

    Args:
        rows: Received text, a column each, null or blank where missing.
        wishes: Name of the portfolio, target, and what else the user knows.
        today: Day of the draft.
        whole: Whether these are all rows of the file.

    Raises:
        ContractError: If there is no row.
        DeclarationError: If target, key or bad values are not what they should be, or no column is left to learn from.
    """
    if not rows.height:
        raise ContractError("The file has a header and no rows, so there is nothing to look at. Ask for it again.")
    guessed = _guess_all(rows)
    target = find_target(rows.columns, wishes.target, guessed)
    received = next(column.distinct for column in guessed if column.source == target)
    outcome = judge_outcome(target, received, wishes.bad, wishes.bad_above)
    key = choose_key(guessed, target, wishes.key)
    names = valid_names((source for source in rows.columns if source != key.key), RESERVED)
    others = [column for column in guessed if column.source not in (target, key.key)]
    is_bad = outcome.is_bad(rows[target])
    leaks = {c.source: found for c in others if (found := leak_of(c, rows[c.source], is_bad)) is not None}
    missing = _table_missing(others)
    left_out = {source for source, leak in leaks.items() if leak.sure}
    decided = choose_decision_date(others, left_out)
    remarks = copies(others, rows) | (dates_after(decided, others, left_out, rows) if decided is not None else {})
    drafted = {
        column.source: _drafted(column, names[column.source], missing, leaks.get(column.source), remarks, today)
        for column in others
    }
    if decided is not None:
        seen = (*drafted[decided].seen, "looks like the day of the decision: see 'as_of'")
        drafted[decided] = replace(drafted[decided], seen=seen)
    drafted[target] = DraftedColumn(names[target], target, _without(outcome.column(), missing), ("the outcome",))
    draft = Draft(
        name=wishes.name,
        rows=rows.height,
        whole=whole,
        today=today,
        as_of=wishes.as_of or today,
        as_of_is_given=wishes.as_of is not None,
        key=key,
        missing=missing,
        columns=tuple(drafted[source] for source in rows.columns if source in drafted),
        outcome=outcome,
        outcome_name=names[target],
        leaks={names[source]: leak.why for source, leak in leaks.items() if leak.sure},
        protected=tuple(column.name for column in drafted.values() if column.keys.get("protected")),
        decision_date=names[decided] if decided is not None else None,
        notes=tuple(_notes(others, names, outcome, leaks, remarks)),
    )
    _require_features(draft)
    return draft


def _guess_all(rows: pl.DataFrame) -> list[GuessedColumn]:
    """Guess each column, those that leave something open again in the light of the others."""
    first = [guess_column(source, rows[source]) for source in rows.columns]
    comma = any(has_decimal_comma(c.guess) for c in first if isinstance(c.guess, NumberGuess))
    month = any(has_month_first(c.guess) for c in first if isinstance(c.guess, DateGuess))
    return [
        guess_column(c.source, c.distinct, comma, month)
        if (comma or month) and isinstance(c.guess, NumberGuess | DateGuess) and c.guess.ambiguous
        else c
        for c in first
    ]


def _groups_of(column: GuessedColumn) -> GuessedColumn:
    """Return a protected attribute of few codes as categories: fairness is measured between groups."""
    guess = column.guess
    if isinstance(guess, NumberGuess) and guess.whole and len(guess.numbers) <= _MOST_GROUPS and not guess.faulty:
        return replace(column, guess=guess_category(column.distinct))
    return column


def _table_missing(columns: Sequence[GuessedColumn]) -> tuple[str, ...]:
    """Texts that mean 'not known' in some column and are a value in none, so that the table can name them."""
    named = {text for c in columns for text in c.guess.declared().get("missing", ()) if not _is_amount(text)}
    values = {text for c in columns if isinstance(c.guess, CategoryGuess) for text in c.guess.values}
    return tuple(sorted(named - values))


def _is_amount(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _without(keys: Mapping[str, Any], table_missing: Sequence[str]) -> dict[str, Any]:
    """Return a column's keys without the texts that the table names already."""
    own = [text for text in keys.get("missing", ()) if text not in table_missing]
    return {k: v for k, v in keys.items() if k != "missing"} | ({"missing": own} if own else {})


def _drafted(
    column: GuessedColumn,
    name: str,
    missing: Sequence[str],
    leak: Leak | None,
    remarks: Mapping[str, str],
    today: date,
) -> DraftedColumn:
    column = _groups_of(column) if is_protected(column.source) else column
    keys = _without(column.guess.declared(), missing)
    seen, suggested = seen_in(column, today)
    usable = not isinstance(column.guess, TextGuess)
    if column.missing_rows or not usable:
        keys["nullable"] = True
    if column.source in remarks:
        seen = (*seen, remarks[column.source])
    if usable and is_protected(column.source):
        keys["protected"] = True
        seen = (*seen, "PROTECTED by its name: kept for measuring fairness, never a feature")
    elif is_proxy(column.source):
        seen = (*seen, "where somebody lives may stand for a protected attribute")
    if leak is not None and leak.sure and usable:
        keys["after_outcome"] = True
        seen = (*seen, f"LIKELY LEAK: {leak.why}; remove 'after_outcome' only if it is known at the decision")
    elif leak is not None and usable:
        seen = (*seen, f"LOOK: {leak.why}")
    return DraftedColumn(name, column.source, keys, seen, suggested)


def _notes(
    columns: Sequence[GuessedColumn],
    names: Mapping[str, str],
    outcome: OutcomeGuess,
    leaks: Mapping[str, Leak],
    remarks: Mapping[str, str],
) -> Iterator[str]:
    """What somebody should look at; columns of which the same is to be said are named together."""
    few = too_few(outcome.bads, outcome.judged - outcome.bads)
    if few:
        yield few
    told: dict[str, list[str]] = {}
    for column in columns:
        leak = leaks.get(column.source)
        about = [*([leak.why] if leak and not leak.sure else []), *_doubts(column.guess)]
        about += [remarks[column.source]] if column.source in remarks else []
        for text in about:
            told.setdefault(text, []).append(names[column.source])
    yield from (f"{', '.join(named)}: {text}" for text, named in told.items())


def _doubts(guess: Guess) -> Iterator[str]:
    if isinstance(guess, TextGuess) and guess.why.startswith("it holds amounts"):
        yield guess.why
    if isinstance(guess, NumberGuess) and guess.ambiguous:
        yield "comma or point may group thousands or begin a fraction"
    if isinstance(guess, DateGuess) and guess.ambiguous:
        yield "day and month may be the other way round"
    if isinstance(guess, NumberGuess) and guess.codes.maybe:
        codes = ", ".join(f"{code:g}" for code in guess.codes.maybe)
        yield f"{codes} may be a code for 'not known'; declared as an amount"
    if isinstance(guess, NumberGuess | DateGuess) and guess.faulty:
        yield f"{guess.faulty:,} row(s) hold something else and will be set aside"


def _require_features(draft: Draft) -> None:
    if draft.features:
        return
    because = "; ".join(f"{c.name}: {', '.join(c.seen)}" for c in draft.columns if c.name != draft.outcome_name)
    raise DeclarationError(
        f"No column is left that a model could learn from. {because or 'There is no other column.'} "
        f"Bring columns with numbers, dates or categories that are known at the decision."
    )
