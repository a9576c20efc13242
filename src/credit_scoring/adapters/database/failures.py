"""What the database reports, in the words of this package."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from credit_scoring.core.errors import RecordsError


@contextmanager
def told_as_records_error(doing: str) -> Iterator[None]:
    """Turn any failure of the database into ``RecordsError``; ``doing`` completes "The database failed while".

    The driver's own words stay in the chained exception: they may quote the values of a statement.
    """
    try:
        yield
    except SQLAlchemyError as exc:
        raise RecordsError(
            f"The database failed while {doing} ({type(exc).__name__}). Nothing was changed; check that it is "
            f"reachable, not locked and has free disk space, then try again."
        ) from exc
