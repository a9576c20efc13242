"""What can go wrong with a cache, as the counters of a service name it."""

from collections.abc import Callable
from typing import Literal

FailureKind = Literal["unavailable", "rubbish", "open"]
"""``unavailable``: a call failed or timed out; ``rubbish``: one kept value cannot be read; ``open``: not even asked."""

OnFailure = Callable[[FailureKind], None]
"""Told of each failure once, on the thread that met it."""


def ignore_failure(kind: FailureKind) -> None:
    """Count nothing."""
