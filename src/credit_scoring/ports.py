"""What the inside asks of the outside: protocols that adapters fulfil."""

from datetime import datetime
from typing import Protocol

from credit_scoring.core.facts import Facts
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.roles import Roles


class Clock(Protocol):
    """Tells the time; an argument, so that a run can be repeated."""

    def __call__(self) -> datetime:
        """Return the present moment in UTC."""
        ...


class RoleBook(Protocol):
    """Who holds which role, as rows that are only ever added."""

    def current(self, portfolio: str) -> Roles | None:
        """Return the roles that hold now, or None before the first run."""
        ...

    def seed(self, portfolio: str, roles: Roles) -> Roles:
        """Record the first roles of a portfolio, and return those that hold: an earlier seed wins."""
        ...


class DecisionBook(Protocol):
    """What was decided, as records that are only ever added; failures are ``RecordsError``."""

    def add(self, record: DecisionRecord) -> DecisionRecord:
        """Make ``record`` durable, and return the one that holds for its application: an earlier one wins."""
        ...

    def get(self, portfolio: str, decision_id: str) -> DecisionRecord | None:
        """Return the record of a decision, or None when there is none under this id."""
        ...

    def by_application(self, portfolio: str, application_id: str) -> DecisionRecord | None:
        """Return the record of an application's decision, or None when it was not decided."""
        ...


class FactsStore(Protocol):
    """What is known of applicants; failures are ``RecordsError``."""

    def facts_of(self, portfolio: str, applicant_id: str) -> Facts | None:
        """Return an applicant's fields and events of every table, or None for an unknown applicant."""
        ...
