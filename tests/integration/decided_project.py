"""What tests of batch decisions and materialization share: a project ready to decide, and its service."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from integration.kedro_project import PORTFOLIO, Finished, Project
from service_package import Client

from credit_scoring.adapters.bento_package import read_package
from credit_scoring.adapters.database.engine import opened
from credit_scoring.environment import Environment
from credit_scoring.serving.bootstrap import Parts
from credit_scoring.serving.telemetry import private_telemetry


def ready(ran: Project, root: Path) -> Project:
    """A project of its own with roles, a staged package and everybody's facts."""
    own = ran.copy(root)
    assert own.run("--pipeline=registration").code == 0
    assert own.run("--pipeline=packaging", "--nodes=stage_bundles").code == 0
    load_facts(own)
    return own


def load_facts(project: Project, portfolio: str = PORTFOLIO) -> None:
    command = [str(Path(sys.executable).with_name("credit-scoring")), "ingest", "--portfolio", portfolio]
    given: dict[str, Any] = {"cwd": project.root, "env": project.environment, "text": True}
    done = subprocess.run(command, capture_output=True, check=False, **given)
    assert done.returncode == 0, done.stderr


@contextmanager
def served(project: Project, redis_url: str | None = None) -> Iterator[Client]:
    """The service on the project's records, facts and staged bundles, with its development key."""
    url = project.environment["CREDIT_DATABASE_URL"]
    with opened(url) as engine:
        here = Environment(_env_file=None, database_url=url, redis_url=redis_url)
        parts = Parts(read_package(project.root / "build/bento"), engine, here, private_telemetry())
        client = Client(parts.app, (project.root / "development.key").read_text().strip())
        yield client
        client.close()
        parts.close()


def assert_one_message(finished: Finished, *words: str) -> None:
    """One message, no trace, and a status that says so."""
    assert finished.code == 1
    [told] = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in finished.stderr
    assert all(word in told for word in words), told
