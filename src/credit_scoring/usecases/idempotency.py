"""Does what a request asks for once, however often it is sent under the same ``Idempotency-Key``."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from credit_scoring.api.decisions import Json
from credit_scoring.core.errors import IdempotencyKeyReusedError, RequestInProgressError
from credit_scoring.core.idempotency import KeptAnswer, RequestKey
from credit_scoring.ports import Clock, IdempotencyBook
from credit_scoring.usecases.applications import body_digest


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """A key that was claimed: ends with ``keep`` when something was done, else with ``release``."""

    book: IdempotencyBook
    key: RequestKey
    claim_id: str

    def keep(self, answer: KeptAnswer) -> None:
        """Have whoever sends the same again get this answer.

        Raises:
            RecordsError: If it cannot be kept.
        """
        self.book.answer(self.key, self.claim_id, answer)

    def release(self) -> None:
        """Have the key be new again.

        Raises:
            RecordsError: If it cannot be told; the claim then ends by its age.
        """
        self.book.release(self.key, self.claim_id)


@dataclass(frozen=True, slots=True)
class RepeatedRequests:
    """Knows requests by their keys."""

    book: IdempotencyBook
    clock: Clock
    new_id: Callable[[], str]

    def begin(self, key: RequestKey, content: Json) -> OpenClaim | KeptAnswer:
        """Claim a key for what ``content`` asks for; return the answer instead when it was given before.

        Raises:
            IdempotencyKeyReusedError: If the key came with other content before.
            RequestInProgressError: If the same is being done.
            RecordsError: If the keys cannot be read or written.
        """
        claim_id = self.new_id()
        found = self.book.claim(key, content_digest(content), claim_id, self.clock())
        if found.answer is not None:
            return found.answer
        if found.state == "other_body":
            raise IdempotencyKeyReusedError
        if found.state == "in_progress":
            raise RequestInProgressError
        return OpenClaim(self.book, key, claim_id)


def content_digest(content: Json) -> str:
    """Return the SHA-256 of what a request asks for, whatever the order of its keys; of a large batch within 0.1 s."""
    try:
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # an integer or a depth that only the slower way writes
        return body_digest(content)
    return hashlib.sha256(canonical).hexdigest()
