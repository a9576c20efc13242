"""Keeps what a benchmark measured, with machine, date and commit."""

import json
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent


def machine() -> dict[str, str]:
    """Return what the figures were measured on, and of which commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git is found on PATH
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
    }


def keep(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Write figures to ``benchmarks/results/<name>.json``, say so, and return them with where they came from."""
    kept = {**machine(), **figures}
    target = PROJECT / "benchmarks/results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"Written to {target.relative_to(PROJECT)}")
    return kept
