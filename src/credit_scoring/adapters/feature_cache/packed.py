"""Features as bytes: a header, float32 values, the revision, and a checksum that also covers the key."""

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import numpy as np

from credit_scoring.core.cached_features import CachedFeatures, FeatureKey
from credit_scoring.core.errors import FeatureCacheError

MAGIC = b"cf1"
"""Begins every key and value; its digit is the format's version, so that two versions never meet under one key."""

# Little-endian: magic, one unused byte, the number of features, microseconds since 1970. Values follow at a multiple
# of their size.
_HEADER = struct.Struct("<3sxIq")
OBSERVED_AT_OFFSET = 8
_VALUE = np.dtype("<f4")
_CHECKSUM_BYTES = 16
_TEXT = ("utf-8", "surrogatepass")  # any text has bytes, and two texts never the same

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return whole microseconds from 1970 to ``moment``, which has a time zone."""
    return (moment - _EPOCH) // _MICROSECOND


def key_text(key: FeatureKey) -> bytes:
    """Return what ``key`` is called in a shared cache; two keys never have the same text.

    Each part is preceded by its length, so that no character in an id can pass for a border between two.
    """
    (tenant, portfolio), applicant_id = key.applicant
    parts = (tenant, portfolio, key.feature_set, applicant_id)
    named = "".join([f":{len(part)}:{part}" for part in parts])
    return MAGIC + f"{named}:{microseconds(key.as_of)}".encode(*_TEXT)


def pack(key: bytes, row: CachedFeatures) -> bytes:
    """Return ``row`` as bytes that can be read under the key text ``key`` only."""
    header = _HEADER.pack(MAGIC, row.values.size, microseconds(row.observed_at))
    body = header + row.values.astype(_VALUE, copy=False).tobytes() + row.revision.encode(*_TEXT)
    return body + _checksum(key, body)


def unpack(key: bytes, packed: bytes) -> CachedFeatures:
    """Return the row that was packed for ``key``; its values are the same bit for bit and cannot be written.

    Raises:
        FeatureCacheError: If ``packed`` is anything else: truncated, changed, of another key or of another format.
    """
    body = packed[:-_CHECKSUM_BYTES]
    if packed[-_CHECKSUM_BYTES:] != _checksum(key, body):
        raise _unreadable(packed)
    try:
        _, features, observed_at = _HEADER.unpack_from(body)
        values = np.frombuffer(body, _VALUE, features, _HEADER.size).astype(np.float32, copy=False)
        revision = str(body[_HEADER.size + values.nbytes :], *_TEXT)
        return CachedFeatures(values, _EPOCH + timedelta(microseconds=observed_at), revision)
    except (ValueError, OverflowError, struct.error) as exc:
        raise _unreadable(packed) from exc


def _checksum(key: bytes, body: bytes) -> bytes:
    digest = hashlib.blake2b(key, digest_size=_CHECKSUM_BYTES)
    digest.update(body)
    return digest.digest()


def _unreadable(packed: bytes) -> FeatureCacheError:
    return FeatureCacheError(
        f"{len(packed)} bytes in the feature cache are damaged, or were not written under their key. They count as "
        f"absent; if that happens often, find out who else writes keys that begin with '{MAGIC.decode()}:'."
    )
