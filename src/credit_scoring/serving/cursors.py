"""Cursors of lists: where the next page begins, as text that only the service reads."""

import base64
import binascii
from datetime import UTC, datetime

from credit_scoring.core.ids import is_id
from credit_scoring.core.records import DecisionRecord, Place
from credit_scoring.serving.problems import RefusedBodyError


def cursor_after(record: DecisionRecord) -> str:
    """Return the cursor of the page that begins after ``record``."""
    told = f"{record.decided_at.astimezone(UTC).isoformat()} {record.answer.decision_id}"
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def place_in(cursor: str | None) -> Place | None:
    """Return the place that a cursor names, None without one.

    Raises:
        RefusedBodyError: If it is not a cursor that this service gave.
    """
    if cursor is None:
        return None
    try:
        told = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        moment, _, decision_id = told.partition(" ")
        decided_at = datetime.fromisoformat(moment)
    except (binascii.Error, ValueError) as exc:
        raise _unusable() from exc
    if decided_at.tzinfo is None or not is_id(decision_id):
        raise _unusable()
    return Place(decided_at, decision_id)


def _unusable() -> RefusedBodyError:
    return RefusedBodyError(
        "invalid_parameter", "'cursor' is not one that a page gave as 'next'. Start without a cursor."
    )
