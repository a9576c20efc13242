"""Whose key a request brings: looked up, compared, and remembered for a moment."""

from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from credit_scoring.core.api_keys import PresentedKey, fits, presented_key
from credit_scoring.core.callers import Accepted
from credit_scoring.core.errors import RecordsError
from credit_scoring.ports import Clock, KeyBook

REMEMBERED_S = 2.0
"""How long an answer about a key or token is used again; a revoked key is refused after that at the latest."""

MOST_REMEMBERED = 4096
"""Accepted, and as many refused, keys and tokens that one process remembers."""

_NOBODY = PresentedKey("0" * 16, "0" * 64)


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """``CredentialCheck`` of API keys.

    Whatever is wrong with a key, it costs one look-up and one comparison: neither answer nor time tell whether a key
    exists, is expired, or is no key at all. ``development`` says whether the key of the embedded mode is accepted.
    """

    book: KeyBook
    clock: Clock
    development: bool = False

    def __call__(self, credential: str) -> Accepted | None:
        """See ``CredentialCheck``."""
        presented = presented_key(credential)
        if presented is None:
            with suppress(RecordsError):  # it is refused, whether the database answers or not
                fits(_NOBODY, self.book.get(_NOBODY.key_id))
            return None
        key = self.book.get(presented.key_id)
        if not fits(presented, key) or key is None or key.state(self.clock()) != "active":
            return None
        return key.accepted() if self.development or not key.development else None


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a key or token, and until when (monotonic, in seconds) that may be used again."""

    accepted: Accepted | None
    until_s: float


@dataclass(slots=True)
class RecentChecks:
    """What was found lately about keys and tokens, by the digest of what was sent; for one thread.

    Refused ones are kept apart: however many a stranger sends, they drive no accepted key out.
    """

    remembered_s: float = REMEMBERED_S
    most: int = MOST_REMEMBERED
    _accepted: dict[bytes, Checked] = field(default_factory=dict, repr=False)
    _refused: dict[bytes, Checked] = field(default_factory=dict, repr=False)

    def find(self, digest: bytes, now_s: float) -> Checked | None:
        """Return what was found, or None when nothing is remembered that may still be used."""
        checked = self._accepted.get(digest) or self._refused.get(digest)
        return checked if checked is not None and now_s < checked.until_s else None

    def accepted_before(self, digest: bytes) -> bool:
        """Return whether the last check of this key or token, some time ago, accepted it."""
        return digest in self._accepted

    def remember(self, digest: bytes, accepted: Accepted | None, asked_s: float, now: datetime) -> Checked:
        """Keep what a check found that began at ``asked_s``, no longer than the key or token lives after ``now``."""
        kept_s = self.remembered_s
        if accepted is not None and accepted.expires_at is not None:
            kept_s = min(kept_s, (accepted.expires_at - now).total_seconds())
        checked = Checked(accepted, asked_s + kept_s)
        self._accepted.pop(digest, None)
        self._refused.pop(digest, None)
        _keep(self._refused if accepted is None else self._accepted, digest, checked, self.most)
        return checked


def _keep(kept: MutableMapping[bytes, Checked], digest: bytes, checked: Checked, most: int) -> None:
    if len(kept) >= most:
        del kept[next(iter(kept))]  # the one that was checked longest ago
    kept[digest] = checked
