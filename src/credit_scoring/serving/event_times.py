"""Times of sent events that cannot be true."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from credit_scoring.api.decisions import Json
from credit_scoring.api.problems import Fault
from credit_scoring.serving.http_errors import pointer

Place = tuple[str | int, ...]


def time_faults(tables: Mapping[str, Sequence[Json]], at: Place = (), *, latest: datetime | None = None) -> list[Fault]:
    """Return the faults of checked rows by table: known before they occurred, or later than ``latest``.

    Args:
        tables: Rows with ``occurred_at`` and, where it is told, ``known_at``.
        at: Where the tables stand in the body.
        latest: The present moment, None where later rows are allowed.
    """
    return [
        fault
        for table, rows in tables.items()
        for place, row in enumerate(rows)
        if latest is not None or "known_at" in row
        for fault in _faults(row, (*at, table, place), latest)
    ]


def _faults(row: Json, place: Place, latest: datetime | None) -> Iterator[Fault]:
    occurred_at, known_at = row["occurred_at"], row.get("known_at")
    for name, moment in (("occurred_at", occurred_at), ("known_at", known_at)):
        if latest is not None and moment is not None and moment > latest:
            yield Fault(pointer=pointer((*place, name)), code="in_future", detail="must have passed")
    if known_at is not None and known_at < occurred_at:
        told = "must not lie before 'occurred_at': nothing is known before it occurs"
        yield Fault(pointer=pointer((*place, "known_at")), code="known_too_early", detail=told)
