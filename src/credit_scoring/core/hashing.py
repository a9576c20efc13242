"""Draws that depend on a name and a salt alone: the same in every process and on every day."""

import hashlib


def salted_draw(salt: str, name: str) -> float:
    """Return a number in [0, 1), uniform over names, the same for the same salt and name for ever."""
    digest = hashlib.blake2b(f"{salt}:{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
