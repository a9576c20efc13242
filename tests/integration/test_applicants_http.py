import json
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from databases import empty_database
from service_package import Client, body, embedded, served, stage
from sqlalchemy import Engine, func, select

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.keys import KeyRepository
from credit_scoring.adapters.database.schema import idempotency_keys, pushed_applicants, pushed_events
from credit_scoring.adapters.memory_decisions import InMemoryDecisionBook
from credit_scoring.core.api_keys import key_holder, new_key
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.environment import Environment
from credit_scoring.usecases.accept_facts import FactsIntake
from credit_scoring.usecases.applicant_profile import ProfileReader

JSON = {"Content-Type": "application/json"}
FIELDS = {"limit_twd": 90_000, "education": "university"}
AS_OF = "2025-10-01T00:00:00Z"
PERSONAL = "an-applicants-value"


def statement(number: int = 1, **changes: Any) -> dict[str, Any]:
    at = f"2025-0{number}-28T00:00:00Z"
    return {
        "occurred_at": at,
        "known_at": at,
        "event_id": f"s{number}",
        "repayment_status": 1,
        "bill_twd": 40_000,
        "paid_twd": 0,
    } | changes


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def declared(portfolio: Portfolio, **statements: Any) -> Portfolio:
    """The cards, whose statements arrive by themselves, decided by the clock; the sex stays protected."""
    told = portfolio.model_dump(exclude_none=True)
    columns = told["events"]["statements"]["columns"]
    secret = {"later": {"type": "integer", "nullable": True, "after_outcome": True}}
    table = {"occurred_at": "at", "known_at": "known", "id": "statement", "columns": columns | secret} | statements
    changed = {"as_of": {"granularity": "second"}, "events": {"statements": without(table, *_none(table))}}
    return Portfolio.model_validate(told | changed)


def _none(table: dict[str, Any]) -> list[str]:
    return [name for name, value in table.items() if value is None]


