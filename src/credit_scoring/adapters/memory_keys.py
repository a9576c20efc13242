"""``KeyBook`` on a plain dictionary: for tests; nothing outlives the process."""

from dataclasses import replace
from datetime import datetime

from credit_scoring.core.api_keys import ApiKey
from credit_scoring.core.errors import RecordsError


class InMemoryKeyBook:
    """``KeyBook`` on a dictionary."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    def add(self, key: ApiKey) -> None:
        """See ``KeyBook.add``."""
        if self._keys.setdefault(key.key_id, key) is not key:
            raise RecordsError("The key's id is taken. Make another key.")

    def get(self, key_id: str) -> ApiKey | None:
        """See ``KeyBook.get``."""
        return self._keys.get(key_id)

    def listed(self) -> list[ApiKey]:
        """See ``KeyBook.listed``."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.key_id))

    def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """See ``KeyBook.revoke``."""
        key = self._keys.get(key_id)
        if key is not None and key.revoked_at is None:
            self._keys[key_id] = key = replace(key, revoked_at=at)
        return key
