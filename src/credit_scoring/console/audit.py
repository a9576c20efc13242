"""Verifies the chains of decision records, and keeps or compares their newest links."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from credit_scoring.adapters.database.audit import AuditRepository
from credit_scoring.adapters.database.engine import existing_database
from credit_scoring.adapters.files import replaced_file
from credit_scoring.core.audit import BadRecord, ChainAudit, Head
from credit_scoring.core.errors import AuditError
from credit_scoring.environment import Environment

_FORMAT = 1
_MOST_SHOWN = 50
_PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Verification:
    """What is verified: chains that hold records of ``portfolio`` (None: all), against the links kept in ``heads``.

    The newest links are written to ``write_heads``, if every record is as it was written.
    """

    portfolio: str | None = None
    heads: Path | None = None
    write_heads: Path | None = None


@dataclass(slots=True)
class Progress:
    """Tells every few seconds how far a long walk is."""

    doing: str
    tell: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    total: int | None = None
    _told_at: float | None = None

    def at(self, done: int) -> None:
        """Tell, when it is time."""
        now = self.clock()
        if self._told_at is None:
            self._told_at = now
        elif now - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = now
            self.tell(f"{self.doing} {done:,}" + (f" of {self.total:,}" if self.total is not None else "") + " ...")


@contextmanager
def audited_database() -> Iterator[Engine]:
    """Give the database as it is: an audit neither creates nor migrates anything.

    Raises:
        AuditError: If there is none.
    """
    engine = existing_database(Environment().database_url)
    if engine is None:
        raise AuditError("There is no database to audit. Set CREDIT_DATABASE_URL, or change to the right directory.")
    try:
        yield engine
    finally:
        engine.dispose()


def verify(asked: Verification, tell: Callable[[str], None], progress: Callable[[str], None]) -> bool:
    """Walk through the chains and tell what is wrong; return whether nothing is.

    Raises:
        AuditError: If there is no database, or a file of links cannot be read or written.
        RecordsError: If the records cannot be read.
    """
    kept = [] if asked.heads is None else _kept_links(asked.heads, asked.portfolio)
    if asked.write_heads is not None:
        _require_free(asked.write_heads, asked.heads)
    audit, bad = ChainAudit(kept), 0
    with audited_database() as engine:
        for number, found in enumerate(_bad_records(audit, engine, asked.portfolio, progress), 1):
            bad = number
            if number <= _MOST_SHOWN:
                tell(_told(found, is_first=number == 1))
    if bad > _MOST_SHOWN:
        tell(f"... and {bad - _MOST_SHOWN:,} more.")
    tell(_summary(audit, bad))
    if asked.write_heads is not None and not bad:
        _write_links(asked.write_heads, audit, asked.portfolio)
        tell(
            f"Wrote the newest link of each writer to '{asked.write_heads}'. Keep it where the database's owner cannot."
        )
    return not bad


def printable(text: str) -> str:
    """Return ``text``, of which a database may hold any, without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _bad_records(
    audit: ChainAudit, engine: Engine, portfolio: str | None, tell: Callable[[str], None]
) -> Iterator[BadRecord]:
    progress = Progress("Verified", tell)
    for entry in AuditRepository(engine).walk(portfolio):
        found = audit.take(entry)
        progress.at(audit.records)
        if found is not None:
            yield found
    yield from audit.missing()


def _told(bad: BadRecord, *, is_first: bool) -> str:
    decision = "" if bad.decision_id is None else f" (decision {bad.decision_id})"
    what = "First bad record" if is_first else "Bad record"
    return printable(f"{what}: writer {bad.writer}, record {bad.sequence}{decision}: {'; '.join(bad.wrong)}.")


def _summary(audit: ChainAudit, bad: int) -> str:
    period = "" if audit.first is None or audit.last is None else f", decided {_day(audit.first)} to {_day(audit.last)}"
    found = "all as they were written" if not bad else f"{bad:,} bad"
    return f"{audit.records:,} records of {len(audit.heads):,} writers{period}: {found}."


def _kept_links(path: Path, portfolio: str | None) -> list[Head]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        links = [Head(str(one["writer"]), int(one["sequence"]), str(one["hash"])) for one in told["links"]]
        of, known = told["portfolio"], told["format"] == _FORMAT
    except OSError as exc:
        raise AuditError(f"Cannot read '{path}': {exc.strerror}. Write it with 'audit verify --write-heads'.") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise AuditError(f"'{path}' is not what 'audit verify --write-heads' wrote. Take a copy that is.") from exc
    if not known or of != portfolio:
        which = "all portfolios" if of is None else f"the portfolio '{of}'"
        raise AuditError(f"'{path}' was written for {which} in format {told['format']}. Verify the same with it.")
    return links


def _require_free(path: Path, compared: Path | None) -> None:
    """Refuse to replace links that were kept, unless they are compared first: they prove what is gone."""
    if path.exists() and (compared is None or not path.samefile(compared)):
        raise AuditError(f"'{path}' exists. Compare with it ('--heads {path}') in the same run, or name another file.")


def _write_links(path: Path, audit: ChainAudit, portfolio: str | None) -> None:
    links = [head._asdict() for head in sorted(audit.heads.values())]
    told = {"format": _FORMAT, "portfolio": portfolio, "written_at": datetime.now(UTC).isoformat(), "links": links}
    try:
        with replaced_file(path) as staged:
            staged.write_text(json.dumps(told, indent=1), encoding="utf-8")
    except OSError as exc:
        raise AuditError(f"Cannot write '{path}': {exc.strerror}. Name a file that can be written.") from exc


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%MZ")
