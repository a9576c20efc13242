"""Whether stored records are the ones that were written, found out from their hash chains."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from credit_scoring.core.chains import GENESIS, link
from credit_scoring.core.records import DecisionRecord, record_of

_NOT_A_RECORD = (ValueError, LookupError, TypeError, AttributeError)


class Entry(NamedTuple):
    """A record as the database gives it, of which nothing is believed yet.

    ``decided_at`` is None where the column holds no moment, ``sequence`` 0 where it holds no number; ``content`` is
    UTF-8 unless somebody changed it.
    """

    decision_id: str
    tenant: str
    portfolio: str
    application_id: str
    applicant_id: str
    decided_at: datetime | None
    writer: str
    sequence: int
    previous_hash: str
    hash: str
    content: bytes


class Head(NamedTuple):
    """A place in a writer's chain and the hash that stands there."""

    writer: str
    sequence: int
    hash: str


class Chained(NamedTuple):
    """A stored record and the link before it, None where there is none."""

    entry: Entry
    before: Head | None


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A place in a chain and everything that is wrong there; ``decision_id`` is None where no record is left."""

    writer: str
    sequence: int
    decision_id: str | None
    wrong: Sequence[str]


@dataclass(slots=True)
class ChainAudit:
    """Checks entries as they come, writer by writer in order of sequence, and remembers each writer's newest link.

    ``kept`` are links that were kept elsewhere earlier: without them nobody sees that a chain's newest records were
    removed, or that a whole chain was written anew.
    """

    kept: Iterable[Head] = ()
    records: int = 0
    first: datetime | None = None
    last: datetime | None = None
    heads: dict[str, Head] = field(default_factory=dict)
    _kept: dict[str, Head] = field(init=False)

    def __post_init__(self) -> None:
        """Have what was kept at hand."""
        self._kept = {head.writer: head for head in self.kept}

    def take(self, entry: Entry) -> BadRecord | None:
        """Check the next entry; return what is wrong with it, None when nothing is."""
        wrong = faults_of(Chained(entry, self.heads.get(entry.writer)))
        kept = self._kept.get(entry.writer)
        if kept is not None and kept.sequence == entry.sequence and kept.hash != entry.hash:
            wrong.append("its hash is not the one that was kept: the chain was written anew up to here")
        self.heads[entry.writer] = Head(entry.writer, entry.sequence, entry.hash)
        self._count(entry)
        return BadRecord(entry.writer, entry.sequence, entry.decision_id, wrong) if wrong else None

    def missing(self) -> Iterator[BadRecord]:
        """Return, after the last entry, where chains end before the links that were kept."""
        for kept in self._kept.values():
            found = self.heads.get(kept.writer)
            first = 1 if found is None else found.sequence + 1
            if first <= kept.sequence:
                told = f"{kept.sequence - first + 1:,} newest record(s) that were kept are removed"
                yield BadRecord(kept.writer, first, None, [told if found else f"{told}, which is the whole chain"])

    def _count(self, entry: Entry) -> None:
        self.records += 1
        moment = entry.decided_at
        if moment is not None:
            self.first = moment if self.first is None or moment < self.first else self.first
            self.last = moment if self.last is None or moment > self.last else self.last


def faults_of(chained: Chained) -> list[str]:
    """Return what is wrong with a record and its link, nothing when all is as it was written."""
    entry, before = chained
    return [*_misplaced(entry, before), *_changed(entry), *_not_repeated(entry)]


def record_in(entry: Entry) -> DecisionRecord | None:
    """Return the record that an entry holds, None when its content is not one."""
    try:
        return record_of(entry.content.decode())
    except _NOT_A_RECORD:
        return None


def _misplaced(entry: Entry, before: Head | None) -> Iterator[str]:
    expected = 1 if before is None else before.sequence + 1
    if entry.sequence < 1:
        yield "its sequence is not a place in a chain"
    elif entry.sequence != expected:
        missing = entry.sequence - expected
        yield f"a gap: {missing:,} record(s) before it are missing" if missing > 0 else "its place is taken twice"
    elif entry.previous_hash != (GENESIS if before is None else before.hash):
        yield "its previous hash is not the hash of the record before it"


def _changed(entry: Entry) -> Iterator[str]:
    try:
        told = entry.content.decode()
    except ValueError:
        yield "its hash does not fit its content"
        return
    if link(entry.writer, entry.sequence, entry.previous_hash, told).hash != entry.hash:
        yield "its hash does not fit its content"


def _not_repeated(entry: Entry) -> Iterator[str]:
    record = record_in(entry)
    if record is None:
        yield "its content is not a record"
        return
    told = {
        "decision_id": record.answer.decision_id,
        "tenant": record.owner.tenant,
        "portfolio": record.owner.portfolio,
        "application_id": record.answer.application_id,
        "applicant_id": record.answer.applicant_id,
        "decided_at": record.decided_at,
    }
    other = [name for name, value in told.items() if getattr(entry, name) != value]
    if other:
        yield f"not as in its content: column(s) {', '.join(other)}"
