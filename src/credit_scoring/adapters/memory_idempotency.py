"""``IdempotencyBook`` on a plain dictionary: for tests; nothing outlives the process."""

from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

from credit_scoring.core.idempotency import TAKEN_OVER_AFTER, Claim, KeptAnswer, RequestKey
from credit_scoring.core.records import KEY_LIFETIME


@dataclass(frozen=True, slots=True)
class _Kept:
    body_digest: str
    claim_id: str
    claimed_at: datetime
    answer: KeptAnswer | None = None


class InMemoryIdempotencyBook:
    """``IdempotencyBook`` on a dictionary."""

    def __init__(self) -> None:
        self._kept: dict[RequestKey, _Kept] = {}
        self._lock = Lock()

    def claim(self, key: RequestKey, body_digest: str, claim_id: str, at: datetime) -> Claim:
        """See ``IdempotencyBook.claim``."""
        with self._lock:
            held = self._kept.get(key)
            if held is not None and held.claimed_at > at - KEY_LIFETIME:
                if held.body_digest != body_digest:
                    return Claim("other_body")
                if held.answer is not None:
                    return Claim("answered", held.answer)
                if held.claimed_at > at - TAKEN_OVER_AFTER:
                    return Claim("in_progress")
            self._kept[key] = _Kept(body_digest, claim_id, at)
            return Claim("new")

    def answer(self, key: RequestKey, claim_id: str, answer: KeptAnswer) -> None:
        """See ``IdempotencyBook.answer``."""
        with self._lock:
            if self._is_open(key, claim_id):
                self._kept[key] = replace(self._kept[key], answer=answer)

    def release(self, key: RequestKey, claim_id: str) -> None:
        """See ``IdempotencyBook.release``."""
        with self._lock:
            if self._is_open(key, claim_id):
                del self._kept[key]

    def _is_open(self, key: RequestKey, claim_id: str) -> bool:
        held = self._kept.get(key)
        return held is not None and held.claim_id == claim_id and held.answer is None
