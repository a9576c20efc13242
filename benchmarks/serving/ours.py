"""The service with everything on: an own key, counted rate limits, both models, reasons, durable records."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kept import PROJECT
from sqlalchemy import Engine, func, select

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.database.schema import decisions
from credit_scoring.core.roles import Experiment, StickySplitRouting
from serving.processes import Command, ServerError
from serving.workload import PORTFOLIO

COUNTED_NOT_REFUSED = "100000000/minute; POST /v1/decisions/batch=100000000/minute"
"""Every request is counted as shipped; the limit alone is out of reach."""

ALWAYS_EXPIRED_S = "0.001"
"""How long cached features live where each decision shall compute its own."""

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Settings:
    """How the service is run: ``warm`` false has each request compute its features from the stored facts."""

    database_url: str
    workers: int = 1
    redis_url: str | None = None
    warm: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """The service's environment variables."""
        own = {
            "CREDIT_DATABASE_URL": self.database_url,
            "CREDIT_RATE_LIMITS": COUNTED_NOT_REFUSED,
            "CREDIT_WORKERS": str(self.workers),
            "BENTOML_DO_NOT_TRACK": "true",
        }
        redis = {} if self.redis_url is None else {"CREDIT_REDIS_URL": self.redis_url}
        return own | redis | ({} if self.warm else {"CREDIT_FEATURE_TTL_S": ALWAYS_EXPIRED_S})


def built_bento() -> str:
    """Build the Bento from the sources as they are, and return its tag: what is measured is what the commit says.

    Where ``make run`` never was, all pipelines run first.
    """
    tag = PROJECT / f"build/credit_scoring_{PORTFOLIO}.tag"
    _run("kedro", "run", f"--env={PORTFOLIO}", *(("--pipeline=packaging",) if tag.exists() else ()))
    return tag.read_text(encoding="utf-8").strip()


def service(tag: str, settings: Settings, directory: Path, port: int, cpus: frozenset[int] | None) -> Command:
    """Return how the Bento is served."""
    arguments = [sys.executable, "-m", "bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    return Command(arguments, directory, settings.environment, "/readyz", cpus)


def prepare(database_url: str, package: BentoPackage, *, trees_decide: bool = False) -> str:
    """Fill an empty database with facts, roles and a key, and return the key.

    With ``trees_decide`` the boosted trees answer everybody, so that each decision is explained by TreeSHAP; as
    shipped they answer one applicant in ten, and the scorecard the others.
    """
    environment = {"CREDIT_DATABASE_URL": database_url}
    _run("credit-scoring", "ingest", "--portfolio", PORTFOLIO, environment=environment)
    made = ("keys", "create", "--name", "benchmark", "--scopes", "decide,read")
    told = _run("credit-scoring", *made, environment=environment)
    with _opened(database_url) as engine:
        book = RoleRepository(engine)
        row = book.seed(PORTFOLIO, package.roles)
        if trees_decide:
            held = row.roles
            routing = StickySplitRouting(challenger_share=1.0)
            everybody = Experiment(id="benchmark", salt=held.experiment.salt, routing=routing)
            book.append(PORTFOLIO, row.sequence, held.model_copy(update={"experiment": everybody}), "benchmark")
    return _key(told)


def recorded(database_url: str) -> int:
    """Return how many decisions are on record."""
    with _opened(database_url) as engine, engine.connect() as connection:
        return int(connection.scalar(select(func.count()).select_from(decisions)) or 0)


@contextmanager
def _opened(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def _run(command: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    told = subprocess.run(  # noqa: S603 - our own commands
        [BIN / command, *arguments],
        cwd=PROJECT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise ServerError(f"'{command} {' '.join(arguments)}' failed: {told.stderr.strip()[-2000:]}")
    return told.stdout


def _key(told: str) -> str:
    found = re.search(r"\S{40,}", told)
    if found is None:
        raise ServerError("'credit-scoring keys create' told no key.")
    return found[0]
