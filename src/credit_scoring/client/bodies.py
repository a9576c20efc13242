"""Requests' bodies: applications as data, written as the JSON that the service takes."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NotRequired, TypeAlias, TypedDict

from credit_scoring.api.batches import MOST_APPLICATIONS
from credit_scoring.client.errors import UnusableArgumentError

LARGEST_BATCH_BYTES = 30 * 2**20
"""Most bytes of a batch that is sent at once; the service takes a little more."""

Fields: TypeAlias = Mapping[str, Any]
"""Declared fields by name; a moment may be a ``datetime`` with offset, a day a ``date``."""

Events: TypeAlias = Mapping[str, Sequence[Fields]]
"""Rows by declared event table."""


class Application(TypedDict):
    """One application of a batch; without ``application``, stored facts decide."""

    application_id: str
    applicant_id: str
    application: NotRequired[Fields | None]
    events: NotRequired[Events | None]
    as_of: NotRequired[datetime | None]


def written(content: object) -> bytes:
    """Return ``content`` as JSON.

    Raises:
        UnusableArgumentError: If it has what JSON has not, such as NaN; the message names no value.
    """
    try:
        return json.dumps(content, allow_nan=False, default=_told, ensure_ascii=False, separators=(",", ":")).encode()
    except UnusableArgumentError as exc:
        why = str(exc)
    except (TypeError, ValueError, RecursionError):
        why = "it has NaN, an infinity, a lone surrogate, or refers to itself"
    # Raised here: the error above, which may quote a value, is not part of this one.
    raise UnusableArgumentError(f"The body cannot be written as JSON: {why}. Leave missing values out, or give None.")


def application_body(application: Mapping[str, Any]) -> dict[str, Any]:
    """Return an application as it is sent: what is None is left out."""
    return {name: value for name, value in application.items() if value is not None}


def batch_bodies(applications: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Return the bodies of as few batches as the service takes, in the order of ``applications``."""
    chunk: list[bytes] = []
    size = 0
    for application in applications:
        item = written(application_body(application))
        if chunk and (len(chunk) == MOST_APPLICATIONS or size + len(item) > LARGEST_BATCH_BYTES):
            yield _batch(chunk)
            chunk, size = [], 0
        chunk.append(item)
        size += len(item) + 1
    if chunk:
        yield _batch(chunk)


def moment(value: datetime) -> str:
    """Return a moment as RFC 3339 with offset.

    Raises:
        UnusableArgumentError: If it has no offset, and so is not one moment.
    """
    if value.utcoffset() is None:
        raise UnusableArgumentError("a datetime has no offset; give it a 'tzinfo', such as datetime.UTC")
    return value.isoformat()


def _told(value: object) -> str:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    raise UnusableArgumentError(f"it has a {type(value).__name__}, which JSON does not know")


def _batch(items: Sequence[bytes]) -> bytes:
    return b'{"applications":[' + b",".join(items) + b"]}"
