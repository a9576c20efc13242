"""The composition root: package, database and roles put together once, at start-up."""

import json
import logging
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from credit_scoring.adapters.bento_package import MANIFEST, BentoPackage, read_package
from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.engine import absolute_url, answers, open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.core.errors import BundleError, CreditScoringError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.roles import ROLES, Role, Roles, model_name
from credit_scoring.core.routing import StickySplit
from credit_scoring.environment import Environment
from credit_scoring.serving.app import create_app
from credit_scoring.serving.http_errors import problem
from credit_scoring.serving.request_ids import RequestIds
from credit_scoring.usecases.decide_application import Decider
from credit_scoring.usecases.model_opinions import RoleModel

GOLDEN_TOLERANCE = 1e-6
"""Points by which the made-up application may differ from what it scored when the package was staged."""

logger = logging.getLogger(__name__)


class DecisionService:
    """The API as an ASGI app that answers 503 until it was opened without a fault."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._app: ASGIApp = RequestIds(_not_ready)
        self._engine: Engine | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the models are loaded and the database answers; without it nothing may be decided."""
        return self._engine is not None and answers(self._engine)

    def open(self) -> None:
        """Load the package, open the database and check the models; a fault is logged and leaves it not ready."""
        try:
            package = read_package(self._stage)
            engine = open_database(_database_url(self._stage))
            self._app = build_app(package, engine)
        except CreditScoringError as exc:
            logger.critical("not_ready code=%s: %s", exc.code, exc)
            return
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)


def build_app(package: BentoPackage, engine: Engine) -> FastAPI:
    """Return the API with the models that hold roles in the database, checked.

    Raises:
        BundleError: If a role's bundle is not in the package, or scores otherwise than when it was staged.
        RecordsError: If the database cannot be read.
    """
    roles = RoleRepository(engine).seed(package.portfolio, package.roles)
    models = models_in_roles(package, roles)
    require_golden_points(package, models)
    decider = Decider(models, StickySplit(roles.experiment), FactsRepository(engine), DecisionRepository(engine))
    return create_app(decider)


def models_in_roles(package: BentoPackage, roles: Roles) -> dict[Role, RoleModel]:
    """Return the packaged bundle of each role's holder."""
    found: dict[Role, RoleModel] = {}
    for role in ROLES:
        ref = roles.holder(role)
        if ref.digest not in package.bundles:
            raise BundleError(
                f"Version {ref.version} of '{ref.model}' is {role} by the records database, but this Bento does not "
                f"hold it (digest {ref.digest[:12]}). Run 'kedro run --env={package.portfolio} --pipeline=packaging' "
                f"and serve the new Bento."
            )
        found[role] = RoleModel(ref, package.bundles[ref.digest])
    return found


def require_golden_points(package: BentoPackage, models: dict[Role, RoleModel]) -> None:
    """Refuse models that score the made-up application otherwise here than where they were packaged."""
    for role, model in models.items():
        points, expected = golden_points(model.bundle), package.golden[model.ref.digest]
        if not abs(points - expected) <= GOLDEN_TOLERANCE:
            raise BundleError(
                f"The {role}, version {model.ref.version} of '{model.ref.model}', scores the golden application "
                f"{points:.6f} points here and {expected:.6f} where it was packaged. Install the locked "
                f"dependencies, or run 'kedro run --pipeline=packaging' again."
            )


def bento_name(stage: Path) -> str:
    """Return the Bento's name after the portfolio that is staged, without loading its models.

    BentoML asks when it imports ``service.py``; without a package the process ends with one line, not a traceback.
    """
    try:
        return model_name(_staged_portfolio(stage))
    except BundleError as exc:
        raise SystemExit(str(exc)) from exc


def _staged_portfolio(stage: Path) -> str:
    try:
        return str(json.loads((stage / MANIFEST).read_text(encoding="utf-8"))["portfolio"])
    except FileNotFoundError as exc:
        raise BundleError(f"Nothing is staged for the Bento at '{stage}'. Run 'kedro run' first.") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise BundleError(f"'{stage / MANIFEST}' is not what was staged. Run 'kedro run' again.") from exc


def _database_url(stage: Path) -> str:
    url = Environment().database_url
    # Staged beside service.py, in a Bento's 'src'; the Bento's own description lies one directory above.
    if absolute_url(url) != url and (stage.parents[2] / "bento.yaml").exists():
        logger.warning("CREDIT_DATABASE_URL is relative, so records are kept inside the Bento; make it absolute.")
    return url


async def _not_ready(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "The service is not ready; its log says why. Try again later."
    request = Request(scope, receive)
    response = problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", detail, headers={"Retry-After": "5"})
    await response(scope, receive, send)
