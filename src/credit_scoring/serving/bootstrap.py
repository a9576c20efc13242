"""The composition root: package, database, cache and roles put together once, at start-up."""

import logging
import threading
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import Engine
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from credit_scoring.adapters.bento_package import BentoPackage, read_package
from credit_scoring.adapters.bundle_shelf import BundleShelf
from credit_scoring.adapters.database.audit import AuditRepository
from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.engine import absolute_url, answers, open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.idempotency import IdempotencyRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.database.pushed_applicants import PushedApplicantRepository
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.feature_cache.opening import open_feature_cache
from credit_scoring.adapters.rate_limits import route_limits
from credit_scoring.adapters.registry_fetch import fetched_from_registry
from credit_scoring.core.cached_features import Lifetime
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import CreditScoringError, RecordsError, RegistryError
from credit_scoring.environment import Environment
from credit_scoring.ports import FeatureCache
from credit_scoring.serving.access import guard_of
from credit_scoring.serving.admission import Guard
from credit_scoring.serving.app import create_app
from credit_scoring.serving.decision_queue import DecisionQueue
from credit_scoring.serving.direct_routes import DirectRoutes
from credit_scoring.serving.http_errors import problem
from credit_scoring.serving.problems import Told
from credit_scoring.serving.received_bodies import ReceivedBodies
from credit_scoring.serving.request_bodies import RequestBodies
from credit_scoring.serving.request_ids import RequestIds
from credit_scoring.serving.resources import Resources
from credit_scoring.serving.telemetry import Telemetry
from credit_scoring.serving.warm_up import warm_up
from credit_scoring.usecases.decide_applications import Decider, random_id
from credit_scoring.usecases.feature_rows import FeatureRows
from credit_scoring.usecases.follow_roles import RolesFollower, Swap
from credit_scoring.usecases.idempotency import RepeatedRequests
from credit_scoring.usecases.replay_decisions import Replayer

logger = logging.getLogger(__name__)

OPEN_AGAIN_S = 5.0
"""How long after a failed start the next one is tried, when the fault may pass by itself."""

_MAY_PASS = (RecordsError, RegistryError)


class DecisionService:
    """The API as an ASGI app that answers 503 until it was opened without a fault.

    A database or registry that does not answer yet is tried again until it does; what only people can mend is not.
    """

    def __init__(self, stage: Path, telemetry: Telemetry) -> None:
        self._stage = stage
        self._telemetry = telemetry
        self._app: ASGIApp = RequestIds(_not_ready)
        self._parts: Parts | None = None
        self._closed = threading.Event()

    @property
    def is_ready(self) -> bool:
        """Whether decisions can be made and recorded, and new roles would be seen."""
        return self._parts is not None and self._parts.is_ready

    def open(self) -> None:
        """Load the package, open the database and check the models; a fault is logged and leaves it not ready."""
        if isinstance(self._fault(), _MAY_PASS):
            threading.Thread(target=self._open_later, name="open-later", daemon=True).start()

    def _open_later(self) -> None:
        while not self._closed.wait(OPEN_AGAIN_S) and isinstance(self._fault(), _MAY_PASS):
            pass

    def _fault(self) -> CreditScoringError | None:
        """Try to open; return what kept it from being ready, None when it is."""
        try:
            package, environment = read_package(self._stage), Environment()
            engine = open_database(_database_url(self._stage))
            self._parts = Parts(package, engine, environment, self._telemetry)
        except CreditScoringError as exc:
            logger.critical("not_ready code=%s: %s", exc.code, exc)
            return exc
        self._app = self._parts.app
        return None

    def close(self) -> None:
        """Let the turn in hand end, and release what is held."""
        self._closed.set()
        if self._parts is not None:
            self._parts.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)


