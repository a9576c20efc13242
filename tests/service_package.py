"""What the service's tests share: a staged package, applications, and a client without a socket."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal
from sqlalchemy import Engine
from starlette.types import ASGIApp

from credit_scoring.adapters.bento_package import BentoPackage, read_package, stage_package
from credit_scoring.adapters.database.development_key import development_key_file
from credit_scoring.adapters.memory_decisions import InMemoryDecisionBook
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.api.decisions import Role
from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.roles import BundleRef, Experiment, Roles, StickySplitRouting
from credit_scoring.core.routing import Route, RoutingStrategy
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.environment import Environment
from credit_scoring.serving.bootstrap import Parts
from credit_scoring.serving.telemetry import private_telemetry
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.assignment import Assignment, RoleModel
from credit_scoring.usecases.decide_applications import Decider
from credit_scoring.usecases.feature_rows import FeatureRows

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SALT = "service-tests"


def bundle_ref(bundle: ModelBundle, version: int) -> BundleRef:
    name = f"credit_scoring_{bundle.portfolio.name}"
    return BundleRef(
        model=name, version=version, algorithm=bundle.classifier.algorithm, digest=digest(to_files(bundle))
    )


def roles_of(champion: ModelBundle, challenger: ModelBundle, share: float = 0.1) -> Roles:
    experiment = Experiment(id="experiment-1", salt=SALT, routing=StickySplitRouting(challenger_share=share))
    return Roles(champion=bundle_ref(champion, 1), challenger=bundle_ref(challenger, 2), experiment=experiment)


def stage(
    target: Path,
    champion: ModelBundle,
    challenger: ModelBundle,
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> BentoPackage:
    files = [to_files(champion), to_files(challenger)]
    stage_package(target, roles_of(champion, challenger), {digest(own): own for own in files}, tags)
    return read_package(target)


def embedded(database: Path) -> Environment:
    """The environment of an embedded database, whatever this process runs in."""
    return Environment(_env_file=None, database_url=f"sqlite:///{database}", redis_url=None, oidc_issuer=None)


@contextmanager
def served(package: BentoPackage, engine: Engine, environment: Environment) -> Iterator["Client"]:
    """A client with the development key of what is served from ``package`` on ``engine``."""
    parts = Parts(package, engine, environment, private_telemetry())
    file = development_key_file(environment.database_url)
    with closing(Client(parts.app, file.read_text().strip() if file else None)) as client:
        client.parts = parts
        yield client
    parts.close()


class FixedArm:
    """Routes everybody to one arm."""

    def __init__(self, arm: Role, *, scores_challenger: bool = True) -> None:
        self._arm = arm
        self.scores_challenger = scores_challenger

    def route(self, applicant_id: str, at: datetime) -> Route:  # noqa: ARG002 - part of the protocol
        return Route(self._arm, 1.0)


def assignment(models: Mapping[Role, ModelBundle], routing: RoutingStrategy, sequence: int = 1) -> Assignment:
    held: dict[Role, RoleModel] = {
        role: RoleModel(bundle_ref(bundle, number), bundle) for number, (role, bundle) in enumerate(models.items(), 1)
    }
    return Assignment(sequence, held, routing)


def decider(models: Mapping[Role, ModelBundle], arm: Role = "champion", **changes: Any) -> Decider:
    """A decider on fakes; ids count up, and it is always ``NOW``."""
    held = assignment(models, changes.pop("routing", FixedArm(arm)))
    ids = iter(f"decision-{number}" for number in range(1, 100_000))
    features = FeatureRows(changes.pop("facts", InMemoryFactsStore()), changes.pop("cache", None))
    surroundings: dict[str, Any] = {
        "decisions": InMemoryDecisionBook(lambda: NOW),
        "clock": lambda: NOW,
        "new_id": lambda: next(ids),
        "challenger_budget_s": lambda _applications: 30.0,
    }
    return Decider(assignment=lambda: held, features=features, **(surroundings | changes))


def facts(limit_twd: int = 90_000, status: int = 1) -> Facts:
    events = [
        Event(
            datetime(2005, month, 28, tzinfo=UTC),
            number,
            {"repayment_status": status, "bill_twd": 40_000, "paid_twd": 0},
        )
        for number, month in enumerate(range(4, 10))
    ]
    return Facts({"limit_twd": limit_twd, "education": "university"}, {"statements": events})


def application(application_id: str = "application-1", **changes: Any) -> Application:
    """An application with everything inline."""
    given: dict[str, Any] = {
        "applicant_id": "applicant-1",
        "received": {"application_id": application_id},
        "request_id": "request-1",
        "inline": facts(),
    }
    return Application(application_id=application_id, **(given | changes))


def body(application_id: str = "application-1", **changes: Any) -> dict[str, Any]:
    """The same as a request's body."""
    rows = [
        {"occurred_at": f"2005-0{month}-28T00:00:00Z", "repayment_status": 1, "bill_twd": 40_000, "paid_twd": 0}
        for month in range(4, 10)
    ]
    given = {
        "applicant_id": "applicant-1",
        "application": {"limit_twd": 90_000, "education": "university"},
        "events": {"statements": rows},
    }
    return {"application_id": application_id} | given | changes


class Client:
    """Sends requests to an ASGI app and returns whole responses; an error that leaves the app is a 500.

    All requests, of whichever thread, are answered on one event loop, as a server does.
    """

    parts: Parts

    def __init__(self, app: ASGIApp, key: str | None = None) -> None:
        self._app = app
        self.headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._portal = start_blocking_portal()
        self._running = self._portal.__enter__()

    def close(self) -> None:
        self._portal.__exit__(None, None, None)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        options["headers"] = self.headers | dict(options.get("headers", {}))
        return self._running.call(partial(self._send, method, path, options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)

    def decide(self, content: Any, **options: Any) -> httpx.Response:
        return self.post("/v1/decisions", json=content, **options)

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
            return await client.request(method, path, **options)
