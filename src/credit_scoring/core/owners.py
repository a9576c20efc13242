"""Whose rows: a lender (tenant) and one of its portfolios."""

from typing import NamedTuple

DEFAULT_TENANT = "default"
"""The tenant of an installation that serves one lender."""


class Owner(NamedTuple):
    """Whose facts, decisions and events a row is; no other owner ever sees it."""

    tenant: str
    portfolio: str


class Applicant(NamedTuple):
    """An applicant of one owner; the same id of another owner is somebody else."""

    owner: Owner
    applicant_id: str
