"""Bounds around observed amounts: as tight as they are where they are natural, else rounded outwards."""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise

from credit_scoring.core.portfolio import LARGEST_EXACT_INTEGER

_NICE = (1, 2, 5, 10)
_SMALL_CODE = 10
_LARGEST_SMALL_COUNT = 20
_RARE = 0.01


def bounds_around(numbers: Mapping[float, int], whole: bool) -> tuple[Decimal, Decimal]:
    """Return a smallest and a largest allowed amount that hold all ``numbers``, each with its count of rows.

    From 0 to 1 stays so, and few whole numbers that all occur; other bounds are rounded outwards, to leave room for
    what was not received yet.
    """
    low, high = (Decimal(repr(edge)) for edge in (min(numbers), max(numbers)))
    if whole and is_small_count(numbers):
        return Decimal(0), max(Decimal(_SMALL_CODE), _nice_above(2 * high))
    if (whole and _are_codes(numbers)) or (low >= 0 and high <= 1):
        return (low if whole else Decimal(0), high if whole else Decimal(1))
    span = max(high - low, Decimal(1) if whole else (abs(high) or Decimal(1)) / 100)
    step = Decimal(10) ** span.adjusted()
    rounded_low = (low / step).to_integral_value(ROUND_FLOOR) * step
    if low < 0:
        rounded_low = -_nice_above(-low)
    elif low <= 2 * span:
        rounded_low = Decimal(0)
    near_zero = rounded_low <= 0 < high
    rounded_high = _nice_above(high) if near_zero else (high / step).to_integral_value(ROUND_CEILING) * step
    limit = Decimal(LARGEST_EXACT_INTEGER)
    return max(rounded_low, -limit) + 0, min(rounded_high, limit) + 0


def is_small_count(numbers: Mapping[float, int]) -> bool:
    """Whether whole numbers from 0 on get ever rarer, as counts of events do: new ones may well be larger."""
    ordered = [numbers[number] for number in sorted(numbers)]
    falling = all(after < before for before, after in pairwise(ordered))
    return min(numbers) == 0 and 1 < max(numbers) <= _LARGEST_SMALL_COUNT and len(numbers) > 2 and falling


def _are_codes(numbers: Mapping[float, int]) -> bool:
    """Whether these look like answers 1 to 5 rather than like counts, whose largest is rare."""
    low, high = min(numbers), max(numbers)
    if low < 0 or high > _SMALL_CODE or len(numbers) != high - low + 1:
        return False
    return high == 1 or numbers[high] >= _RARE * sum(numbers.values())


def _nice_above(high: Decimal) -> Decimal:
    unit = Decimal(10) ** high.adjusted()
    return next(unit * nice for nice in _NICE if unit * nice >= high)
