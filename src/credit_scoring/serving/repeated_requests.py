"""Answers a request once, and whoever sends it again under its ``Idempotency-Key`` with the same answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import anyio
from starlette.requests import Request
from starlette.responses import Response

from credit_scoring.api.decisions import Json
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.idempotency import KeptAnswer, RequestKey
from credit_scoring.core.owners import Owner
from credit_scoring.serving.endpoints import in_thread, route_of
from credit_scoring.serving.http_errors import limit_headers
from credit_scoring.serving.problems import RefusedBodyError
from credit_scoring.serving.request_ids import request_id_of
from credit_scoring.usecases.idempotency import OpenClaim, RepeatedRequests

REPLAYED = "Idempotent-Replayed"
"""Header of an answer that was given before."""

REPEATABLE = ("idempotency_key_reused", "request_in_progress")
"""Problems of routes that take an ``Idempotency-Key``."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request as it may come again: ``content`` is all that it asks for; without a ``key`` nothing is kept of it."""

    request: Request
    owner: Owner
    key: str | None
    content: Json


@dataclass(frozen=True, slots=True)
class Done:
    """An answer; one that is not ``is_final`` might be another when the same is sent again, so it is not kept."""

    response: Response
    is_final: bool = True


async def answered_once(asked: Repeatable, requests: RepeatedRequests, work: Callable[[], Awaitable[Done]]) -> Response:
    """Return what ``work`` answers, or what it answered when the same was asked for before.

    Only a final answer is kept. After a refusal or a failure the key is new again; after work that was given up, which
    may go on, it is when the claim is old enough.

    Raises:
        IdempotencyKeyReusedError: If the key came with other content before.
        RequestInProgressError: If the same is being done.
        RecordsError: If the keys cannot be read or written; nothing was done then.
    """
    if asked.key is None:
        return (await work()).response
    name = RequestKey(asked.owner, route_of(asked.request), asked.key)
    begun = await in_thread(requests.begin, name, asked.content)
    if isinstance(begun, KeptAnswer):
        headers = {**limit_headers(asked.request), REPLAYED: "true"}
        return Response(begun.body, begun.status, headers, "application/json")
    async with _Claimed(begun, request_id_of(asked.request)) as claimed:
        done = await work()
        await (claimed.keep(done.response) if done.is_final else claimed.release())
        return done.response


class _Claimed:
    """A claim that is released when what is done under it fails."""

    def __init__(self, claim: OpenClaim, request_id: str) -> None:
        self._claim = claim
        self._request_id = request_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if error is not None and not _may_go_on(error):
            with anyio.CancelScope(shield=True):
                await self.release()

    async def keep(self, response: Response) -> None:
        """Keep an answer. It is given also when it cannot be kept: what it tells was done."""
        await self._told("keeping", self._claim.keep, KeptAnswer(response.status_code, bytes(response.body)))

    async def release(self) -> None:
        """Have the key be new again."""
        await self._told("releasing", self._claim.release)

    async def _told(self, doing: str, tell: Callable[..., None], *arguments: KeptAnswer) -> None:
        try:
            await anyio.to_thread.run_sync(tell, *arguments)
        except RecordsError as exc:
            logger.warning("idempotency_key_left doing=%s request_id=%s: %s", doing, self._request_id, exc)


def _may_go_on(error: BaseException) -> bool:
    """Whether work that ended so may still be done by a thread that nobody waits for."""
    return isinstance(error, asyncio.CancelledError) or (
        isinstance(error, RefusedBodyError) and error.code == "timeout"
    )
