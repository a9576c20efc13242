"""Sums and slopes of one applicant's numbers, the same to the bit as those of a plan over tables."""

from collections.abc import Callable, Iterable, Sequence
from operator import mul

from credit_scoring.core.features.moments import DAYS_PER_MONTH

Number = float | None
Add = Callable[[Sequence[float]], float]

Times = tuple[Sequence[float], float, float]
"""Days from each event to the newest of them, their sum, and their spread, which is zero for one event or moment."""


def added(values: Iterable[float]) -> float:
    """Return the compensated sum (Kahan 1965) of ``values``, as Polars and pandas add up what is left of a group."""
    total = lost = 0.0
    for value in values:
        term = value - lost
        grown = total + term
        lost = (grown - total) - term
        total = grown
    return total


def times_of(days_ago: Sequence[float]) -> Times:
    """Return what a slope needs to know of the moments of its numbers, the oldest first; see ``slope``."""
    if not days_ago:
        return (), 0.0, 0.0
    soonest = days_ago[-1]
    ago = [days - soonest for days in days_ago]
    t = added(ago)
    return ago, t, len(ago) * added(map(mul, ago, ago)) - t * t


def slope(numbers: Sequence[float], lowest: Number, times: Times, add: Add) -> Number:
    """Return the least-squares slope per ``DAYS_PER_MONTH``, None below two distinct times.

    See ``WindowedFeatures``: the same sums of the same terms. ``add`` adds up what ``numbers`` have above ``lowest``.
    """
    ago, t, spread = times
    if lowest is None or not spread > 0:
        return None
    n = len(numbers)
    above = [number - lowest for number in numbers]
    return -DAYS_PER_MONTH * (n * added(map(mul, ago, above)) - t * add(above)) / spread