@pytest.fixture(scope="module")
def package(
    taiwan: Portfolio,
    scorecard_bundle: ModelBundle,
    boosted_trees_bundle: ModelBundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> BentoPackage:
    bundles = [replace(bundle, portfolio=declared(taiwan)) for bundle in (scorecard_bundle, boosted_trees_bundle)]
    return stage(tmp_path_factory.mktemp("stage") / "bento", *bundles)


@pytest.fixture(scope="module")
def package_without_ids(
    taiwan: Portfolio,
    scorecard_bundle: ModelBundle,
    boosted_trees_bundle: ModelBundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> BentoPackage:
    plain = declared(taiwan, id=None)
    bundles = [replace(bundle, portfolio=plain) for bundle in (scorecard_bundle, boosted_trees_bundle)]
    return stage(tmp_path_factory.mktemp("stage") / "bento", *bundles)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(f"sqlite:///{tmp_path}/credit.db") as engine:
        yield engine


@pytest.fixture
def client(package: BentoPackage, engine: Engine, tmp_path: Path) -> Iterator[Client]:
    with served(package, engine, embedded(tmp_path / "credit.db")) as client:
        yield client


@pytest.fixture
def nameless(package_without_ids: BentoPackage, engine: Engine, tmp_path: Path) -> Iterator[Client]:
    """A service whose statements declare no id."""
    with served(package_without_ids, engine, embedded(tmp_path / "credit.db")) as client:
        yield client


def bearer(engine: Engine, tenant: str = "default", *scopes: str) -> dict[str, str]:
    holder = key_holder("tests", tenant, "ana@example.com", scopes or ("decide", "read", "ingest"))
    made = new_key(holder, datetime.now(UTC), secrets.token_bytes)
    KeyRepository(engine).add(made.key)
    return {"Authorization": f"Bearer {made.text}"}


def put(client: Client, applicant: str = "anna", fields: Any = FIELDS, **options: Any) -> Any:
    return client.put(f"/v1/applicants/{applicant}", json=fields, **options)


def push(client: Client, *rows: Any, applicant: str = "anna", **options: Any) -> Any:
    return client.post(f"/v1/applicants/{applicant}/events", json={"statements": list(rows)}, **options)


def profile(client: Client, applicant: str = "anna", **options: Any) -> Any:
    return client.get(f"/v1/applicants/{applicant}/profile", **options)


def decide(client: Client, name: str, applicant: str = "anna", **options: Any) -> Any:
    sent = {"application_id": name, "applicant_id": applicant, "as_of": AS_OF}
    return client.decide(sent, **options)


def refused(response: Any, status: int, code: str, *pointers: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    told: dict[str, Any] = response.json()
    assert told["code"] == code
    assert [fault["pointer"] for fault in told.get("errors", [])] == list(pointers)
    assert PERSONAL not in response.text
    return told


def rows_in(engine: Engine) -> list[int]:
    tables = pushed_applicants, pushed_events, idempotency_keys
    with engine.begin() as connection:
        return [connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_an_applicant_is_created_and_then_replaced(client):
    first, second = put(client), put(client, fields=FIELDS | {"limit_twd": 10_000})
    assert (first.status_code, second.status_code) == (201, 200)
    told = first.json()
    assert (told["applicant_id"], told["created"], second.json()["created"]) == ("anna", True, False)
    assert datetime.fromisoformat(told["received_at"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert profile(client).json()["fields"]["values"] == FIELDS | {"limit_twd": 10_000}


@pytest.mark.parametrize(
    "applicant", ["a/b", "a/events", "b/profile", "/", "%", "a b", "größe", "?x=1", "a" * 128, "+", "\u200ba"]
)
def test_an_id_may_be_any_printable_text(client, applicant):
    quoted = "".join(f"%{byte:02X}" for byte in applicant.encode())
    assert put(client, quoted).json()["applicant_id"] == applicant
    assert push(client, statement(), applicant=quoted).json()["stored"] == 1
    assert profile(client, quoted).json()["applicant_id"] == applicant
    assert decide(client, "of-it", applicant).status_code == 200


@pytest.mark.parametrize("quoted", ["a%00", "%09", "%7F", "%FF", "%C3", "a" * 129, ""])
def test_an_id_that_is_none_is_refused(client, engine, quoted):
    refused(put(client, quoted), 422, "invalid_parameter")
    refused(push(client, statement(), applicant=quoted), 422, "invalid_parameter")
    refused(profile(client, quoted), 422, "invalid_parameter")
    assert rows_in(engine) == [0, 0, 0]


@pytest.mark.parametrize("path", ["anna/events", "anna/profile", "a/b", "anna/", "/anna"])
def test_an_address_below_an_applicant_is_no_applicant(client, engine, path):
    refused(put(client, path), 404, "not_found")
    assert rows_in(engine) == [0, 0, 0]


FAULTY_FIELDS = {
    "an unknown column": (FIELDS | {"income": 1}, "/income"),
    "a protected column": (FIELDS | {"sex": "female"}, "/sex"),
    "the outcome": (FIELDS | {"defaulted": 1}, "/defaulted"),
    "a missing column": ({"education": "university"}, "/limit_twd"),
    "out of range": (FIELDS | {"limit_twd": -1}, "/limit_twd"),
    "another type": (FIELDS | {"limit_twd": PERSONAL}, "/limit_twd"),
    "no category": (FIELDS | {"education": PERSONAL}, "/education"),
    "an array": ([FIELDS], ""),
    "the whole application": ({"application": FIELDS}, "/limit_twd"),
}


@pytest.mark.parametrize(("fields", "where"), FAULTY_FIELDS.values(), ids=FAULTY_FIELDS)
def test_fields_are_checked_as_in_a_decision_and_nothing_is_stored(client, engine, caplog, fields, where):
    told = put(client, fields=fields)
    assert told.json()["errors"][0]["pointer"] == where
    assert told.json()["code"] == "invalid_body"
    assert PERSONAL not in told.text + caplog.text
    assert rows_in(engine) == [0, 0, 0]


FAULTY_EVENTS = {
    "an unknown table": ({"payments": []}, "/payments"),
    "an unknown column": ({"statements": [statement(fee=1)]}, "/statements/0/fee"),
    "what is known later": ({"statements": [statement(later=1)]}, "/statements/0/later"),
    "no id": ({"statements": [without(statement(), "event_id")]}, "/statements/0/event_id"),
    "an empty id": ({"statements": [statement(event_id="")]}, "/statements/0/event_id"),
    "a number as id": ({"statements": [statement(event_id=7)]}, "/statements/0/event_id"),
    "no time": ({"statements": [statement(), without(statement(), "occurred_at")]}, "/statements/1/occurred_at"),
    "no offset": ({"statements": [statement(occurred_at="2025-01-01T00:00:00")]}, "/statements/0/occurred_at"),
    "an object": ({"statements": {}}, "/statements"),
    "null": ({"statements": None}, "/statements"),
    "a value": ({"statements": [statement(bill_twd=PERSONAL)]}, "/statements/0/bill_twd"),
    "known too early": ({"statements": [statement(known_at="2025-01-27T23:59:59Z")]}, "/statements/0/known_at"),
}


@pytest.mark.parametrize(("sent", "where"), FAULTY_EVENTS.values(), ids=FAULTY_EVENTS)
def test_events_are_checked_and_nothing_is_stored(client, engine, caplog, sent, where):
    response = client.post("/v1/applicants/anna/events", json=sent, headers={"Idempotency-Key": "k"})
    refused(response, 422, "invalid_body", where)
    assert PERSONAL not in caplog.text
    assert rows_in(engine) == [0, 0, 0]


def test_events_of_the_future_are_refused_beyond_a_small_difference_of_clocks(client):
    def at(seconds: float) -> str:
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()

    assert push(client, statement(1, occurred_at=at(20), known_at=at(30))).status_code == 200
    late = statement(2, occurred_at=at(600), known_at=at(700))
    refused(
        push(client, statement(3), late, statement(4, known_at=at(100))),
        422,
        "invalid_body",
        "/statements/1/occurred_at",
        "/statements/1/known_at",
        "/statements/2/known_at",
    )


def test_too_many_events_are_refused_and_the_most_are_taken(client, engine):
    rows = [without(statement(), "event_id") | {"event_id": f"e{number}"} for number in range(5_001)]
    refused(push(client, *rows), 422, "invalid_body", "/statements")
    assert rows_in(engine) == [0, 0, 0]
    assert push(client, *rows[:5_000]).json()["stored"] == 5_000


HOSTILE = {
    "NaN": (b'{"limit_twd": NaN, "education": "university"}', "invalid_body", 422),
    "infinity": (b'{"limit_twd": 1e999, "education": "university"}', "invalid_body", 422),
    "a field twice": (b'{"limit_twd": 1, "limit_twd": 2, "education": "university"}', "repeated_field", 422),
    "nested": (b"[" * 100_000, "malformed_json", 422),
    "nested objects": (b'{"a":' * 100_000, "malformed_json", 422),
    "no text": (b'{"\xff": 1}', "malformed_json", 422),
    "a surrogate": (b'{"statements": [{"event_id": "\\ud800"}]}', "malformed_json", 422),
    "nothing": (b"", "malformed_json", 422),
    "huge": (b" " * (5 * 2**20), "body_too_large", 413),
}


@pytest.mark.parametrize(("content", "code", "status"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_refused_and_nothing_is_stored(client, engine, content, code, status):
    headers = JSON | {"Idempotency-Key": "k"}
    for send in (client.put, client.post):
        address = "/v1/applicants/anna" + ("/events" if send == client.post else "")
        told = send(address, content=content, headers=headers)
        assert (told.status_code, told.json()["code"]) == (status, code)
    assert rows_in(engine) == [0, 0, 0]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused(client, content_type):
    headers = {"Content-Type": content_type}
    refused(client.put("/v1/applicants/a", content=json.dumps(FIELDS), headers=headers), 415, "unsupported_media_type")
    refused(client.post("/v1/applicants/a/events", content="{}", headers=headers), 415, "unsupported_media_type")


def test_each_route_asks_for_its_scope(client, engine):
    reads, ingests = bearer(engine, "default", "read", "decide"), bearer(engine, "default", "ingest", "decide")
    refused(put(client, headers=reads), 403, "forbidden")
    refused(push(client, statement(), headers=reads), 403, "forbidden")
    refused(profile(client, headers=ingests), 403, "forbidden")
    for request in (put(client, headers={"Authorization": ""}), profile(client, headers={"Authorization": ""})):
        refused(request, 401, "unauthenticated")
    assert rows_in(engine) == [0, 0, 0]


def test_a_lender_knows_nothing_of_anothers_applicants(client, engine):
    own, other = bearer(engine, "one"), bearer(engine, "two")
    put(client, headers=own)
    push(client, statement(), headers=own)
    decide(client, "first", headers=own)
    refused(profile(client, headers=other), 404, "unknown_applicant")
    refused(decide(client, "first", headers=other), 404, "unknown_applicant")
    assert put(client, headers=other).status_code == 201
    assert push(client, statement(bill_twd=7), headers=other).json()["stored"] == 1
    told = profile(client, headers=other).json()
    assert (told["decisions"], told["events"]["statements"]["count"]) == ([], 1)


def test_events_are_stored_once_and_a_contradiction_stores_none(client):
    told = push(client, statement(1), statement(2)).json()
    assert (told["stored"], told["copies"]) == (2, 0)
    again = push(client, statement(2), statement(3)).json()
    assert (again["stored"], again["copies"]) == (1, 1)
    other = push(client, statement(4), statement(1, bill_twd=1), statement(5), statement(5, paid_twd=9))
    told = refused(other, 409, "contradicting_events", "/statements/1", "/statements/3")
    assert "retry-after" not in other.headers
    refused(push(client, statement(1), applicant="bob"), 409, "contradicting_events", "/statements/0")
    assert profile(client).json()["events"]["statements"]["count"] == 3


def test_events_of_somebody_who_is_not_known_yet_are_kept(client):
    assert push(client, *map(statement, range(1, 7))).status_code == 200
    refused(decide(client, "too-early"), 404, "unknown_applicant")
    told = profile(client).json()
    assert (told["fields"], told["latest"], told["events"]["statements"]["count"]) == (None, None, 6)
    assert put(client).status_code == 201
    same = {"events": {"statements": [without(statement(n), "event_id") for n in range(1, 7)]}}
    inline = client.decide(body("inline", applicant_id="anna", as_of=AS_OF) | same).json()
    assert decide(client, "known").json()["points_exact"] == inline["points_exact"]


def test_an_event_that_does_not_tell_is_known_from_its_receipt(client):
    put(client)
    told = push(client, without(statement(1), "known_at")).json()
    [event] = profile(client).json()["events"]["statements"]["newest"]
    assert (event["known_at"], event["occurred_at"]) == (told["received_at"], "2025-01-28T00:00:00Z")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize("cached", [False, True], ids=["in process", "Redis"])
def test_every_worker_decides_on_new_facts_at_once_however_warm_its_cache(package, request, tmp_path, kind, cached):
    with empty_database(kind, request) as url, opened(url) as engine, opened(url) as others:
        redis_url = request.getfixturevalue("redis_url") if cached else None
        surroundings = Environment(_env_file=None, database_url=url, redis_url=redis_url, oidc_issuer=None)
        tenant = f"{kind}-{cached}"
        key = bearer(engine, tenant)
        with served(package, engine, surroundings) as one, served(package, others, surroundings) as two:
            names = iter(f"application-{number}" for number in range(100))

            def decided(client: Client) -> tuple[str, float]:
                told = decide(client, next(names), headers=key).json()
                return told["features_from"], told["points_exact"]

            def both() -> list[tuple[str, float]]:
                return [decided(worker) for worker in (one, two, one, two)]

            def warm() -> float:
                found = both()
                points = {exact for _, exact in found}
                assert [source for source, _ in found][2:] == ["cache", "cache"]
                assert len(points) == 1
                return points.pop()

            put(one, headers=key)
            before = warm()
            push(two, *(statement(n, repayment_status=3) for n in range(1, 9)), headers=key)
            after_events = both()
            assert {exact for _, exact in after_events} != {before}
            assert after_events[0][0] == "store"
            assert warm() == after_events[0][1]
            put(one, fields=FIELDS | {"limit_twd": 500_000}, headers=key)
            sources, exacts = zip(*both(), strict=True)
            assert sources[0] == "store"
            assert len(set(exacts)) == 1
            assert exacts[0] not in (before, after_events[0][1])
            assert warm() == exacts[0]


def test_the_same_sent_again_under_a_key_gets_the_same_bytes(client, engine):
    key = {"Idempotency-Key": "key-1"}
    first = push(client, statement(1), headers=key)
    again = client.post(
        "/v1/applicants/anna/events",
        content=json.dumps({"statements": [dict(reversed(statement(1).items()))]}, indent=3),
        headers=key | JSON,
    )
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert rows_in(engine) == [0, 1, 1]


def test_another_body_or_applicant_under_a_key_is_refused_and_another_lender_is_not(client, engine):
    key = {"Idempotency-Key": "key-1"}
    push(client, statement(1), headers=key)
    refused(push(client, statement(2), headers=key), 422, "idempotency_key_reused")
    refused(push(client, statement(1), applicant="bob", headers=key), 422, "idempotency_key_reused")
    assert push(client, statement(2), headers=key | bearer(engine, "other")).json()["stored"] == 1
    assert rows_in(engine) == [0, 2, 2]


def test_a_request_that_was_refused_leaves_its_key_free(client, engine):
    key = {"Idempotency-Key": "key-1"}
    push(client, statement(1))
    refused(push(client, statement(1, bill_twd=1), headers=key), 409, "contradicting_events", "/statements/0")
    assert push(client, statement(2), headers=key).status_code == 200
    assert rows_in(engine) == [0, 2, 1]


def test_a_request_that_failed_leaves_its_key_free(client, engine, monkeypatch):
    key = {"Idempotency-Key": "key-1"}
    for error, status in ((RecordsError("no disk"), 503), (ValueError(PERSONAL), 500)):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as broken:
            broken.setattr(FactsIntake, "add", fail)
            response = push(client, statement(1), headers=key)
        assert response.status_code == status
        assert PERSONAL not in response.text
        assert rows_in(engine) == [0, 0, 0]
    assert push(client, statement(1), headers=key).json()["stored"] == 1


def test_the_same_sent_meanwhile_is_told_to_wait(client, monkeypatch):
    key, working, go_on = {"Idempotency-Key": "key-1"}, threading.Event(), threading.Event()
    add = FactsIntake.add

    def slow(*given: Any) -> Any:
        working.set()
        go_on.wait(5)
        return add(*given)

    monkeypatch.setattr(FactsIntake, "add", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(push, client, statement(1), headers=key)
        working.wait(5)
        waiting = push(client, statement(1), headers=key)
        refused(waiting, 409, "request_in_progress")
        assert int(waiting.headers["retry-after"]) > 0
        go_on.set()
        assert first.result().json()["stored"] == 1
    assert push(client, statement(1), headers=key).content == first.result().content


def test_work_that_was_given_up_keeps_its_key_because_it_may_go_on(client, engine, monkeypatch):
    key, add = {"Idempotency-Key": "key-1"}, FactsIntake.add
    go_on, ended = threading.Event(), threading.Event()

    def slow(*given: Any) -> Any:
        assert go_on.wait(30)
        try:
            return add(*given)
        finally:
            ended.set()

    with monkeypatch.context() as broken:
        broken.setattr(FactsIntake, "add", slow)
        broken.setattr("credit_scoring.serving.endpoints.DEADLINE_S", 0.2)
        refused(push(client, statement(1), headers=key), 504, "timeout")
    refused(push(client, statement(1), headers=key), 409, "request_in_progress")
    go_on.set()
    assert ended.wait(30)  # the thread that nobody waits for
    assert rows_in(engine) == [0, 1, 1]


def test_an_answer_that_cannot_be_kept_is_given_because_it_was_done(client, engine, monkeypatch):
    def fail(*_: Any) -> None:
        raise RecordsError("no disk")

    monkeypatch.setattr("credit_scoring.adapters.database.idempotency.IdempotencyRepository.answer", fail)
    assert push(client, statement(1), headers={"Idempotency-Key": "key-1"}).json()["stored"] == 1
    assert rows_in(engine) == [0, 1, 1]


@pytest.mark.parametrize("key", ["", "with space", "x" * 129, "ö".encode("latin-1")])
def test_a_key_that_is_none_is_refused(client, engine, key):
    refused(push(client, statement(1), headers={"Idempotency-Key": key}), 422, "invalid_parameter")
    assert rows_in(engine) == [0, 0, 0]


def test_without_a_key_nothing_is_kept_of_a_request(client, engine):
    put(client)
    push(client, statement(1))
    assert rows_in(engine) == [1, 1, 0]


def test_events_without_ids_are_known_again_by_the_key_and_else_by_the_request_and_its_body(nameless, engine):
    row, other = (without(statement(n), "event_id") for n in (1, 2))
    refused(push(nameless, statement(1)), 422, "invalid_body", "/statements/0/event_id")
    for _ in range(2):
        push(nameless, row, row, headers={"Idempotency-Key": "key-1"})
    assert rows_in(engine) == [0, 2, 1]
    for _ in range(2):
        push(nameless, row)
    assert rows_in(engine) == [0, 4, 1]
    for _ in range(2):
        push(nameless, row, headers={"X-Request-ID": "one"})
    assert rows_in(engine) == [0, 5, 1]
    assert push(nameless, other, headers={"X-Request-ID": "one"}).json()["stored"] == 1
    assert push(nameless, row, applicant="bob", headers={"X-Request-ID": "one"}).json()["stored"] == 1


def test_a_batch_sent_again_under_its_key_gets_the_same_bytes(client, engine):
    sent = {"applications": [body(f"b{n}", as_of=AS_OF) for n in range(3)] + [{"application_id": PERSONAL}]}
    for row in (row for one in sent["applications"][:3] for row in one["events"]["statements"]):
        row["known_at"] = row["occurred_at"]
    key = {"Idempotency-Key": "batch-1"}
    first, again = (client.post("/v1/decisions/batch", json=sent, headers=key) for _ in range(2))
    assert (first.json()["decided"], first.json()["failed"]) == (3, 1)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    sent["applications"].pop()
    told = client.post("/v1/decisions/batch", json=sent, headers=key)
    refused(told, 422, "idempotency_key_reused")
    assert rows_in(engine) == [0, 0, 1]


def test_a_batch_of_which_something_failed_for_the_moment_is_not_kept(client, engine, monkeypatch):
    sent, key = {"applications": [body("b1", as_of=AS_OF)]}, {"Idempotency-Key": "batch-1"}

    def fail(*_: Any) -> None:
        raise RecordsError("no disk")

    with monkeypatch.context() as broken:
        broken.setattr("credit_scoring.adapters.database.decisions.DecisionRepository.add", fail)
        first = client.post("/v1/decisions/batch", json=sent, headers=key).json()
    assert first["results"][0]["problem"]["code"] == "records_unavailable"
    assert rows_in(engine) == [0, 0, 0]
    assert client.post("/v1/decisions/batch", json=sent, headers=key).json()["decided"] == 1


def test_a_profile_tells_decisions_newest_first_page_by_page(client):
    put(client)
    push(client, *map(statement, range(1, 7)))
    answers = [decide(client, f"application-{number}").json() for number in range(5)]
    newest_first = [answer["decision_id"] for answer in reversed(answers)]
    pages, cursor = [], None
    while cursor is not None or not pages:
        page = profile(client, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        pages.append(page)
        cursor = page["next"]
    told = [one for page in pages for one in page["decisions"]]
    assert [one["decision_id"] for one in told] == newest_first
    assert {page["latest"]["decision_id"] for page in pages} == {newest_first[0]}
    same = set(told[0]) - {"decided_at"}
    assert same == {
        *("decision_id", "application_id", "as_of", "points", "prob_default", "band", "recommendation"),
        *("model", "reasons"),
    }
    assert {name: told[0][name] for name in same} == {name: answers[-1][name] for name in same}


def test_a_profile_tells_facts_with_their_times_the_newest_events_first(client):
    told = put(client).json()
    push(client, *map(statement, range(1, 7)))
    facts = profile(client, params={"limit": 2}).json()
    assert facts["fields"] == {"received_at": told["received_at"], "received_from": "api", "values": FIELDS}
    events = facts["events"]["statements"]
    assert events["count"] == 6
    assert [one["occurred_at"] for one in events["newest"]] == ["2025-06-28T00:00:00Z", "2025-05-28T00:00:00Z"]
    assert events["newest"][0]["values"] == without(statement(6), "occurred_at", "known_at", "event_id")


def test_a_profile_tells_no_protected_attribute_whatever_was_loaded(client, engine, taiwan):
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    applicants = pl.DataFrame({"applicant_id": ["anna"], "sex": ["female"], "limit_twd": [7], "gone": [1]})
    events = {
        "statements": pl.DataFrame(
            {"applicant_id": ["anna"], "occurred_at": [moment], "event_number": [0], "later": [1], "paid_twd": [2]}
        ),
        "gone": pl.DataFrame({"applicant_id": ["anna"], "occurred_at": [moment], "event_number": [0], "x": [1]}),
    }
    FactsRepository(engine).replace_all(Owner("default", taiwan.name), "hash", applicants, events)
    told = profile(client).json()
    assert (told["fields"]["received_from"], told["fields"]["values"]) == ("files", {"limit_twd": 7})
    assert list(told["events"]) == ["statements"]
    assert told["events"]["statements"]["newest"][0]["values"] == {"paid_twd": 2}


def test_a_profile_tells_no_attribute_that_one_of_two_declarations_protects(engine, taiwan):
    told = taiwan.model_dump(exclude_none=True)
    told["applicants"]["columns"]["education"]["protected"] = True
    told["events"]["statements"]["columns"]["paid_twd"]["after_outcome"] = True
    strict = Portfolio.model_validate(told)
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    owner = Owner("default", taiwan.name)
    applicants = pl.DataFrame({"applicant_id": ["anna"], "education": ["university"], "limit_twd": [7]})
    rows = {"applicant_id": ["anna"], "occurred_at": [moment], "event_number": [0], "paid_twd": [1], "bill_twd": [2]}
    facts = FactsRepository(engine)
    facts.replace_all(owner, "hash", applicants, {"statements": pl.DataFrame(rows)})
    for declared_by in ([taiwan, strict], [strict, taiwan]):
        reader = ProfileReader(declared_by, InMemoryDecisionBook(), facts)
        profile = reader.read(Applicant(owner, "anna"), None, 5).profile
        assert profile.fields.values == {"limit_twd": 7}
        assert profile.events["statements"].newest[0].values == {"bill_twd": 2}


def test_a_profile_of_nobody_is_not_found_and_one_of_inline_decisions_is(client):
    refused(profile(client, "nobody"), 404, "unknown_applicant")
    client.decide(body("inline", applicant_id="nobody", as_of=AS_OF))
    told = profile(client, "nobody").json()
    assert (told["fields"], told["events"], len(told["decisions"])) == (None, {}, 1)


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"cursor": "\x00"}])
def test_a_page_that_cannot_be_is_refused(client, query):
    refused(profile(client, params=query), 422, "invalid_parameter")


def test_the_description_names_bodies_and_every_problem(client):
    described = client.get("/openapi.json").json()
    paths, schemas = described["paths"], described["components"]["schemas"]
    own = {path: methods for path, methods in paths.items() if path.startswith("/v1/applicants")}
    assert {path: list(methods) for path, methods in own.items()} == {
        "/v1/applicants/{applicant_id}": ["put"],
        "/v1/applicants/{applicant_id}/events": ["post"],
        "/v1/applicants/{applicant_id}/profile": ["get"],
    }
    events = own["/v1/applicants/{applicant_id}/events"]["post"]
    text = json.dumps(events["responses"])
    for code in ("contradicting_events", "idempotency_key_reused", "request_in_progress", "invalid_body", "forbidden"):
        assert f'"{code}"' in text
    assert {one["name"] for one in events["parameters"]} >= {"applicant_id", "Idempotency-Key"}
    reference = events["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/ApplicantEvents"
    assert set(own["/v1/applicants/{applicant_id}"]["put"]["responses"]) >= {"200", "201", "413", "415", "422"}
    row = schemas["SentStatementsRow"]
    assert {"occurred_at", "event_id"} <= set(row["required"])
    assert "later" not in row["properties"]
    [example] = schemas["ApplicantEvents"]["examples"]
    assert push(client, *example["statements"]).json()["stored"] == 1
    assert put(client, fields=schemas["ApplicantFields"]["examples"][0]).status_code == 201
    named = set(json.dumps(described).split('"#/components/schemas/')[1:])
    assert {name.partition('"')[0] for name in named} <= set(schemas)
