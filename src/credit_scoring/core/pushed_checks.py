"""Checks pushed messages against the contracts that hold for files, and sets aside what breaks them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NoReturn

import polars as pl

from credit_scoring.core.as_text import Number, text_of
from credit_scoring.core.contracts import ReceivedColumn, TableContract, events_contract
from credit_scoring.core.errors import nearest
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.pushed import LONGEST_ID, Message, PushedEvent, SetAside, dates_as_text
from credit_scoring.core.received import MALFORMED_SCHEMA, Batch
from credit_scoring.core.row_checks import check_batch

Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class CheckedMessages:
    """What became of messages: each is in exactly one of the two, in the order in which they came."""

    events: tuple[PushedEvent, ...]
    set_aside: tuple[SetAside, ...]


class _BrokenError(Exception):
    """A message is no row of its table: column, rule, reason."""


def check_messages(messages: Iterable[Message], portfolio: Portfolio) -> CheckedMessages:
    """Check pushed messages one by one: no message, whatever it holds, keeps others from being taken.

    A received column of the contract must be there, null where nothing is known; ``known_at`` alone may be left
    out, and the event is then known from when it was received.
    """
    contracts = {table: pushed_contract(portfolio, table) for table in portfolio.events}
    readable: dict[str, list[tuple[Message, Row]]] = defaultdict(list)
    set_aside: list[SetAside] = []
    for message in messages:
        try:
            row = _row(message, _contract_of(message, contracts))
        except _BrokenError as exc:
            column, rule, reason = exc.args
            set_aside.append(SetAside(_storable(message), message.name, column, rule, reason))
        else:
            readable[message.table].append((message, row))
    checked = [_check_rows(rows, contracts[table], portfolio) for table, rows in readable.items()]
    events = sorted(chain.from_iterable(c.events for c in checked), key=lambda event: event.message.order)
    refused = chain(set_aside, *(c.set_aside for c in checked))
    return CheckedMessages(tuple(events), tuple(sorted(refused, key=lambda found: found.message.order)))


def pushed_contract(portfolio: Portfolio, table: str) -> TableContract:
    """Return the contract of pushed events: that of the table's files, and ``known_at`` may be missing.

    An event of a table that arrives in the applicants' rows is pushed with ``occurred_at`` (ISO 8601) and the
    table's columns under their own names.
    """
    contract = events_contract(portfolio, table)
    columns = [_may_be_missing(column) if column.name == "known_at" else column for column in contract.columns]
    if "occurred_at" not in contract.sources:
        columns.append(ReceivedColumn("occurred_at", "occurred_at", Column(type="date")))
    return replace(contract, columns=tuple(columns))


def _may_be_missing(received: ReceivedColumn) -> ReceivedColumn:
    return replace(received, column=received.column.model_copy(update={"nullable": True}))


def _contract_of(message: Message, contracts: Mapping[str, TableContract]) -> TableContract:
    contract = contracts.get(message.table)
    if contract is None:
        hint = nearest(message.table, contracts)
        raise _BrokenError("", "table", f"no event table of this name is declared.{hint}")
    return contract


def _row(message: Message, contract: TableContract) -> Row:
    given = _json_object(message.received)
    sources = [column.source for column in contract.columns]
    optional = {column.source for column in contract.columns if column.name == "known_at"}
    absent = [source for source in sources if source not in given and source not in optional]
    if absent:
        hint = nearest(absent[0], given.keys())
        raise _BrokenError(absent[0], "columns", f"{', '.join(absent)}: declared but absent.{hint}")
    return {source: _text(given.get(source), source) for source in sources}


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        given = json.loads(
            text,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_number,
            object_pairs_hook=_unambiguous,
        )
    except (ValueError, RecursionError) as exc:
        raise _BrokenError("", "json", "the event is not valid JSON") from exc
    if not isinstance(given, dict):
        raise _BrokenError("", "json", "the event is not a JSON object")
    return given


def _no_number(_name: str) -> NoReturn:
    raise ValueError


def _unambiguous(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    given = dict(pairs)
    if len(given) < len(pairs):
        raise _BrokenError("", "json", "the event names a column twice")
    return given


def _text(value: Any, column: str) -> str | None:
    if isinstance(value, dict | list):
        raise _BrokenError(column, "type", f"{column} must be a single value")
    text = text_of(value, column)
    if text is not None and ("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise _BrokenError(column, "text", f"{column} has characters that are no text")
    return text


def _storable(message: Message) -> Message:
    """Return the message with what is not a JSON object as a JSON string, which every store holds."""
    try:
        json.loads(message.received)
    except (ValueError, RecursionError):
        return replace(message, received=json.dumps(message.received))
    return message


def _check_rows(rows: Sequence[tuple[Message, Row]], contract: TableContract, portfolio: Portfolio) -> CheckedMessages:
    names = dict.fromkeys(column.source for column in contract.columns)
    batch = Batch(
        source=rows[0][0].source,
        rows=pl.DataFrame([row for _, row in rows], schema=dict.fromkeys(names, pl.String)),
        row_numbers=pl.Series("row_number", range(len(rows)), pl.Int64),
        malformed=pl.DataFrame(schema=MALFORMED_SCHEMA),
    )
    checked = check_batch(batch, contract)
    usable = portfolio.events[contract.table].usable_columns
    values = dates_as_text(checked.valid.select("row_number", *usable)).to_dicts()
    events: list[PushedEvent] = []
    set_aside: list[SetAside] = []
    for typed, facts in zip(checked.valid.iter_rows(named=True), values, strict=True):
        event = _event(rows[facts.pop("row_number")][0], typed, facts)
        if max(len(event.event_id), len(event.applicant_id)) <= LONGEST_ID:
            events.append(event)
        else:
            reason = f"ids may have {LONGEST_ID} characters at most"
            set_aside.append(SetAside(event.message, event.message.name, "", "length", reason))
    for broken in checked.quarantined.iter_rows(named=True):
        message, row = rows[broken["row_number"]]
        why = broken["column"], broken["rule"], broken["reason"]
        set_aside.append(SetAside(message, _event_id(message, row, contract), *why))
    return CheckedMessages(tuple(events), tuple(set_aside))


def _event(message: Message, typed: Mapping[str, Any], facts: Mapping[str, Any]) -> PushedEvent:
    known_at = (typed["known_at"] or message.received_at) if "known_at" in typed else None
    event_id = typed.get("event_id") or message.name
    return PushedEvent(message, event_id, typed["applicant_id"], typed["occurred_at"], known_at, facts)


def _event_id(message: Message, row: Row, contract: TableContract) -> str:
    """Name of an event that broke its contract: its own where that can be read, so that a copy is known as one."""
    given = (row[contract.sources["event_id"].source] or "").strip() if "event_id" in contract.sources else ""
    return given if 0 < len(given) <= LONGEST_ID else message.name
