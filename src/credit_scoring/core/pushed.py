"""Pushed events: a message as it came, the event it holds, and what became of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from credit_scoring.core.facts import Value

LARGEST_MESSAGE = 1_000_000
"""Bytes of a message's fields; an event is one row, and none of a declared table comes near."""

LONGEST_ID = 128
"""Characters of an applicant's or event's id, and of a stream's or table's name, that the store holds."""

_TABLE, _EVENT = b"table", b"event"
_KEPT_OF_A_LARGE_ONE = 10_000
_LAST_ORDER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Message:
    """A pushed message as it came.

    ``source`` is the stream's name and ``message_id`` the id that the stream gave it, ``<ms>-<number>``;
    ``received_at`` is when it was first read. ``table`` is what it names ('' for nothing), ``received`` its event as
    JSON text: an object, or a string where it is something else.
    """

    source: str
    message_id: str
    received_at: datetime
    table: str
    received: str

    @property
    def name(self) -> str:
        """Name of the message among those of all streams: the event's id where its table declares none."""
        return f"{self.source}/{self.message_id}"

    @property
    def order(self) -> tuple[int, int]:
        """Place of the message in its stream, and by time among those of several."""
        moment, _, number = self.message_id.partition("-")
        return min(int(moment), _LAST_ORDER), min(int(number or 0), _LAST_ORDER)

    @property
    def digest(self) -> str:
        """SHA-256 of what was received."""
        return hashlib.sha256(self.received.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class PushedEvent:
    """An event that met its table's contract; dates among ``values`` are ISO 8601.

    ``known_at`` is None where the table does not declare it: the event is then known from when it occurred.
    """

    message: Message
    event_id: str
    applicant_id: str
    occurred_at: datetime
    known_at: datetime | None
    values: Mapping[str, Value]

    @property
    def key(self) -> tuple[str, str]:
        """Table and event id: what is stored once."""
        return self.message.table, self.event_id

    def agrees_with(self, applicant_id: str, occurred_at: datetime, values: Mapping[str, Value]) -> bool:
        """Whether an event of the same id says the same; when it became known, and new columns, do not matter."""
        same = self.applicant_id == applicant_id and self.occurred_at == occurred_at
        return same and all(values[name] == value for name, value in self.values.items() if name in values)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message that no event could be made of: in quarantine, under ``rule``, until a retry re-admits it."""

    message: Message
    event_id: str
    column: str
    rule: str
    reason: str
    readmitted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of messages: events stored, copies of what is stored or set aside already, messages set aside."""

    stored: int = 0
    copies: int = 0
    set_aside: int = 0

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.stored + other.stored, self.copies + other.copies, self.set_aside + other.set_aside)

    @property
    def messages(self) -> int:
        """All of them: none is lost."""
        return self.stored + self.copies + self.set_aside


@dataclass(frozen=True, slots=True)
class Added:
    """What became of events whose sender is told: events stored, copies of those stored before, contradictions.

    ``refused`` contradict an event of their id that came first; where there are any, nothing is stored.
    """

    stored: int = 0
    copies: int = 0
    refused: tuple[PushedEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Lag:
    """How far consumers are behind producers: messages in hand, messages waiting (where the server counts them), time.

    ``seconds`` lie between the newest message and the newest that was given out.
    """

    in_hand: int
    waiting: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Readmitted:
    """What became of a retry: events stored, those that were there already, and those refused again."""

    stored: int
    copies: int
    refused: tuple[SetAside, ...]


def contradicting(event: PushedEvent) -> SetAside:
    """Return an event to set aside because another of its id, with other content, came first."""
    reason = "another event of this id, with other content, came first and stays"
    return SetAside(event.message, event.event_id, "", "unique", reason)


def read_message(
    source: str, message_id: str, fields: Mapping[bytes, bytes], received_at: datetime
) -> Message | SetAside:
    """Return a message of a stream; one without a table's name and a text of event is to be set aside.

    Args:
        source: The stream's name.
        message_id: The id that the stream gave.
        fields: ``table``, a name, and ``event``, a JSON object of the columns as they are received.
        received_at: The present moment.
    """
    size = sum(len(name) + len(value) for name, value in fields.items())
    if size > LARGEST_MESSAGE:
        start = fields.get(_EVENT, b"")[:_KEPT_OF_A_LARGE_ONE].decode(errors="backslashreplace")
        message = _unusable(source, message_id, start, received_at)
        reason = f"the message has {size:,} bytes, {LARGEST_MESSAGE:,} are allowed; its start is kept here"
        return SetAside(message, message.name, "", "size", reason)
    told = {name.decode(errors="backslashreplace"): value for name, value in fields.items()}
    if not {"table", "event"} <= told.keys():
        whole = {name: value.decode(errors="backslashreplace") for name, value in told.items()}
        message = _unusable(source, message_id, json.dumps(whole), received_at)
        return SetAside(message, message.name, "", "message", "the message needs the fields 'table' and 'event'")
    try:
        table, event = fields[_TABLE].decode(), fields[_EVENT].decode()
    except UnicodeDecodeError:
        start = fields[_EVENT].decode(errors="backslashreplace")
        message = _unusable(source, message_id, start, received_at)
        return SetAside(message, message.name, "", "encoding", "the message is not UTF-8 text")
    return Message(source, message_id, received_at, _storable(table), event)


def dates_as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return ``frame`` with every moment as ISO 8601 in UTC, as facts are stored."""
    return frame.with_columns(pl.selectors.datetime().dt.to_string("%Y-%m-%dT%H:%M:%S%.f%:z"))


def date_as_text(moment: datetime) -> str:
    """Return one moment as ``dates_as_text`` does: with as many digits of a second as it has, none, three or six."""
    digits = "seconds" if not moment.microsecond else "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.astimezone(UTC).isoformat(timespec=digits)


def _storable(table: str) -> str:
    """Return a table's name that the store can hold; one that this changes is none that is declared."""
    return table.encode("ascii", "backslashreplace").decode().replace("\0", "\\0")[:LONGEST_ID]


def _unusable(source: str, message_id: str, received: str, received_at: datetime) -> Message:
    return Message(source, message_id, received_at, "", json.dumps(received))
