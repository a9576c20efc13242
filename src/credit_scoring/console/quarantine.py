"""Shows what is set aside, from files and from streams, and has it checked again."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.errors import ContractError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.pushed import SetAside
from credit_scoring.environment import Environment
from credit_scoring.usecases.accept_events import EventIntake, Retried

CONF = Path("conf")
_ROWS_AT_ONCE = 50_000
_MOST_FAULTS = 20

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """Which set-aside rows are shown, and how."""

    portfolio: str
    table: str | None = None
    rule: str | None = None
    limit: int = 50
    values: bool = False
    as_json: bool = False


def listed(shown: Shown) -> Iterator[str]:
    """Yield a line for each row that is set aside, then how many there are by rule; as JSON, the rows alone.

    What was received, and the key of its row, are shown only where ``values`` asks for them.

    Raises:
        DeclarationError: If the portfolio is not declared.
        ContractError: If the quarantine of files cannot be read.
        RecordsError: If the database cannot be read.
    """
    _declared(shown.portfolio)
    rules: Counter[tuple[str, str, str]] = Counter()
    for row in chain(_of_files(shown.portfolio, shown.table), _of_streams(shown.portfolio, shown.table)):
        if shown.rule is None or shown.rule in row["rule"].split("; "):
            rules[row["table"], row["rule"], row["column"]] += 1
            if rules.total() <= shown.limit:
                yield from _as_lines(row, shown)
    if not shown.as_json:
        yield from _summary(rules, shown.limit)
        if not _quarantine_file(shown.portfolio).exists():
            yield f"No files of '{shown.portfolio}' were ingested yet: 'kedro run --env={shown.portfolio}' does it."


def retried(name: str, table: str | None) -> Iterator[str]:
    """Re-admit rows of files and pushed messages that now meet their contract, and yield what became of all.

    Raises:
        DeclarationError: If the portfolio is not declared.
        ContractError: If the quarantine of files cannot be read.
        RecordsError: If the database cannot be read or written.
    """
    portfolio = _declared(name)
    environment = Environment()
    with opened(environment.database_url) as engine:
        intake = EventIntake(portfolio, environment.owner(name), PushedEventRepository(engine))
        yield from _told(intake.retry(table))
    yield from _files_told(portfolio, table)


def _declared(name: str) -> Portfolio:
    return read_portfolio(CONF / name / "portfolio.yml")


def _quarantine_file(portfolio: str) -> Path:
    return Path("data/2_validated") / portfolio / "quarantine.parquet"


def _batches_of_files(portfolio: str, table: str | None) -> Iterator[pl.DataFrame]:
    path = _quarantine_file(portfolio)
    if not path.exists():
        return
    rows = pl.scan_parquet(path)
    if table is not None:
        rows = rows.filter(table=table)
    try:
        yield from rows.collect_batches(chunk_size=_ROWS_AT_ONCE, maintain_order=True)
    except (pl.exceptions.PolarsError, OSError) as exc:
        raise ContractError(
            f"'{path}' cannot be read ({type(exc).__name__}). Run 'kedro run --env={portfolio} --pipeline=ingestion'."
        ) from exc


def _of_files(portfolio: str, table: str | None) -> Iterator[Row]:
    for batch in _batches_of_files(portfolio, table):
        yield from batch.iter_rows(named=True)


def _of_streams(portfolio: str, table: str | None) -> Iterator[Row]:
    environment = Environment()
    with opened(environment.database_url) as engine:
        yield from map(_row, PushedEventRepository(engine).set_aside(environment.owner(portfolio), table))


def _row(found: SetAside) -> Row:
    return {
        "table": found.message.table,
        "source": found.message.source,
        "event_id": found.event_id,
        "message_id": found.message.message_id,
        "received_at": found.message.received_at.isoformat(),
        "column": found.column,
        "rule": found.rule,
        "reason": found.reason,
        "received": found.message.received,
    }


def _as_lines(row: Row, shown: Shown) -> Iterator[str]:
    if shown.as_json:
        yield json.dumps({name: row[name] for name in row if shown.values or name not in ("received", "row_key")})
        return
    where = f"event {row['event_id']}" if "event_id" in row else f"row {row['row_number']}"
    column = f" on {row['column']}" if row["column"] else ""
    yield _printable(f"{row['table'] or '?'}  {row['source']}, {where}  rule '{row['rule']}'{column}: {row['reason']}")
    if shown.values:
        yield _printable(f"    {row['received']}")


def _printable(text: str) -> str:
    """Return ``text`` without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _summary(rules: Counter[tuple[str, str, str]], limit: int) -> Iterator[str]:
    rows = rules.total()
    yield f"{rows:,} rows are set aside." if rows <= limit else f"{rows:,} rows are set aside, {limit:,} are shown."
    for (table, rule, column), count in rules.most_common(_MOST_FAULTS):
        yield _printable(f"  {count:,}  {table or '?'}  rule '{rule}'{f' on {column}' if column else ''}")


def _told(done: Retried) -> Iterator[str]:
    by_table = ", ".join(f"{count:,} {table}" for table, count in sorted(done.readmitted.items()))
    copies = f", of which {done.copies:,} repeat events that came meanwhile" if done.copies else ""
    yield f"{done.readmitted.total():,} pushed events re-admitted{f' ({by_table})' if by_table else ''}{copies}."
    yield from _still("pushed messages", done.still)


def _still(what: str, faults: Counter[tuple[str, str, str, str]]) -> Iterator[str]:
    if not faults:
        return
    yield f"{faults.total():,} {what} still fail:"
    for (table, column, rule, reason), count in faults.most_common(_MOST_FAULTS):
        where = f" on {column}" if column else ""
        yield _printable(f"  {count:,}  {table or '?'}  rule '{rule}'{where}: {reason}")


def _files_told(portfolio: Portfolio, table: str | None) -> Iterator[str]:
    """Re-admit rows of files, which makes the validated tables anew, and tell what became of them."""
    if not _quarantine_file(portfolio.name).exists():
        return
    from credit_scoring.pipelines.readmission import readmit_files  # noqa: PLC0415 - Kedro takes seconds to import

    done = readmit_files(portfolio, CONF, table)
    left = done.tables.quarantined if table is None else done.tables.quarantined.filter(table=table)
    if not left.height and not done.readmitted:
        return
    by_table = ", ".join(f"{count:,} {name}" for name, count in sorted(done.readmitted.items()) if count)
    yield f"{sum(done.readmitted.values()):,} rows of files re-admitted{f' ({by_table})' if by_table else ''}."
    yield from _still("rows of files", Counter(left.select("table", "column", "rule", "reason").rows()))
    if by_table:
        yield f"Run 'kedro run --env={portfolio.name} --pipeline=features' and what follows for models that know them."
