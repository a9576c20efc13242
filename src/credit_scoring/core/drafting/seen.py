"""What was seen in a column, in words for the comment beside its declaration; no values but bounds and categories."""

from datetime import date

from credit_scoring.core.drafting.columns import CategoryGuess, Guess, GuessedColumn, TextGuess
from credit_scoring.core.drafting.dates import DateGuess
from credit_scoring.core.drafting.numbers import NumberGuess
from credit_scoring.core.drafting.ranges import is_small_count
from credit_scoring.core.drafting.yaml_text import flow, scalar

_RARE = 0.001


def seen_in(column: GuessedColumn, today: date) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what was seen, and keys that may be the better choice, as text."""
    seen, suggested = _about(column.guess, column, today)
    missing = column.missing_rows
    if missing and not isinstance(column.guess, TextGuess):
        seen.append(f"missing in {missing:,} rows ({missing / column.distinct.rows:.1%})")
    return tuple(seen), tuple(suggested)


def _about(guess: Guess, column: GuessedColumn, today: date) -> tuple[list[str], list[str]]:
    match guess:
        case NumberGuess():
            return _number(guess)
        case DateGuess():
            return _date(guess, today)
        case CategoryGuess():
            return _category(guess, column)
    return [f"left out: {guess.why}"], []


def _number(guess: NumberGuess) -> tuple[list[str], list[str]]:
    low, high = min(guess.numbers), max(guess.numbers)
    seen, suggested = [f"seen {scalar(low)} to {scalar(high)}"], []
    if guess.whole and is_small_count(guess.numbers):
        seen[0] += ", which look like counts, so that 'max' leaves room"
    if guess.codes.special:
        special = ", ".join(scalar(code) for code in guess.codes.special)
        seen.append(f"{special} stand apart: taken as states of their own, say what they mean")
    if guess.codes.missing:
        missing = ", ".join(scalar(code) for code in guess.codes.missing)
        seen.append(f"{missing} is frequent and far from all others: taken as missing")
    if guess.codes.maybe:
        codes = [scalar(code) for code in guess.codes.maybe]
        special = ", ".join(f"{code}: what it means" for code in codes)
        suggested.append(
            f"{', '.join(codes)} may stand for 'not known'. If so: special: {{{special}}} with a min above, or "
            f"missing: [{', '.join(codes)}], nullable: true"
        )
    if guess.ambiguous:
        seen.append("AMBIGUOUS: a mark before three digits may group thousands or begin a fraction")
    if guess.listed and not suggested:
        codes = [scalar(number) for number in guess.listed]
        suggested.append(f"If these are codes without an order: type: category, values: [{', '.join(codes)}]")
    if guess.faulty:
        seen.append(f"{guess.faulty:,} row(s) hold no number and will be set aside")
    return seen, suggested


def _date(guess: DateGuess, today: date) -> tuple[list[str], list[str]]:
    seen = [f"seen {guess.first} to {guess.last}"]
    if guess.ambiguous:
        seen.append("AMBIGUOUS: day and month may be the other way round, every date can be read both ways")
    if guess.last >= today:
        seen.append("some lie after the day of this draft")
    if guess.faulty:
        seen.append(f"{guess.faulty:,} row(s) hold no such date and will be set aside")
    return seen, []


def _category(guess: CategoryGuess, column: GuessedColumn) -> tuple[list[str], list[str]]:
    seen, suggested = [f"{len(guess.values)} categories, most frequent first"], []
    if guess.rarest < _RARE * column.distinct.rows:
        seen.append(f"the rarest occurs {guess.rarest:,} time(s)")
    folded = {value.casefold() for value in guess.values}
    if len(folded) < len(guess.values):
        seen.append("some differ in capitals only; {received: readable} gives them one name")
    if guess.maybe_missing:
        named = flow(list(guess.maybe_missing))
        suggested.append(
            f"If {named} means that nothing is known: take it out of the values; missing: {named}, nullable: true"
        )
    return seen, suggested
