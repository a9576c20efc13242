"""Texts and numbers that stand for a value that is not known."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from credit_scoring.core.drafting.distinct import Distinct

NEVER_A_VALUE = frozenset(
    (
        *("na", "n/a", "n.a.", "n.a", "#n/a", "#n/a n/a", "<na>", "nan", "-nan", "null", "#null!", "(null)", "nil"),
        *("n/d", "n.d.", "n.d", "#n/d", "s/d", "s/i", "n/c", "n/r", "#nv", "#n/v", "#wert!", "#valor!", "#valeur!"),
        *("?", "??", "-", "--", "---", ".", "..", "\\n", "#value!", "#div/0!", "#ref!", "nat", "xna"),
    )
)
"""These mean nothing else in any column."""

_VALUE_OF_A_CATEGORY = frozenset(
    (
        *("none", "unknown", "missing", "undefined", "not available", "not known", "not applicable", "not stated"),
        *("empty", "unbekannt", "keine angabe", "k.a.", "k. a.", "fehlt", "inconnu", "desconocido", "desconhecido"),
        *("sem informação", "sem informacao", "não informado", "nao informado", "não disponível", "ignorado"),
        *("sin datos", "sin dato", "sin información", "sin informacion", "no disponible", "no informado"),
        *("non renseigné", "non renseigne", "non disponible", "nicht verfügbar", "nicht bekannt", "sconosciuto"),
        *("onbekend", "inf", "+inf", "-inf", "infinity", "-infinity"),
    )
)
"""These may be an answer like any other where answers are words, but not where they are numbers or dates."""

_LOWEST_STATE = -9
_NINES = tuple(float("9" * digits) for digits in range(2, 10))
_KNOWN_CODES = frozenset({365243.0, 1e6 - 1, *_NINES, *(-nines for nines in _NINES), -1000.0, -2000.0, -10000.0})
_STEP = 2
_MOST_SENTINELS = 6
_GAP = 3
"""A code stands apart when it is so many times the largest other value."""

_FREQUENT = 0.005
_FEWEST = 5
_AMOUNTS_FROM = 20
"""Below this largest value, negative numbers may be steps of the same scale rather than codes."""

FIRST_DAYS = ("1900-01-01", "1899-12-30", "1899-12-31", "1970-01-01", "1753-01-01", "0001-01-01", "1800-01-01")
LAST_DAYS = ("9999-12-31", "2999-12-31", "2099-12-31", "9999-01-01", "3000-01-01")


@dataclass(frozen=True, slots=True)
class Codes:
    """Numbers that are no amounts: states of their own, texts that mean missing, and what only may be one."""

    special: tuple[float, ...] = ()
    missing: tuple[float, ...] = ()
    maybe: tuple[float, ...] = ()


def never_values(distinct: Distinct) -> list[str]:
    """Return the texts that mean 'not known' in any column."""
    return [text for text in distinct.texts if text.casefold() in NEVER_A_VALUE]


def no_numbers(distinct: Distinct) -> list[str]:
    """Return the texts that mean 'not known' where the others are numbers or dates."""
    return [text for text in distinct.texts if text.casefold() in NEVER_A_VALUE | _VALUE_OF_A_CATEGORY]


def maybe_missing_category(distinct: Distinct) -> list[str]:
    """Return the texts that are declared as categories here and may mean 'not known'."""
    return [text for text in distinct.texts if text.casefold() in _VALUE_OF_A_CATEGORY]


def codes_among(numbers: Mapping[float, int]) -> Codes:
    """Return which of the ``numbers``, each with its count of rows, stand apart from the others.

    Several negative states beside amounts or far below them, and a frequent value of nines far beyond all others, are
    taken as codes; a single -1, and anything nearer or rarer, is only told.
    """
    rows = sum(numbers.values())
    states = sorted(n for n in numbers if _LOWEST_STATE <= n < 0 and n.is_integer())
    known = sorted(n for n in numbers if n in _KNOWN_CODES)
    found = Codes(special=_sentinels(numbers, rows))
    numbers = {n: count for n, count in numbers.items() if n not in found.special}
    states = [n for n in states if n not in found.special]
    known = [n for n in known if n not in found.special]
    if states and not any(n < 0 for n in numbers if n not in states and n not in known):
        others = [n for n in numbers if n >= 0 and n not in known]
        clear = len(states) > 1 and max(others, default=0) >= _AMOUNTS_FROM and _tight(states)
        frequent = _is_frequent(sum(numbers[n] for n in states), rows)
        found = (
            Codes(special=(*found.special, *states))
            if clear and frequent
            else Codes(found.special, maybe=tuple(states))
        )
    for code in known:
        others = [abs(n) for n in numbers if n != code and n not in found.special and n not in found.missing]
        found = _with_known(found, code, max((n for n in others if n not in _KNOWN_CODES), default=0), numbers, rows)
    return found


def _sentinels(numbers: Mapping[float, int], rows: int) -> tuple[float, ...]:
    """Several frequent negative numbers, such as -99 and -98, that lie far below all others; none if there is one."""
    odd = [n for n in numbers if n < _LOWEST_STATE and n.is_integer() and _is_frequent(numbers[n], rows)]
    odd = sorted(n for n in odd if _is_made_up(n) or any(n != other and abs(n - other) <= _STEP for other in odd))
    others = [n for n in numbers if n not in odd]
    if not 1 < len(odd) <= _MOST_SENTINELS or len(others) <= len(odd):
        return ()
    lowest = min(n for n in others if n not in range(_LOWEST_STATE, 0)) if max(others) >= 0 else min(others)
    apart = lowest - max(odd)
    return tuple(odd) if apart > abs(_LOWEST_STATE) and (lowest >= 0 or apart >= max(others) - lowest) else ()


def _is_made_up(number: float) -> bool:
    """Whether it is a known code, or one digit again and again, such as -8888."""
    return number in _KNOWN_CODES or len(set(f"{abs(number):.0f}")) == 1


def _with_known(found: Codes, code: float, largest: float, numbers: Mapping[float, int], rows: int) -> Codes:
    apart = abs(code) >= _GAP * max(largest, 1) and (code < 0 or code > 9)
    lonely_negative = code < 0 and not any(n < 0 for n in numbers if n != code and n not in _KNOWN_CODES)
    if (apart or lonely_negative) and _is_frequent(numbers[code], rows) and len(numbers) > 3:
        return Codes(found.special, (*found.missing, code), found.maybe)
    if apart or lonely_negative:
        return Codes(found.special, found.missing, (*found.maybe, code))
    return found


def _tight(states: list[float]) -> bool:
    """Whether codes lie side by side, as those that somebody has made up do."""
    return all(after - before <= _STEP for before, after in pairwise(states))


def _is_frequent(count: int, rows: int) -> bool:
    return count >= max(_FEWEST, _FREQUENT * rows)
