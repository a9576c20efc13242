"""Whose facts tests read: those of a portfolio of the default tenant, one applicant at a time."""

from credit_scoring.core.facts import Facts
from credit_scoring.core.owners import DEFAULT_TENANT, Applicant, Owner
from credit_scoring.ports import FactsStore


def owned(portfolio: str) -> Owner:
    return Owner(DEFAULT_TENANT, portfolio)


def facts_of(store: FactsStore, owner: Owner, applicant_id: str) -> Facts | None:
    """What is known of one applicant, without its revision."""
    [known] = store.facts_of([Applicant(owner, applicant_id)])
    return None if known is None else known.facts
