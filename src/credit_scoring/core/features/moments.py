"""Moments as whole microseconds since 1970, which every engine compares and subtracts alike."""

import narwhals as nw

AS_OF = "_as_of"
OCCURRED_AT = "_occurred_at"
KNOWN_AT = "_known_at"

DAYS_PER_MONTH = 30.0
"""Length of the month in which trends and times are stated; a unit, not a calendar."""

PER_MONTH = 1 / DAYS_PER_MONTH
DAYS_PER_SECOND = 1 / 86_400
"""Factors rather than divisors: some engines divide by a constant as if it were a factor, which rounds otherwise."""

MICROSECONDS_PER_SECOND = 1_000_000
MICROSECONDS_PER_DAY = 86_400 * MICROSECONDS_PER_SECOND


def days_between(earlier: nw.Expr, later: nw.Expr) -> nw.Expr:
    """Return days and their fraction between two moments in microseconds, to the whole second below."""
    return ((later - earlier) // MICROSECONDS_PER_SECOND).cast(nw.Float64) * DAYS_PER_SECOND
