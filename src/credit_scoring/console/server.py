"""Starts BentoML on the Bento that was built last."""

import os
import socket
import sys
from pathlib import Path

from credit_scoring.adapters.bento_stage import tag_file
from credit_scoring.adapters.database.engine import absolute_url
from credit_scoring.core.errors import BundleError, CreditScoringError
from credit_scoring.core.roles import model_name
from credit_scoring.environment import Environment

REGISTRY = "MLFLOW_TRACKING_URI"
"""MLflow's own variable: where a bundle is fetched that holds a role and that the Bento lacks."""

EMBEDDED_REGISTRY = "sqlite:///mlflow.db"
"""The registry that ``kedro run`` keeps below the project when none is named."""


class PortTakenError(CreditScoringError):
    """The port to listen on is in use."""

    code = "port_taken"


def built_tag(portfolio: str) -> str:
    """Return the tag of the portfolio's Bento that was built last.

    Raises:
        BundleError: If none was built.
    """
    file = tag_file(model_name(portfolio))
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise BundleError(
            f"No Bento of '{portfolio}' is built: '{file}' is absent. Run 'make run PORTFOLIO={portfolio}' first, or "
            f"serve another portfolio with '--portfolio'."
        ) from exc


def require_stored(tag: str) -> None:
    """Find out whether BentoML's store still holds the Bento.

    Raises:
        BundleError: If it was deleted, or ``BENTOML_HOME`` names another store than when it was built.
    """
    name, _, version = tag.partition(":")
    store = Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")
    if not (store / "bentos" / name / version).is_dir():
        raise BundleError(
            f"BentoML's store at '{store}' (BENTOML_HOME) does not hold '{tag}', which was built last. Build it again: "
            f"'kedro run --env={name.removeprefix(model_name(''))} --pipeline=packaging'."
        )


def require_free_port(host: str, port: int) -> None:
    """Find out before anything is started whether the port can be had.

    Raises:
        PortTakenError: If it cannot.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise PortTakenError(
                f"Cannot listen on port {port} of {host} ({exc.strerror}). Stop what uses it, or choose another: "
                f"'make serve PORT={port + 1}'."
            ) from exc


def run_server(tag: str, host: str, port: int, workers: int | None = None) -> None:
    """Replace this process by BentoML's server with ``workers`` processes, None for what ``CREDIT_WORKERS`` says."""
    command = [sys.executable, "-m", "bentoml", "serve", tag, "--host", host, "--port", str(port)]
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "true"} | _settings(Environment())
    if workers is not None:
        environment["CREDIT_WORKERS"] = str(workers)
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell, and every argument is checked


def _settings(here: Environment) -> dict[str, str]:
    """Return the settings as environment variables that mean the same in another directory.

    The server works in the Bento's own: no ``.env`` is there, and a relative database or registry would be another.
    """
    given = {f"CREDIT_{name.upper()}": str(getattr(here, name)) for name in here.model_fields_set}
    registry = os.environ.get(REGISTRY) or EMBEDDED_REGISTRY
    absolute = absolute_url(registry) if registry.startswith("sqlite:") else registry
    return given | {"CREDIT_DATABASE_URL": absolute_url(here.database_url), REGISTRY: absolute}
