"""What the service's tests share: a staged package, applications, and a client without a socket."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
from starlette.types import ASGIApp

from credit_scoring.adapters.bento_package import BentoPackage, read_package, stage_package
from credit_scoring.adapters.memory import InMemoryDecisionBook, InMemoryFactsStore
from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.roles import BundleRef, Experiment, Role, Roles
from credit_scoring.core.routing import Route
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.usecases.decide_application import Application, Decider
from credit_scoring.usecases.model_opinions import RoleModel

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SALT = "service-tests"


def bundle_ref(bundle: ModelBundle, version: int) -> BundleRef:
    name = f"credit_scoring_{bundle.portfolio.name}"
    return BundleRef(
        model=name, version=version, algorithm=bundle.classifier.algorithm, digest=digest(to_files(bundle))
    )


def roles_of(champion: ModelBundle, challenger: ModelBundle, share: float = 0.1) -> Roles:
    experiment = Experiment(id="experiment-1", salt=SALT, challenger_share=share)
    return Roles(champion=bundle_ref(champion, 1), challenger=bundle_ref(challenger, 2), experiment=experiment)


def stage(target: Path, champion: ModelBundle, challenger: ModelBundle) -> BentoPackage:
    files = [to_files(champion), to_files(challenger)]
    stage_package(target, roles_of(champion, challenger), {digest(own): own for own in files})
    return read_package(target)


class FixedArm:
    """Routes everybody to one arm."""

    def __init__(self, arm: Role) -> None:
        self._arm = arm

    def route(self, applicant_id: str) -> Route:  # noqa: ARG002 - part of the protocol
        return Route(self._arm, 1.0)


def decider(models: Mapping[Role, ModelBundle], arm: Role = "champion", **changes: Any) -> Decider:
    """A decider on fakes; ids count up, and it is always ``NOW``."""
    held: dict[Role, RoleModel] = {
        role: RoleModel(bundle_ref(bundle, number), bundle) for number, (role, bundle) in enumerate(models.items(), 1)
    }
    ids = iter(f"decision-{number}" for number in range(1, 1000))
    surroundings: dict[str, Any] = {
        "routing": FixedArm(arm),
        "facts": InMemoryFactsStore(),
        "decisions": InMemoryDecisionBook(),
        "clock": lambda: NOW,
        "new_id": lambda: next(ids),
    }
    return Decider(models=held, **(surroundings | changes))


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
    """Sends requests to an ASGI app and returns whole responses; an error that leaves the app is a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return anyio.run(partial(self._send, method, path, options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def decide(self, content: Any, **options: Any) -> httpx.Response:
        return self.post("/v1/decisions", json=content, **options)

    async def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **options)
