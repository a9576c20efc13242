"""What the inside asks of the outside: protocols that adapters fulfil."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal, Protocol

from credit_scoring.core.api_keys import ApiKey
from credit_scoring.core.audit import Chained
from credit_scoring.core.cached_features import CachedFeatures, FeatureKey
from credit_scoring.core.callers import Accepted
from credit_scoring.core.facts import KnownFacts, Value
from credit_scoring.core.idempotency import Claim, KeptAnswer, RequestKey
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.pushed import Added, Lag, Message, PushedEvent, Readmitted, SetAside, Taken
from credit_scoring.core.records import ApplicationKey, DecisionQuery, DecisionRecord
from credit_scoring.core.roles import Roles, RolesRow
from credit_scoring.core.timed_facts import TimedFacts


class Clock(Protocol):
    """Tells the time; an argument, so that a run can be repeated."""

    def __call__(self) -> datetime:
        """Return the present moment in UTC."""
        ...


class RoleBook(Protocol):
    """Who holds which role, as rows that are only ever added; failures are ``RecordsError``."""

    def current(self, portfolio: str) -> RolesRow | None:
        """Return the row that holds now, or None before the first run."""
        ...

    def at(self, portfolio: str, moment: datetime) -> RolesRow | None:
        """Return the row that held at ``moment``, or None when no roles were given by then."""
        ...

    def row(self, portfolio: str, sequence: int) -> RolesRow | None:
        """Return one row of the history, or None when there is none of this sequence."""
        ...

    def seed(self, portfolio: str, roles: Roles) -> RolesRow:
        """Record the first roles of a portfolio, and return the row that holds: an earlier seed wins."""
        ...

    def append(self, portfolio: str, after: int, roles: Roles, cause: str) -> RolesRow:
        """Record new roles after the row with the sequence ``after``.

        Raises:
            StaleRolesError: If another row came in between.
        """
        ...


class DecisionBook(Protocol):
    """What was decided, as records that are only ever added; failures are ``RecordsError``."""

    def held(self, keys: Sequence[ApplicationKey]) -> list[DecisionRecord | None]:
        """Return, for each key, the record of the decision it names, None when it was not decided.

        An ``idempotency_key`` names the first decision that was asked for with it within ``KEY_LIFETIME``.
        """
        ...

    def add(self, records: Sequence[DecisionRecord]) -> list[DecisionRecord]:
        """Make records durable in one transaction; return, for each, the one that holds: an earlier one wins."""
        ...

    def get(self, owner: Owner, decision_id: str) -> DecisionRecord | None:
        """Return the record of a decision, or None when there is none under this id."""
        ...

    def find(self, owner: Owner, query: DecisionQuery) -> list[DecisionRecord]:
        """Return the newest records that ``query`` asks for, the newest first."""
        ...


class ChainedRecords(Protocol):
    """Records as they are stored, for those who do not believe them; failures are ``RecordsError``."""

    def chained(self, owner: Owner, decision_id: str) -> Chained | None:
        """Return a stored record with the link before it, or None when there is none under this id."""
        ...


class FactsStore(Protocol):
    """What is known of applicants; failures are ``RecordsError``.

    Both methods answer in the order of ``applicants``, None for one whose fields nobody brought or pushed, and ask the
    database as often for ten thousand applicants of an owner as for one.
    """

    def revisions(self, applicants: Sequence[Applicant]) -> list[str | None]:
        """Return what names the present state of each applicant's facts; any change of them changes it."""
        ...

    def facts_of(self, applicants: Sequence[Applicant]) -> list[KnownFacts | None]:
        """Return each applicant's fields and events of every table; a table in which he has no event is absent.

        Fields are those received last. Events were brought by files or pushed; among those of one moment, pushed ones
        come last, in order of receipt. The revision is never newer than the facts it comes with.
        """
        ...


class TimedFactsStore(Protocol):
    """What is known of an applicant, for people to read; failures are ``RecordsError``."""

    def timed_facts(self, applicant: Applicant, most: int) -> TimedFacts:
        """Return an applicant's fields, and the ``most`` newest events of each table, with their times."""
        ...


class PushedApplicants(Protocol):
    """Where applicants' fields are pushed; failures are ``RecordsError``, and nothing is changed then."""

    def put_applicant(
        self, owner: Owner, applicant_id: str, fields: Mapping[str, Value], received_at: datetime
    ) -> bool:
        """Replace an applicant's fields, and return whether nothing was known of him before.

        What was received last holds: ``fields`` pushed later stay, and so do those of a later load that brings him.
        """
        ...


class FeatureCache(Protocol):
    """Computed features that may vanish at any time; failures are ``FeatureCacheError``."""

    def get_many(self, keys: Sequence[FeatureKey]) -> list[CachedFeatures | None]:
        """Return what is kept under each key and has not outlived its time, None for what is not."""
        ...

    def put_many(self, rows: Sequence[tuple[FeatureKey, CachedFeatures]]) -> None:
        """Keep rows; one that was observed earlier than what is kept under its key changes nothing."""
        ...


