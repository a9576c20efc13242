"""What the database reports, in the words of this package."""

from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError

from credit_scoring.core.errors import RecordsError


class told_as_records_error:  # noqa: N801 - it is used like a function; as a generator it would take three times as long
    """Turn any failure of the database into ``RecordsError``; ``doing`` completes "The database failed while".

    The driver's own words stay in the chained exception: they may quote the values of a statement.
    """

    __slots__ = ("_doing",)

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(exc, SQLAlchemyError):
            raise RecordsError(
                f"The database failed while {self._doing} ({type(exc).__name__}). Nothing was changed; check that it "
                f"is reachable, not locked and has free disk space, then try again."
            ) from exc
