"""The client for ``async`` code; what its methods do is said at ``CreditScoringClient``."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
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


class AsyncCreditScoringClient:
    """``CreditScoringClient`` for one event loop, awaited; close it, or use it in an ``async with``."""

    def __init__(  # noqa: PLR0913 - each is a setting by itself
        self,
        base_url: str | None = None,
        *,
        key: str | None = None,
        key_file: str | Path | None = None,
        patience: Patience = PATIENCE,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        surroundings: Surroundings = SURROUNDINGS,
    ) -> None:
        """Make a client; see ``CreditScoringClient``. ``sleep`` is ``trio.sleep`` in a program that runs on trio."""
        found = address(base_url, key, key_file, os.environ)
        self._base_url, self._patience, self._sleep, self._surroundings = found.base_url, patience, sleep, surroundings
        self._http = httpx.AsyncClient(base_url=found.base_url, headers=found.headers(), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r})"

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def decide(
        self,
        application_id: str,
        applicant_id: str,
        *,
        application: Fields | None = None,
        events: Events | None = None,
        as_of: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Decision:
        """See ``CreditScoringClient.decide``."""
        sent = calls.application(application_id, applicant_id, application, events, as_of)
        return await self._ask(calls.decide(sent, idempotency_key))

    async def decide_batch(self, applications: Iterable[Application]) -> BatchResults:
        """See ``CreditScoringClient.decide_batch``."""
        return calls.joined([await self._ask(call) for call in calls.decide_batch(applications)])

    async def decision(self, decision_id: str) -> RecordedDecision:
        """See ``CreditScoringClient.decision``."""
        return await self._ask(calls.decision(decision_id))

    async def decisions(
        self,
        *,
        application_id: str | None = None,
        applicant_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 200,
    ) -> AsyncIterator[Decision]:
        """See ``CreditScoringClient.decisions``."""
        wanted = DecisionFilter(application_id, applicant_id, since, until, page_size)
        page = await self._ask(calls.decisions(wanted))
        for decision in page.decisions:
            yield decision
        while page.next is not None:
            page = await self._ask(calls.decisions(wanted, page.next))
            for decision in page.decisions:
                yield decision

    async def replay(self, decision_id: str) -> Replay:
        """See ``CreditScoringClient.replay``."""
        return await self._ask(calls.replay(decision_id, self._surroundings.new_key()))

    async def put_applicant(self, applicant_id: str, fields: Fields) -> KeptApplicant:
        """See ``CreditScoringClient.put_applicant``."""
        return await self._ask(calls.put_applicant(applicant_id, fields))

    async def add_events(self, applicant_id: str, events: Events, *, idempotency_key: str | None = None) -> KeptEvents:
        """See ``CreditScoringClient.add_events``."""
        key = self._surroundings.new_key() if idempotency_key is None else idempotency_key
        return await self._ask(calls.add_events(applicant_id, events, key))

    async def profile(self, applicant_id: str, *, limit: int = 20, cursor: str | None = None) -> ApplicantProfile:
        """See ``CreditScoringClient.profile``."""
        return await self._ask(calls.profile(applicant_id, limit, cursor))

    async def roles(self, at: datetime | None = None) -> RolesInForce:
        """See ``CreditScoringClient.roles``."""
        return await self._ask(calls.roles(at))

    async def models(self) -> LoadedModels:
        """See ``CreditScoringClient.models``."""
        return await self._ask(calls.models())

    async def model_card(self, version: int) -> ModelCard:
        """See ``CreditScoringClient.model_card``."""
        return await self._ask(calls.model_card(version))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """See ``CreditScoringClient.request``."""
        options: dict[str, Any] = {"json": json, "params": params, "headers": headers}
        return await self._ask(calls.anything(method, path, options, self._surroundings.new_key))

    async def _ask(self, call: Call[Result]) -> Result:
        steps = conversation(call, self._patience, self._surroundings)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as answered:
                result: Result = answered.value
                return result
            outcome = await self._do(step)

    async def _do(self, step: Attempt | Pause) -> Outcome:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        try:
            return await self._http.send(step.request(self._http))
        except httpx.RequestError as exc:
            return exc
