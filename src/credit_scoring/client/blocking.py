"""The client for code that waits for its answers."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from credit_scoring.api.applicants import ApplicantProfile, KeptApplicant, KeptEvents
from credit_scoring.api.batches import BatchResults
from credit_scoring.api.decisions import Decision, RecordedDecision
from credit_scoring.api.models import LoadedModels, ModelCard
from credit_scoring.api.replays import Replay
from credit_scoring.api.roles import RolesInForce
from credit_scoring.client import calls
from credit_scoring.client.bodies import Application, Events, Fields
from credit_scoring.client.calls import Call, DecisionFilter
from credit_scoring.client.conversation import SURROUNDINGS, Attempt, Outcome, Pause, Surroundings, conversation
from credit_scoring.client.patience import PATIENCE, Patience
from credit_scoring.client.settings import address

Result = TypeVar("Result")


class CreditScoringClient:
    """The decision service as methods: typed answers, errors by kind, and retries that decide nothing twice.

    One client keeps its connections open and may be used by many threads; close it, or use it in a ``with``. Every
    method raises a ``CreditScoringClientError``, whose kinds ``credit_scoring.client.errors`` draws.
    """

    def __init__(  # noqa: PLR0913 - each is a setting by itself
        self,
        base_url: str | None = None,
        *,
        key: str | None = None,
        key_file: str | Path | None = None,
        patience: Patience = PATIENCE,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        surroundings: Surroundings = SURROUNDINGS,
    ) -> None:
        """Make a client; it connects when it first asks.

        Args:
            base_url: Where the service is; without it ``CREDIT_SCORING_URL``.
            key: API key or token; without it, and without ``key_file``, ``CREDIT_SCORING_KEY``.
            key_file: File that holds the key and nothing else.
            patience: How long is waited for answers, and between attempts.
            transport: How requests travel; the network where it is None.
            sleep: Waits so many seconds.
            surroundings: Clocks, chance and ids.

        Raises:
            UnusableArgumentError: If the address or the key is missing or cannot be used.
        """
        found = address(base_url, key, key_file, os.environ)
        self._base_url, self._patience, self._sleep, self._surroundings = found.base_url, patience, sleep, surroundings
        self._http = httpx.Client(base_url=found.base_url, headers=found.headers(), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def decide(
        self,
        application_id: str,
        applicant_id: str,
        *,
        application: Fields | None = None,
        events: Events | None = None,
        as_of: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Decision:
        """Return the decision of one application; asked again, the same one.

        Args:
            application_id: Names the application, and makes that it is decided once.
            applicant_id: Names the applicant.
            application: Declared fields, for this decision alone; without them stored facts decide.
            events: Rows by declared table, for this decision alone.
            as_of: Use facts strictly before this moment; without it, the declared or present one.
            idempotency_key: Sent as the request's own key, where the application's id shall not be it.
        """
        sent = calls.application(application_id, applicant_id, application, events, as_of)
        return self._ask(calls.decide(sent, idempotency_key))

    def decide_batch(self, applications: Iterable[Application]) -> BatchResults:
        """Return what became of each application, in their order: a decision, or the problem of this one alone.

        However many there are, they are sent in as few requests as the service takes. If one of these fails, what is
        decided stays decided: send them all again, and they get their first answers.
        """
        return calls.joined(self._ask(call) for call in calls.decide_batch(applications))

    def decision(self, decision_id: str) -> RecordedDecision:
        """Return a decision with what was received and what it was made of."""
        return self._ask(calls.decision(decision_id))

    def decisions(
        self,
        *,
        application_id: str | None = None,
        applicant_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 200,
    ) -> Iterator[Decision]:
        """Iterate over decisions, the newest first; pages are fetched as they are needed.

        Args:
            application_id: Only of this application.
            applicant_id: Only of this applicant.
            since: Only decided then or later.
            until: Only decided before then.
            page_size: How many come with one request, 1 to 200.
        """
        wanted = DecisionFilter(application_id, applicant_id, since, until, page_size)
        page = self._ask(calls.decisions(wanted))
        yield from page.decisions
        while page.next is not None:
            page = self._ask(calls.decisions(wanted, page.next))
            yield from page.decisions

    def replay(self, decision_id: str) -> Replay:
        """Return what comes out when a decision is computed again from its record, by the bundles that decided."""
        return self._ask(calls.replay(decision_id, self._surroundings.new_key()))

    def put_applicant(self, applicant_id: str, fields: Fields) -> KeptApplicant:
        """Replace the stored fields of an applicant, all of them; they count from the next decision.

        ``created`` tells whether none were there; after a retry it may tell of fields that the first attempt stored.
        """
        return self._ask(calls.put_applicant(applicant_id, fields))

    def add_events(self, applicant_id: str, events: Events, *, idempotency_key: str | None = None) -> KeptEvents:
        """Add events of an applicant, at most 5,000: all or none, and each once.

        Args:
            applicant_id: Whose events they are; nothing else of the applicant need be known.
            events: Rows by declared table.
            idempotency_key: Makes that the same events, sent again within 30 days, are not added again; without it,
                that holds within this call alone, and for tables that declare an ``event_id``.
        """
        key = self._surroundings.new_key() if idempotency_key is None else idempotency_key
        return self._ask(calls.add_events(applicant_id, events, key))

    def profile(self, applicant_id: str, *, limit: int = 20, cursor: str | None = None) -> ApplicantProfile:
        """Return an applicant's risk over time, and the facts that the next decision is made of.

        Args:
            applicant_id: Who.
            limit: Most decisions, and most events of each table, 1 to 200.
            cursor: ``next`` of the profile before, for older decisions.
        """
        return self._ask(calls.profile(applicant_id, limit, cursor))

    def roles(self, at: datetime | None = None) -> RolesInForce:
        """Return who is champion and challenger now, or was at a moment, and how applicants are parted."""
        return self._ask(calls.roles(at))

    def models(self) -> LoadedModels:
        """Return the models that are loaded."""
        return self._ask(calls.models())

    def model_card(self, version: int) -> ModelCard:
        """Return what a model is, what it was made of, how good it is, and what it is not good for."""
        return self._ask(calls.model_card(version))

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return the response of a route that has no method here, with the same key, retries and errors.

        A POST is sent with a new idempotency key unless ``headers`` have one. A method that the service would do twice
        when it is sent twice is none of its routes.
        """
        options: dict[str, Any] = {"json": json, "params": params, "headers": headers}
        return self._ask(calls.anything(method, path, options, self._surroundings.new_key))

    def _ask(self, call: Call[Result]) -> Result:
        steps = conversation(call, self._patience, self._surroundings)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as answered:
                result: Result = answered.value
                return result
            outcome = self._do(step)

    def _do(self, step: Attempt | Pause) -> Outcome:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        try:
            return self._http.send(step.request(self._http))
        except httpx.RequestError as exc:
            return exc
