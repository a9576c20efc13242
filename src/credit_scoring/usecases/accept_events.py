"""Accepts pushed messages: each is stored as an event, or set aside with a reason, exactly once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from credit_scoring.core.owners import Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.pushed import Message, PushedEvent, SetAside, Taken
from credit_scoring.core.pushed_checks import check_messages
from credit_scoring.ports import EventInbox

_RETRIED_AT_ONCE = 500


@dataclass(slots=True)
class Retried:
    """What became of a retry: re-admitted messages by table, those that are copies, and the faults that remain.

    ``still`` counts set-aside messages by table, column, rule and reason.
    """

    readmitted: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    still: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class EventIntake:
    """Takes pushed messages of one owner's portfolio under its present declaration."""

    portfolio: Portfolio
    owner: Owner
    inbox: EventInbox

    def accept(self, delivered: Sequence[Message | SetAside]) -> Taken:
        """Check messages and store what became of them, durable when this returns; repeating it changes nothing.

        Raises:
            RecordsError: If they cannot be stored; none of them is then.
        """
        checked = check_messages([one for one in delivered if isinstance(one, Message)], self.portfolio)
        unreadable = [one for one in delivered if isinstance(one, SetAside)]
        return self.inbox.take(self.owner, checked.events, [*unreadable, *checked.set_aside])

    def retry(self, table: str | None = None) -> Retried:
        """Check set-aside messages again, of ``table`` or of all, and store those that now meet their contract.

        Raises:
            RecordsError: If they cannot be read or stored; what was told to be re-admitted before then is.
        """
        told = Retried()
        waiting = self.inbox.set_aside(self.owner, table)
        while some := list(islice(waiting, _RETRIED_AT_ONCE)):
            again, refused = self._checked(some)
            done = self.inbox.readmit(self.owner, again)
            refused += done.refused
            contradicting = {found.message.name for found in done.refused}
            told.readmitted.update(e.message.table for _, e in again if e.message.name not in contradicting)
            told.copies += done.copies
            told.still.update((one.message.table, one.column, one.rule, one.reason) for one in refused)
        return told

    def _checked(self, some: Sequence[SetAside]) -> tuple[list[tuple[SetAside, PushedEvent]], list[SetAside]]:
        """Set-aside messages with the event that each now is, and those that are none."""
        by_name = {one.message.name: one for one in some}
        unreadable = [one for one in some if not one.message.table]
        checked = check_messages([one.message for one in some if one.message.table], self.portfolio)
        return [(by_name[e.message.name], e) for e in checked.events], [*unreadable, *checked.set_aside]
