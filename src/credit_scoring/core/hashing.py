"""Draws that depend on a purpose, a salt and a name alone: the same in every process and on every day."""

import hashlib
from typing import Literal

Purpose = Literal["split", "experiment"]
"""What is drawn for; equal salts for different purposes still draw independently of each other."""


def salted_draw(purpose: Purpose, salt: str, name: str) -> float:
    """Return a number in [0, 1), uniform over names, the same for the same arguments for ever.

    BLAKE2b (RFC 7693) keyed with the salt and personalised with the purpose.
    """
    key = hashlib.sha256(salt.encode()).digest()
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=key, person=purpose.encode()).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
