"""A process of its own that fetches one bundle: ``python -m credit_scoring.adapters.registry_download REFERENCE``.

It takes a ``BundleRef`` as JSON and writes ``{"files": {name: base64}, "tags": {...}}`` to standard output. MLflow,
which takes seconds to import and 80 MB, stays out of the process that serves.
"""

import base64
import json
import os
import sys
from pathlib import Path

from credit_scoring.core.errors import RegistryError
from credit_scoring.core.roles import BundleRef

TRACKING_URI = "MLFLOW_TRACKING_URI"
EMBEDDED_REGISTRY = "sqlite:///mlflow.db"
"""Where MLflow looks when nothing is named: below the working directory, as pipelines do."""

REFUSED = 3
"""Exit status when the registry does not give the bundle; standard error then says why, in one line."""


def main() -> int:
    """Fetch what the first argument names."""
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # MLflow and its plugins may print; only the bundle goes out
    try:
        found = _downloaded(BundleRef.model_validate_json(sys.argv[1]))
    except RegistryError as exc:
        sys.stderr.write(f"{' '.join(str(exc).split())}\n")
        return REFUSED
    with os.fdopen(output, "w", encoding="utf-8") as pipe:
        json.dump(found, pipe)
    return 0


def require_registry(uri: str | None) -> None:
    """Refuse a registry that is not there, which MLflow would make anew, and empty.

    Raises:
        RegistryError: If ``uri``, or without one the working directory, names an SQLite file that does not exist.
    """
    scheme, _, rest = (uri or EMBEDDED_REGISTRY).partition(":///")
    if scheme != "sqlite":
        return
    path = Path(rest.partition("?")[0])
    if not path.exists():
        named = f"{TRACKING_URI} names" if uri else f"{TRACKING_URI} is not set, so the registry would be"
        raise RegistryError(
            f"There is no model registry here: {named} '{path.absolute()}', which does not exist. Set {TRACKING_URI} "
            f"to the registry that 'kedro run' registers in."
        )


def _downloaded(ref: BundleRef) -> dict[str, dict[str, str]]:
    require_registry(os.environ.get(TRACKING_URI))
    from credit_scoring.adapters.model_registry import MlflowRegistry  # noqa: PLC0415 - seconds, and needs a registry

    registry = MlflowRegistry(ref.model)
    try:
        files = registry.files(ref)
    except ImportError as exc:  # of what reads the artifacts' place, such as boto3 for s3://
        raise RegistryError(
            f"The artifacts of version {ref.version} of '{ref.model}' lie where this installation cannot read: {exc}. "
            f"Have the MLflow server hand them out (mlflow server --artifacts-destination ...), or install what is "
            f"missing."
        ) from exc
    return {
        "files": {name: base64.b64encode(content).decode() for name, content in files.items()},
        "tags": registry.tags(ref),
    }


if __name__ == "__main__":
    sys.exit(main())