class EventInbox(Protocol):
    """Where pushed events are stored, each once, and what no event can be made of is kept.

    Failures are ``RecordsError``; nothing is changed then, and the same may be tried again.
    """

    def take(self, owner: Owner, events: Sequence[PushedEvent], set_aside: Sequence[SetAside]) -> Taken:
        """Store events and set-aside messages in one transaction; by table and event id, each event once.

        An event that is stored already, and a message that is set aside already, is a copy; an event that
        contradicts the stored one of its id is set aside, and the first stays. The applicant need not be known yet.
        """
        ...

    def add(self, owner: Owner, events: Sequence[PushedEvent]) -> Added:
        """Store events in one transaction, or none of them when one contradicts another of its id.

        For a sender who is told what became of them: nothing is set aside.
        """
        ...

    def set_aside(self, owner: Owner, table: str | None = None) -> Iterator[SetAside]:
        """Return what is set aside and not re-admitted, table by table in order of receipt."""
        ...

    def readmit(self, owner: Owner, retried: Sequence[tuple[SetAside, PushedEvent]]) -> Readmitted:
        """Store events of messages that were set aside, and mark these as re-admitted, in one transaction."""
        ...


class EventStream(Protocol):
    """A stream of pushed messages that consumers of one group share; failures are ``StreamError``.

    A message is delivered to one consumer, and again to this or another until it is acknowledged.
    """

    def unfinished(self, most: int) -> Sequence[Message | SetAside]:
        """Return messages that were delivered to this consumer and not acknowledged, oldest first."""
        ...

    def take_over(self) -> int:
        """Have messages that another consumer left unfinished delivered to this one; return how many."""
        ...

    def next(self, most: int, wait_s: float) -> Sequence[Message | SetAside]:
        """Return messages that nobody was given yet, waiting ``wait_s`` for the first."""
        ...

    def acknowledge(self, messages: Sequence[Message | SetAside]) -> None:
        """Tell the stream that these need not be delivered again."""
        ...

    def lag(self) -> Lag:
        """Return how far the group is behind the newest message."""
        ...


Stage = Literal["queue", "held", "features", "champion", "challenger", "explain", "record"]
"""What a decision's time goes to: waiting for its turn, reading held decisions, features, both models with the reasons
of their own arms, reasons that a failed challenger left to the champion, records."""


class DecisionObserver(Protocol):
    """Told what happens while applications are decided, to count and to time it; never told an applicant's values."""

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        """Time what is done inside, for all applications of one turn together."""
        ...

    def decided(self, count: int, *, arm: str, decider: str, recommendation: str, fallback: bool) -> None:
        """Count new decisions of one kind."""
        ...

    def repeated(self) -> None:
        """Count one application that was decided before and got its first answer again."""
        ...

    def features_from(self, source: str, count: int) -> None:
        """Count applications by where their features came from: cache, store or request."""
        ...

    def cache_failed(self, kind: str) -> None:
        """Count one failed use of the feature cache: unavailable, rubbish, or open while it is left alone."""
        ...

    def challenger_failed(self, kind: str) -> None:
        """Count one turn in which the challenger gave no score: hung, or the name of its error."""
        ...


class KeyBook(Protocol):
    """The keys of the API; failures are ``RecordsError``."""

    def add(self, key: ApiKey) -> None:
        """Keep a new key."""
        ...

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key, revoked and expired ones too, or None when there is none of this id."""
        ...

    def listed(self) -> Sequence[ApiKey]:
        """Return all keys, oldest first."""
        ...

    def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """Have a key refused from ``at`` on, for good, and return it; None when there is none.

        The first revocation stays.
        """
        ...


class IdempotencyBook(Protocol):
    """Requests that are done once, and their answers, each kept for ``KEY_LIFETIME``; failures are ``RecordsError``."""

    def claim(self, key: RequestKey, body_digest: str, claim_id: str, at: datetime) -> Claim:
        """Return what ``key`` is found to be at ``at``; when that is ``new``, it is claimed under ``claim_id``.

        A claim of ``TAKEN_OVER_AFTER`` without an answer is nobody's any more: its process died.
        """
        ...

    def answer(self, key: RequestKey, claim_id: str, answer: KeptAnswer) -> None:
        """Keep what was answered; nothing is changed when the claim was taken over."""
        ...

    def release(self, key: RequestKey, claim_id: str) -> None:
        """Forget a claim under which nothing was done; nothing is changed when it was answered or taken over."""
        ...


class CredentialCheck(Protocol):
    """Checks what a request brings to say who sent it; may block."""

    def __call__(self, credential: str) -> Accepted | None:
        """Return whose ``credential`` it is, or None when it is not accepted, whatever it is.

        Raises:
            RecordsError: If the keys cannot be read.
            IssuerUnavailableError: If the issuer of a token cannot be asked.
        """
        ...
