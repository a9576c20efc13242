"""What the client can ask, as data: which request is sent, and as what its answer is read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from credit_scoring.api.applicants import ApplicantProfile, KeptApplicant, KeptEvents
from credit_scoring.api.batches import BatchResult, BatchResults
from credit_scoring.api.decisions import Decision, Decisions, RecordedDecision
from credit_scoring.api.models import LoadedModels, ModelCard
from credit_scoring.api.replays import Replay
from credit_scoring.api.roles import RolesInForce
from credit_scoring.client.answers import read_as
from credit_scoring.client.bodies import Application, Events, Fields, application_body, batch_bodies, moment, written
from credit_scoring.client.errors import UnusableArgumentError

Result = TypeVar("Result")

IDEMPOTENCY_KEY = "Idempotency-Key"
BATCH_TAKES_S = 50.0
"""How many seconds longer than other requests a batch may take."""

_LONGEST_KEY = 128


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """A request, the same in all its attempts, and how its answer is read; ``longer_s`` is added to the patience."""

    method: str
    path: str
    read: Callable[[httpx.Response], Result] = field(repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    longer_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions are wanted, the newest first: each that is not None narrows them.

    ``since`` and ``until`` are when they were decided: then or later, and before then. ``page_size`` of them, 1 to 200,
    come with one request.
    """

    application_id: str | None = None
    applicant_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    page_size: int = 200

    def params(self) -> dict[str, str]:
        """Return the filter as parameters of the address."""
        told = {
            "application_id": self.application_id,
            "applicant_id": self.applicant_id,
            "since": None if self.since is None else moment(self.since),
            "until": None if self.until is None else moment(self.until),
            "limit": str(self.page_size),
        }
        return {name: value for name, value in told.items() if value is not None}


def application(
    application_id: str, applicant_id: str, fields: Fields | None, events: Events | None, as_of: datetime | None
) -> Application:
    """Return an application of its parts."""
    return {
        "application_id": application_id,
        "applicant_id": applicant_id,
        "application": fields,
        "events": events,
        "as_of": as_of,
    }


def decide(application: Application, idempotency_key: str | None = None) -> Call[Decision]:
    """Decide one application; its id is the idempotency key where none is given."""
    headers = {} if idempotency_key is None else {IDEMPOTENCY_KEY: checked_key(idempotency_key)}
    return _sent("POST", "/v1/decisions", application_body(application), Decision, headers)


def decide_batch(applications: Iterable[Application]) -> Iterator[Call[BatchResults]]:
    """Decide many, in as many requests as they need; each application's id is its idempotency key."""
    read = partial(read_as, BatchResults)
    for content in batch_bodies(applications):
        yield Call("POST", "/v1/decisions/batch", read, content=content, longer_s=BATCH_TAKES_S)


def joined(parts: Iterable[BatchResults]) -> BatchResults:
    """Return what became of all applications, in their order."""
    results: list[BatchResult] = []
    for part in parts:
        results += part.results
    decided = sum(result.decision is not None for result in results)
    return BatchResults(decided=decided, failed=len(results) - decided, results=tuple(results))


def decision(decision_id: str) -> Call[RecordedDecision]:
    """Read one decision."""
    return Call("GET", f"/v1/decisions/{segment(decision_id)}", partial(read_as, RecordedDecision))


def decisions(wanted: DecisionFilter, cursor: str | None = None) -> Call[Decisions]:
    """Read a page of decisions."""
    params = wanted.params() | ({} if cursor is None else {"cursor": cursor})
    return Call("GET", "/v1/decisions", partial(read_as, Decisions), params)


def replay(decision_id: str, key: str) -> Call[Replay]:
    """Compute a decision again."""
    headers = {IDEMPOTENCY_KEY: key}
    return Call("POST", f"/v1/decisions/{segment(decision_id)}/replay", partial(read_as, Replay), headers=headers)


def put_applicant(applicant_id: str, fields: Fields) -> Call[KeptApplicant]:
    """Replace an applicant's fields; sent twice, it is done once."""
    return _sent("PUT", f"/v1/applicants/{segment(applicant_id)}", fields, KeptApplicant)


def add_events(applicant_id: str, events: Events, key: str) -> Call[KeptEvents]:
    """Add events of an applicant."""
    headers = {IDEMPOTENCY_KEY: checked_key(key)}
    return _sent("POST", f"/v1/applicants/{segment(applicant_id)}/events", events, KeptEvents, headers)


def profile(applicant_id: str, limit: int, cursor: str | None) -> Call[ApplicantProfile]:
    """Read what is known of an applicant."""
    params = {"limit": str(limit)} | ({} if cursor is None else {"cursor": cursor})
    return Call("GET", f"/v1/applicants/{segment(applicant_id)}/profile", partial(read_as, ApplicantProfile), params)


def roles(at: datetime | None) -> Call[RolesInForce]:
    """Read who decides, or decided."""
    return Call("GET", "/v1/roles", partial(read_as, RolesInForce), {} if at is None else {"at": moment(at)})


def models() -> Call[LoadedModels]:
    """Read which models are loaded."""
    return Call("GET", "/v1/models", partial(read_as, LoadedModels))


def model_card(version: int) -> Call[ModelCard]:
    """Read a model's card."""
    return Call("GET", f"/v1/models/{version:d}/card", partial(read_as, ModelCard))


def anything(method: str, path: str, options: Mapping[str, Any], new_key: Callable[[], str]) -> Call[httpx.Response]:
    """Ask what the client has no method for; a POST without an idempotency key gets a new one.

    Raises:
        UnusableArgumentError: If ``path`` could lead to another host, to which the key would then be sent.
    """
    if not path.startswith("/") or path.startswith("//") or not path.isprintable():
        raise UnusableArgumentError(
            f"The path {path!r} does not begin with one '/'. Give the path alone, without host."
        )
    headers = httpx.Headers(options.get("headers") or {})
    if method.upper() == "POST":
        headers.setdefault(IDEMPOTENCY_KEY, new_key())
    body = options.get("json")
    content = None if body is None else written(body)
    return Call(method.upper(), path, lambda found: found, dict(options.get("params") or {}), content, dict(headers))


def segment(identifier: str) -> str:
    """Return an id as one part of a path.

    Raises:
        UnusableArgumentError: If it is empty, and the path so another route's.
    """
    if not identifier:
        raise UnusableArgumentError("An id is empty. Give the one that the service told.")
    # '.' and '..' alone would be taken for steps along the path.
    return quote(identifier, safe="") if identifier.strip(".") else identifier.replace(".", "%2E")


def checked_key(key: str) -> str:
    """Return an idempotency key that can be sent.

    Raises:
        UnusableArgumentError: If it cannot.
    """
    if not 1 <= len(key) <= _LONGEST_KEY or not all("!" <= char <= "~" for char in key):
        raise UnusableArgumentError("An idempotency key is 1 to 128 printable ASCII characters without blanks.")
    return key


def _sent(
    method: str, path: str, body: object, model: type[Any], headers: Mapping[str, str] | None = None
) -> Call[Any]:
    return Call(method, path, partial(read_as, model), content=written(body), headers=headers or {})
