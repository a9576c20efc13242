"""One header of a request, without a copy of all of them."""

from starlette.types import Scope


def header_of(scope: Scope, name: bytes) -> str | None:
    """Return the first header called ``name``, which is written in lower case; None where there is none."""
    for sent, value in scope["headers"]:
        if sent == name:
            told: str = value.decode("latin-1")
            return told
    return None