class Parts:
    """Everything that one process serves with, opened together and closed together."""

    def __init__(self, package: BentoPackage, engine: Engine, environment: Environment, telemetry: Telemetry) -> None:
        """Put everything together.

        Raises:
            BundleError: If a bundle in role cannot be used here.
            RegistryError: If one has to be fetched, and the registry does not give it.
            RecordsError: If the database cannot be used.
            SettingsError: If an environment variable says something that cannot be.
        """
        self._engine, self._telemetry = engine, telemetry
        with ExitStack() as opened:  # closed again, unless everything could be opened
            opened.callback(engine.dispose)
            self._roles = RoleRepository(engine)
            self._shelf = BundleShelf(package, fetched_from_registry, telemetry.metrics.bundle_loaded)
            self._follower = RolesFollower(package.portfolio, self._roles, self._shelf.get, self._swapped)
            opened.callback(self._follower.close)
            self._follower.open(package.roles)
            telemetry.metrics.roles_followed(self._follower.assignment().versions)
            cache = opened.enter_context(self._cache(environment))
            decider = self._decider(cache)
            self.resources = self._resources(package.portfolio, decider, guard_of(engine, environment))
            opened.callback(self.resources.queue.close)
            bodies = RequestBodies(self._follower.assignment)
            app = create_app(self.resources, bodies)
            route_limits(environment.rate_limits).require_routes(_routes_of(app))
            self.app: ASGIApp = RequestIds(DirectRoutes(app))
            warm_up(decider, bodies)
            self._open = opened.pop_all()

    def _decider(self, cache: FeatureCache) -> Decider:
        features = FeatureRows(FactsRepository(self._engine), cache)
        decisions = DecisionRepository(self._engine)
        return Decider(self._follower.assignment, features, decisions, observer=self._telemetry.metrics)

    def _resources(self, portfolio: str, decider: Decider, guard: Guard) -> Resources:
        engine, telemetry, assignment = self._engine, self._telemetry, self._follower.assignment
        return Resources(
            portfolio=portfolio,
            assignment=assignment,
            guard=guard,
            queue=DecisionQueue(decider.decide_many, telemetry),
            decisions=decider.decisions,
            roles=self._roles,
            clock=utc_now,
            replayer=Replayer(AuditRepository(engine), self._roles, self._shelf.get, ReceivedBodies().read),
            applicants=PushedApplicantRepository(engine),
            inbox=PushedEventRepository(engine),
            timed_facts=FactsRepository(engine),
            repeated=RepeatedRequests(IdempotencyRepository(engine), utc_now, random_id),
            loaded_models=self._shelf.loaded,
            is_ready=lambda: self.is_ready,
            metrics=telemetry.metrics.render,
        )

    @property
    def is_ready(self) -> bool:
        """Whether the database answers and new roles would be seen."""
        return answers(self._engine) and self._follower.is_following

    def close(self) -> None:
        """Release what is held."""
        self._open.close()

    def _cache(self, environment: Environment) -> AbstractContextManager[FeatureCache]:
        lifetime = Lifetime(timedelta(seconds=environment.feature_ttl_s))
        return open_feature_cache(environment.redis_url, lifetime, utc_now, self._telemetry.metrics.cache_failed)

    def _swapped(self, swap: Swap) -> None:
        self._telemetry.metrics.swapped(done=swap.failure is None)
        self._telemetry.metrics.roles_followed(swap.versions)


def _routes_of(app: FastAPI) -> set[str]:
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    return {f"{method} {route.path_format}" for route in routes for method in route.methods or ()}


def _database_url(stage: Path) -> str:
    url = Environment().database_url
    # Staged beside service.py, in a Bento's 'src'; the Bento's own description lies one directory above.
    if absolute_url(url) != url and (stage.parents[2] / "bento.yaml").exists():
        logger.warning("CREDIT_DATABASE_URL is relative, so records are kept inside the Bento; make it absolute.")
    return url


async def _not_ready(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    told = Told(
        "not_ready", "The service is not ready; its log says why. Try again later.", headers={"Retry-After": "5"}
    )
    await problem(request, told)(scope, receive, send)
