"""Requests that are done once however often they are sent: their keys, and what was answered under each."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from credit_scoring.core.owners import Owner

TAKEN_OVER_AFTER = timedelta(seconds=60)
"""Age of a claim without an answer that another request may take over: longer than any request may take."""


class RequestKey(NamedTuple):
    """An ``Idempotency-Key`` of a caller's lender, on one route."""

    owner: Owner
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was sent first: its status, and its body to the byte."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """What a key is found to be: ``new`` may be worked on, by whoever claimed it and nobody else.

    ``other_body`` came first with another body; ``answer`` is there when the state is ``answered``.
    """

    state: Literal["new", "in_progress", "answered", "other_body"]
    answer: KeptAnswer | None = None
