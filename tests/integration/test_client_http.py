import asyncio
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn
from service_package import body, embedded, stage
from sqlalchemy import Engine, text
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.adapters.database.development_key import development_key_file
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.client import (
    Application,
    AsyncCreditScoringClient,
    CreditScoringClient,
    NotFoundError,
    Patience,
    ReusedError,
    ServiceUnavailableError,
    UnauthenticatedError,
    UnknownApplicantError,
    ValidationProblemError,
)
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.environment import Environment
from credit_scoring.serving.bootstrap import Parts
from credit_scoring.serving.telemetry import private_telemetry

DOCUMENT = Path(__file__).parents[2] / "docs" / "client.md"
PATIENT = Patience(timeout_s=10, deadline_s=30, first_wait_s=0.001, longest_wait_s=0.001)

Fault = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]


class Faulty:
    """The service behind a network that does to each request what is planned next, and then nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.planned: list[Fault] = []
        self.connections: set[Any] = set()
        self.ids: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.connections.add(scope["client"])
        self.ids.append(dict(scope["headers"]).get(b"x-request-id", b"").decode())
        fault = self.planned.pop(0) if self.planned else None
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await fault(self._app, scope, receive, send)


async def cut_after_the_commit(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, _nowhere)
    _cut(send)


async def cut_in_the_answer(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    async def half(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = message | {"body": message["body"][:50], "more_body": True}
        await send(message)

    await app(scope, receive, half)
    _cut(send)


async def cut_before_the_service(_app: ASGIApp, _scope: Scope, _receive: Receive, send: Send) -> None:
    _cut(send)


async def silent_after_the_commit(app: ASGIApp, scope: Scope, receive: Receive, _send: Send) -> None:
    await app(scope, receive, _nowhere)
    while (await receive())["type"] != "http.disconnect":
        pass


async def gateway_is_bad(_app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await Response("<html>", 502)(scope, receive, send)


async def _nowhere(_message: Message) -> None:
    pass


def _cut(send: Send) -> None:
    send.__self__.transport.abort()  # type: ignore[attr-defined] # uvicorn's own, whose connection it is


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """The address of ``app`` on a port of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off", access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


class Served:
    """A service on a socket, its key and its records."""

    def __init__(self, url: str, key: str, faults: Faulty, engine: Engine) -> None:
        self.url, self.key, self.faults, self.engine = url, key, faults, engine

    def client(self, **options: Any) -> CreditScoringClient:
        return CreditScoringClient(self.url, **({"key": self.key, "patience": PATIENT} | options))

    def async_client(self, **options: Any) -> AsyncCreditScoringClient:
        return AsyncCreditScoringClient(self.url, **({"key": self.key, "patience": PATIENT} | options))

    def recorded(self, application_id: str) -> int:
        with self.engine.connect() as connection:
            asked = text("SELECT count(*) FROM decisions WHERE application_id = :id")
            count: int = connection.execute(asked, {"id": application_id}).scalar_one()
            return count


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return embedded(tmp_path_factory.mktemp("database") / "credit.db")


