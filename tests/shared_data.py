"""Data beside the project that are not shipped with it; where they are absent, tests that need them say so and skip."""

import os
from pathlib import Path

import pytest

SHARED_DATA = Path(os.environ.get("CREDIT_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")


def shared_file(path: str) -> Path:
    """Return a file of ``../shared/data``, or of where ``CREDIT_SHARED_DATA`` says; skip the test without it."""
    found = SHARED_DATA / path
    if not found.exists():
        pytest.skip(f"'{found}' is absent: the data are not shipped with the project")
    return found
