"""Fetches a registered bundle by a process of its own, so that a process that serves never imports MLflow."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import credit_scoring
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.roles import BundleRef

FETCH_WITHIN_S = 60.0
"""How long a registry may take to give a bundle, with the seconds that MLflow takes to start."""

_DOWNLOAD = "credit_scoring.adapters.registry_download"
_QUIET_AND_SOON: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
"""Defaults for MLflow; a server that is down would be tried for four minutes."""


@dataclass(frozen=True, slots=True)
class FetchedBundle:
    """A registered bundle's files, checked against its digest, and the tags of its version."""

    files: Mapping[str, bytes]
    tags: Mapping[str, str]


def fetched_from_registry(ref: BundleRef, within_s: float = FETCH_WITHIN_S) -> FetchedBundle:
    """Return a bundle from the registry that ``MLFLOW_TRACKING_URI`` names.

    Raises:
        RegistryError: If it is not there, is not what its digest says, or does not come ``within_s`` seconds.
    """
    where = f"version {ref.version} of '{ref.model}'"
    try:
        told = subprocess.run(  # noqa: S603 - our own module, with a reference that was checked
            [sys.executable, "-m", _DOWNLOAD, ref.model_dump_json()],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=within_s,
        )
    except subprocess.TimeoutExpired as exc:
        raise RegistryError(
            f"The registry did not give {where} within {within_s:g} s. Look whether the server at MLFLOW_TRACKING_URI "
            f"and its artifacts answer."
        ) from exc
    except OSError as exc:
        raise RegistryError(f"{where} cannot be fetched, as no process can be started: {exc.strerror}.") from exc
    if told.returncode:
        said = told.stderr.decode(errors="replace").strip().rpartition("\n")[2][-600:]
        raise RegistryError(said or f"Fetching {where} ended with status {told.returncode} and without a word.")
    found = json.loads(told.stdout)
    return FetchedBundle({name: base64.b64decode(text) for name, text in found["files"].items()}, found["tags"])


def _environment() -> dict[str, str]:
    """Return this process's own, with which the other finds the same sources: those of the Bento, in a Bento."""
    sources = str(Path(credit_scoring.__file__).parents[1])
    paths = [sources, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**_QUIET_AND_SOON, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