@pytest.fixture(scope="module")
def package(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> BentoPackage:
    return stage(tmp_path_factory.mktemp("stage") / "bento", scorecard_bundle, boosted_trees_bundle)


@pytest.fixture(scope="module")
def running(package: BentoPackage, environment: Environment) -> Iterator[Served]:
    engine = open_database(environment.database_url)
    parts = Parts(package, engine, environment, private_telemetry())
    file = development_key_file(environment.database_url)
    assert file is not None
    faults = Faulty(parts.app)
    with listening(faults) as url:
        yield Served(url, file.read_text().strip(), faults, engine)
    parts.close()


@pytest.fixture
def service(running: Served) -> Served:
    running.faults.planned.clear()
    running.faults.connections.clear()
    running.faults.ids.clear()
    return running


def sent(application_id: str, **changes: Any) -> Application:
    made: Any = body(application_id, **changes)
    return made  # type: ignore[no-any-return]


def decide(service: Served, application_id: str, **options: Any) -> Any:
    given: dict[str, Any] = dict(sent(application_id))
    with service.client(**options) as client:
        return client.decide(
            given.pop("application_id"), given.pop("applicant_id"), **{k: given[k] for k in ("application", "events")}
        )


def test_a_decision_is_made_and_read_back_by_the_same_types(service):
    made = decide(service, "made")
    with service.client() as client:
        read = client.decision(made.decision_id)
    assert read.model_dump(include=set(type(made).model_fields)) == made.model_dump()
    assert read.received == sent("made")
    assert made.reasons[0].points_lost > 0


FAULTS: dict[str, Fault] = {
    "cut after the commit": cut_after_the_commit,
    "cut in the answer": cut_in_the_answer,
    "cut before the service": cut_before_the_service,
    "bad gateway": gateway_is_bad,
}


@pytest.mark.parametrize(("name", "fault"), FAULTS.items(), ids=FAULTS)
def test_a_retry_gets_the_first_decision_and_there_is_one_record(service, name, fault):
    service.faults.planned += [fault, fault]
    made = decide(service, name)
    assert service.recorded(name) == 1
    assert decide(service, name) == made
    first, second, third, again = service.faults.ids
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert not again.startswith(first)
    assert made.request_id == (first if fault in (cut_after_the_commit, cut_in_the_answer) else third)


def test_a_timeout_after_the_commit_is_tried_again_and_recorded_once(service):
    decide(service, "to warm up")
    service.faults.planned.append(silent_after_the_commit)
    made = decide(service, "silent", patience=Patience(timeout_s=2, first_wait_s=0.001))
    assert service.recorded("silent") == 1
    assert made.request_id == service.faults.ids[-2]


def test_a_network_that_stays_broken_is_told_and_the_decision_can_still_be_fetched(service):
    service.faults.planned += [cut_after_the_commit] * 3
    with pytest.raises(ServiceUnavailableError, match="3 attempt") as raised:
        decide(service, "broken", patience=Patience(retries=2, first_wait_s=0.001))
    assert service.recorded("broken") == 1
    assert decide(service, "broken").request_id == raised.value.request_id


def test_nobody_listening_is_told_as_an_unavailable_service(service):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = Served(f"http://127.0.0.1:{unused.getsockname()[1]}", service.key, service.faults, service.engine)
        with pytest.raises(ServiceUnavailableError, match="ConnectError"):
            decide(nowhere, "nowhere")


def test_a_batch_that_was_cut_is_decided_once_and_in_its_order(service):
    service.faults.planned.append(cut_after_the_commit)
    unknown: Application = {"application_id": "batch-unknown", "applicant_id": "nobody"}
    asked = [sent("batch-1"), sent("batch-invalid", application={}), unknown, sent("batch-2")]
    with service.client() as client:
        found = client.decide_batch(asked)
    assert (found.decided, found.failed) == (2, 2)
    told = [
        r.decision.application_id if r.decision else r.problem.code for r in found.results if r.decision or r.problem
    ]
    assert told == ["batch-1", "invalid_application", "unknown_applicant", "batch-2"]
    assert (service.recorded("batch-1"), service.recorded("batch-2")) == (1, 1)


def test_refusals_are_told_by_their_kinds(service):
    with service.client() as client:
        with pytest.raises(UnknownApplicantError):
            client.decide("refused", "nobody")
        with pytest.raises(ValidationProblemError) as raised:
            client.decide("refused", "applicant-1", application={"limit_twd": "much", "education": "university"})
        assert [fault.pointer for fault in raised.value.errors] == ["/application/limit_twd"]
        with pytest.raises(NotFoundError):
            client.decision("..")
        client.decide("reused", "applicant-1", **part_of(sent("reused")))
        with pytest.raises(ReusedError):
            client.decide("reused", "applicant-2", **part_of(sent("reused")))
    with service.client(key=f"cs_{'0' * 16}_{'0' * 64}") as client, pytest.raises(UnauthenticatedError):
        client.decide("refused", "nobody")


def part_of(application: Application) -> Any:
    return {"application": application["application"], "events": application["events"]}


def test_pages_have_each_decision_once(service):
    with service.client() as client:
        made = [client.decide(f"page-{n}", "pages", **part_of(sent("x"))).decision_id for n in range(7)]
        found = [decision.decision_id for decision in client.decisions(applicant_id="pages", page_size=3)]
        last = next(client.decisions(applicant_id="pages"))
        later = list(client.decisions(applicant_id="pages", since=last.as_of.replace(year=2999)))
    assert found == made[::-1]
    assert (last.decision_id, later) == (made[-1], [])


def test_one_client_serves_many_threads_over_few_connections(service):
    with service.client() as client:
        for number in range(5):
            client.decide(f"in turn-{number}", "applicant-1", **part_of(sent("x")))
        assert len(service.faults.connections) == 1
        with ThreadPoolExecutor(8) as pool:
            made = list(
                pool.map(lambda n: client.decide(f"many-{n % 10}", "applicant-1", **part_of(sent("x"))), range(80))
            )
    assert len({decision.decision_id for decision in made}) == 10
    assert len(service.faults.connections) <= 9


def test_a_route_without_a_method_is_asked_with_the_same_key_and_errors(service):
    with service.client() as client:
        assert client.request("GET", "/openapi.json").json()["openapi"].startswith("3")
        assert client.request("GET", "/v1/decisions", params={"limit": "1"}).json()["decisions"]
        with pytest.raises(NotFoundError, match="no such route"):
            client.request("POST", "/v1/nothing", json={})


def test_facts_that_are_sent_are_stored_once_and_decide(service):
    given = part_of(sent("x"))
    with service.client() as client:
        service.faults.planned.append(cut_after_the_commit)
        client.put_applicant("kept/one", given["application"])
        assert not client.put_applicant("kept/one", given["application"]).created
        service.faults.planned.append(cut_after_the_commit)
        kept = client.add_events("kept/one", given["events"])
        assert client.add_events("kept/one", given["events"], idempotency_key="own").stored == 6
        again = client.add_events("kept/one", given["events"], idempotency_key="own")
        stored = client.decide("kept", "kept/one")
        profile = client.profile("kept/one", limit=2)
    assert (kept.stored, again.stored, stored.features_from) == (6, 6, "store")
    assert (profile.events["statements"].count, len(profile.events["statements"].newest)) == (12, 2)
    assert profile.latest is not None
    assert profile.latest.decision_id == stored.decision_id


def test_roles_models_cards_and_replays_are_told(service):
    made = decide(service, "told")
    with service.client() as client:
        roles, models = client.roles(), client.models().models
        assert {roles.champion.version, roles.challenger.version} == {model.version for model in models}
        assert client.roles(roles.since).sequence == roles.sequence
        card = client.model_card(roles.champion.version)
        assert (card.digest, card.role) == (roles.champion.digest, "champion")
        replay = client.replay(made.decision_id)
        assert (replay.decision_id, replay.matches, replay.exact) == (made.decision_id, True, True)
        with pytest.raises(NotFoundError):
            client.model_card(999)


def test_the_examples_of_the_documentation_run_and_print_what_it_shows(service, monkeypatch, capsys):
    monkeypatch.setenv("CREDIT_SCORING_URL", service.url)
    monkeypatch.setenv("CREDIT_SCORING_KEY", service.key)
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", DOCUMENT.read_text(), re.DOTALL)
    assert len(examples) > 5
    for code, printed in examples:
        exec(compile(code, DOCUMENT.name, "exec"), names)  # noqa: S102 - it is our own documentation
        assert capsys.readouterr().out == printed


def test_the_async_client_asks_the_same_way(service):
    async def ask() -> None:
        service.faults.planned.append(cut_after_the_commit)
        async with service.async_client() as client:
            first = await client.decide("async", "applicant-1", **part_of(sent("x")))
            asked = (client.decide("async", "applicant-1", **part_of(sent("x"))) for _ in range(10))
            assert {decision.decision_id for decision in await asyncio.gather(*asked)} == {first.decision_id}
            assert (await client.decision(first.decision_id)).decision_id == first.decision_id
            batch = await client.decide_batch([sent(f"async-{number}", applicant_id="async") for number in range(5)])
            found = [decision async for decision in client.decisions(applicant_id="async", page_size=2)]
            assert (batch.decided, len(found)) == (5, 5)
            with pytest.raises(UnknownApplicantError):
                await client.decide("async-unknown", "nobody")

    anyio.run(ask)
    assert service.recorded("async") == 1
