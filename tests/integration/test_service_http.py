import json
import logging
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from service_package import NOW, SALT, Client, body, embedded, roles_of, served, stage
from sqlalchemy import Engine
from sqlalchemy.event import listen

from credit_scoring.adapters.bento_package import BentoPackage, read_package
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.keys import KeyRepository
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.core.api_keys import KeyHolder, new_key
from credit_scoring.core.callers import SCOPES
from credit_scoring.core.errors import BundleError, SettingsError
from credit_scoring.core.hashing import salted_draw
from credit_scoring.core.owners import Owner
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.core.tables import application_table, event_tables
from credit_scoring.serving.bootstrap import DecisionService, Parts
from credit_scoring.serving.telemetry import private_telemetry
from credit_scoring.serving.worker import bento_name
from credit_scoring.usecases.turns import Turn

JSON = {"Content-Type": "application/json"}
VALUE_SENT = "an-applicants-value"


@pytest.fixture(scope="module")
def stage_directory(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    directory = tmp_path_factory.mktemp("stage") / "bento"
    stage(directory, scorecard_bundle, boosted_trees_bundle)
    return directory


@pytest.fixture(scope="module")
def package(stage_directory: Path) -> BentoPackage:
    return read_package(stage_directory)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("database") / "credit.db"


@pytest.fixture(scope="module")
def engine(database: Path) -> Engine:
    return open_database(f"sqlite:///{database}", busy_timeout_s=0.2)


@pytest.fixture(scope="module")
def client(package: BentoPackage, engine: Engine, database: Path) -> Iterator[Client]:
    with served(package, engine, embedded(database)) as client:
        yield client


def applicant_in(arm: str) -> str:
    names = (f"applicant-{number}" for number in range(1000))
    return next(name for name in names if (salted_draw("experiment", SALT, name) < 0.1) == (arm == "challenger"))


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    told = response.json()
    assert {"type", "title", "status", "code", "detail", "request_id"} <= set(told)
    assert (told["status"], told["code"]) == (status, code)
    assert told["request_id"] == response.headers["x-request-id"]
    return told


@pytest.mark.parametrize("arm", ["champion", "challenger"])
def test_a_decision_is_answered_and_can_be_read_back(client, arm):
    sent = body(f"read-back-{arm}", applicant_id=applicant_in(arm))
    response = client.decide(sent, headers={"X-Request-ID": "from-the-caller"})
    assert response.status_code == 200
    answer = response.json()
    assert (answer["arm"], answer["decider"], answer["model"]["role"]) == (arm, arm, arm)
    assert (answer["features_from"], answer["request_id"]) == ("request", "from-the-caller")
    assert response.headers["x-request-id"] == "from-the-caller"
    read = client.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert answer.items() <= read.items()
    assert read["received"] == sent
    assert read["scores"][arm]["points_exact"] == answer["points_exact"]


def test_stored_facts_decide_like_the_same_facts_inline(client, engine, taiwan, taiwan_checked):
    rows = {"applicants": taiwan_checked.valid["applicants"].head(20)}
    events = {table: frame.collect() for table, frame in event_tables(rows, taiwan).items()}
    applications = application_table(rows, taiwan).collect()
    FactsRepository(engine).replace_all(Owner("default", taiwan.name), "hash", applications, events)
    applicant_id = applications["applicant_id"][3]
    stored = client.decide({"application_id": "stored", "applicant_id": applicant_id}).json()
    fields = applications.row(3, named=True)
    fields.pop("applicant_id")
    statements = [
        {"occurred_at": row["occurred_at"].isoformat().replace("+00:00", "Z")}
        | {name: row[name] for name in taiwan.events["statements"].columns}
        for row in events["statements"].iter_rows(named=True)
        if row["applicant_id"] == applicant_id
    ]
    sent = body("inline", applicant_id=applicant_id, application=fields, events={"statements": statements})
    inline = client.decide(sent).json()
    own = {"decision_id", "application_id", "request_id", "features_from"}
    assert (stored["features_from"], inline["features_from"]) == ("store", "request")
    assert {k: v for k, v in stored.items() if k not in own} == {k: v for k, v in inline.items() if k not in own}


def test_an_application_sent_again_gets_its_first_answer_whatever_its_layout(client):
    first = client.decide(body("again"))
    turned = json.dumps(dict(reversed(body("again").items())), indent=3)
    again = client.post("/v1/decisions", content=turned, headers=JSON)
    assert (again.status_code, again.json()) == (200, first.json())
    other = client.decide(body("again", applicant_id="other"))
    assert_problem(other, 422, "application_reused")


def test_the_same_application_sent_at_once_is_recorded_once(client):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.decide(body("at-once")), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["decision_id"] for answer in answers}) == 1


def test_an_unknown_applicant_is_not_found(client):
    assert_problem(client.decide({"application_id": "u", "applicant_id": "nobody"}), 404, "unknown_applicant")


def test_an_unknown_decision_is_not_found(client):
    assert_problem(client.get("/v1/decisions/nowhere"), 404, "unknown_decision")


def test_unknown_routes_and_methods_are_problems(client):
    assert_problem(client.get("/v2/decisions"), 404, "not_found")
    refused = client.request("PUT", "/v1/decisions")
    assert_problem(refused, 405, "method_not_allowed")
    assert set(refused.headers["allow"].split(", ")) == {"GET", "POST"}


def deep(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


MALFORMED = {
    "empty": "",
    "half": '{"application_id": "x"',
    "text": VALUE_SENT,
    "not UTF-8": b'{"application_id": "\xff"}',
    "lone surrogate": '{"application_id": "\\ud800"}',
    "nested brackets": "[" * 100_000,
    "nested objects": deep(100_000),
    "thousands of digits": '{"application_id": ' + "9" * 5000 + "}",
    "two documents": "{}{}",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_no_json_is_refused(client, content):
    response = client.post("/v1/decisions", content=content, headers=JSON)
    told = assert_problem(response, 422, "malformed_json")
    assert told["errors"][0]["pointer"] == ""
    assert VALUE_SENT not in response.text


REPEATED = '{"application_id": "i", "applicant_id": "a", "application": {"limit_twd": 1, "limit_twd": 2}}'


def test_a_field_that_is_named_twice_is_refused(client):
    assert_problem(client.post("/v1/decisions", content=REPEATED, headers=JSON), 422, "repeated_field")


INVALID = {
    "list": ("[]", ""),
    "null": ("null", ""),
    "nothing": ("{}", "/application_id"),
    "NaN": (
        '{"application_id": "i", "applicant_id": "a", "application": {"limit_twd": NaN}}',
        "/application/limit_twd",
    ),
    "1e400": (
        '{"application_id": "i", "applicant_id": "a", "application": {"limit_twd": 1e400}}',
        "/application/limit_twd",
    ),
    "huge": (json.dumps(body(application={"limit_twd": 10**30, "education": "other"})), "/application/limit_twd"),
    "category": (json.dumps(body(application={"limit_twd": 1, "education": VALUE_SENT})), "/application/education"),
    "no offset": (json.dumps(body(as_of="2005-10-01T00:00:00")), "/as_of"),
    "future": (json.dumps(body("future", as_of="2999-01-01T00:00:00Z")), "/as_of"),
    "events alone": ('{"application_id": "i", "applicant_id": "a", "events": {}}', "/application"),
    "events no object": (json.dumps(body(events=VALUE_SENT)), "/events"),
    "moderate nesting": (json.dumps(body(application=json.loads(deep(100)))), "/application/limit_twd"),
}


@pytest.mark.parametrize(("content", "where"), INVALID.values(), ids=INVALID)
def test_an_invalid_body_is_refused_with_a_pointer_and_without_its_values(client, caplog, content, where):
    response = client.post("/v1/decisions", content=content, headers=JSON)
    told = assert_problem(response, 422, "invalid_application")
    assert told["errors"][0]["pointer"] == where
    assert VALUE_SENT not in response.text
    assert VALUE_SENT not in caplog.text


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused(client, content_type):
    response = client.post("/v1/decisions", content=json.dumps(body()), headers={"Content-Type": content_type})
    assert_problem(response, 415, "unsupported_media_type")


def test_a_content_type_may_name_its_charset(client):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/v1/decisions", content=json.dumps(body("charset")), headers=headers).status_code == 200


def test_a_body_of_two_mebibytes_is_refused(client):
    response = client.post("/v1/decisions", content=b" " * 2**21, headers=JSON)
    assert_problem(response, 413, "body_too_large")


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "größe".encode("latin-1")])
def test_a_request_id_that_is_not_sane_is_replaced(client, given):
    response = client.get("/v1/decisions/nowhere", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


def test_a_locked_database_decides_nothing(client, database):
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    response = client.decide(body("locked"))
    holder.close()
    assert_problem(response, 503, "records_unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert str(database) not in response.text
    assert client.decide(body("locked")).status_code == 200


def test_a_full_disk_decides_nothing(package, tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/credit.db")
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + 10
    engine.dispose()
    listen(engine, "connect", lambda opened, *_: opened.execute(f"PRAGMA max_page_count={pages}"))
    with served(package, engine, embedded(tmp_path / "credit.db")) as client:
        assert client.decide(body("before")).status_code == 200
        response = [client.decide(body(f"full-{number}")) for number in range(20)][-1]
        assert_problem(response, 503, "records_unavailable")
        assert int(response.headers["retry-after"]) > 0


def test_a_deleted_database_decides_nothing(package, tmp_path):
    database = tmp_path / "credit.db"
    with served(package, open_database(f"sqlite:///{database}"), embedded(database)) as client:
        assert client.decide(body("before")).status_code == 200
        database.unlink()
        assert_problem(client.decide(body("after")), 503, "records_unavailable")


def test_an_unforeseen_failure_tells_and_logs_no_value(client, monkeypatch, caplog):
    def fail(*_: Any) -> None:
        raise ValueError(f"cannot handle {VALUE_SENT}")

    monkeypatch.setattr(Turn, "decided", fail)
    with caplog.at_level(logging.DEBUG, logger="credit_scoring"):
        response = client.decide(body("unforeseen"))
    told = assert_problem(response, 500, "internal_error")
    assert VALUE_SENT not in response.text + caplog.text
    assert told["request_id"] in caplog.text


def test_a_decision_that_takes_too_long_is_a_problem(client, monkeypatch):
    monkeypatch.setattr("credit_scoring.serving.endpoints.DEADLINE_S", 0.05)
    monkeypatch.setattr(Turn, "decided", lambda *_: time.sleep(0.3) or [])
    assert_problem(client.decide(body("slow")), 504, "timeout")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_needs_no_outside_host(client, page):
    html = client.get(page).text
    linked = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", html)
    assert linked
    assert all(link.startswith("/") and not link.startswith("//") for link in linked)
    assert not re.search(r"https?://|fonts\.googleapis", html)
    assert {client.get(link).status_code for link in linked} == {200}


def test_the_first_page_leads_to_the_documentation(client):
    assert client.get("/").headers["location"] == "/docs"


def test_the_api_describes_bodies_answers_and_problems(client, taiwan):
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert set(schemas["ApplicationFields"]["properties"]) == set(taiwan.application_columns)
    assert {"ApplicationBody", "Decision", "RecordedDecision", "Problem"} <= set(schemas)
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(described)))
    assert named <= set(schemas)
    example = schemas["ApplicationBody"]["examples"][0]
    assert client.decide(example).status_code == 200


def test_recorded_roles_win_over_those_of_the_package(package, tmp_path, scorecard_bundle, boosted_trees_bundle):
    engine = open_database(f"sqlite:///{tmp_path}/credit.db")
    swapped = roles_of(boosted_trees_bundle, scorecard_bundle)
    RoleRepository(engine).seed(package.portfolio, swapped)
    with served(package, engine, embedded(tmp_path / "credit.db")) as client:
        answer = client.decide(body(applicant_id=applicant_in("champion"))).json()
        read = client.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert read["scores"]["champion"]["algorithm"] == "boosted_trees"


def test_models_that_score_the_golden_application_otherwise_are_refused(package, engine, database):
    off = {key: points + 1e-5 for key, points in package.golden.items()}
    with pytest.raises(BundleError, match="golden application"):
        Parts(replace(package, golden=off), engine, embedded(database), private_telemetry())


def test_a_service_that_cannot_open_says_so_and_answers_503(tmp_path, caplog):
    service = DecisionService(tmp_path / "nothing", private_telemetry())
    service.open()
    assert not service.is_ready
    assert "kedro run" in caplog.text
    with closing(Client(service)) as client:
        assert_problem(client.decide(body()), 503, "not_ready")


def test_a_service_opens_on_the_environments_database(stage_directory, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DATABASE_URL", f"sqlite:///{tmp_path}/own/credit.db")
    service = DecisionService(stage_directory, private_telemetry())
    service.open()
    assert service.is_ready
    with closing(Client(service, (tmp_path / "own/development.key").read_text().strip())) as client:
        assert client.decide(body()).status_code == 200
        assert (tmp_path / "own/credit.db").exists()
        for file in (tmp_path / "own").iterdir():
            file.unlink()
        assert not service.is_ready
        assert_problem(client.decide(body("gone")), 503, "records_unavailable")
        assert not (tmp_path / "own/credit.db").exists(), "an empty file would pass for the records"
    service.close()


def test_a_body_that_ends_early_is_refused_and_not_logged(client, database, caplog):
    ended = [{"type": "http.request", "body": b'{"a', "more_body": True}, {"type": "http.disconnect"}]
    sent = []

    async def receive():
        return ended.pop(0)

    async def send(message):
        sent.append(message)

    key = (database.parent / "development.key").read_bytes().strip()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"99"), (b"authorization", b"Bearer " + key)]
    scope = {"type": "http", "method": "POST", "path": "/v1/decisions", "headers": headers, "query_string": b""}
    scope |= {"http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1)}
    anyio.run(client.parts.app, scope, receive, send)
    assert sent[0]["status"] == 400
    assert not caplog.records


def test_the_bento_is_named_after_its_portfolio(stage_directory, tmp_path):
    assert bento_name(stage_directory) == "credit_scoring_taiwan_cards"
    with pytest.raises(SystemExit, match=r"Nothing is staged .* Run 'kedro run' first"):
        bento_name(tmp_path)


def test_decisions_carry_the_clocks_time(client):
    answer = client.decide(body("clock")).json()
    assert client.get(f"/v1/decisions/{answer['decision_id']}").json()["decided_at"] > NOW.isoformat()


def test_limits_of_a_route_that_does_not_exist_keep_the_service_from_starting(package, engine, database):
    misspelt = embedded(database).model_copy(update={"rate_limits": "POST /v1/decision=5/second"})
    with pytest.raises(SettingsError, match=r"'POST /v1/decision'.*Did you mean 'POST /v1/decisions'"):
        Parts(package, engine, misspelt, private_telemetry())


@pytest.mark.parametrize("field", ["approve_from", "threshold", "arm", "recommendation", "points"])
def test_no_caller_may_move_the_threshold_or_choose_the_arm(client, field):
    told = assert_problem(client.decide(body("override") | {field: 1}), 422, "invalid_application")
    assert told["errors"][0]["pointer"] == f"/{field}"


def test_a_parameter_that_the_route_does_not_know_is_refused(client):
    for query in ("applicant=1", "limit=1&limit=2", "=1"):
        told = assert_problem(client.get(f"/v1/decisions?{query}"), 422, "invalid_parameter")
        assert "applicant_id" in told["detail"]


def test_another_tenant_s_decisions_are_not_found(client, engine):
    answer = client.decide(body("ours")).json()
    holder = KeyHolder("rival", "rival", "rival", frozenset(SCOPES))
    made = new_key(holder, NOW, secrets.token_bytes)
    KeyRepository(engine).add(made.key)
    headers = {"Authorization": f"Bearer {made.text}"}
    where = f"/v1/decisions/{answer['decision_id']}"
    assert_problem(client.get(where, headers=headers), 404, "unknown_decision")
    assert_problem(client.post(f"{where}/replay", headers=headers), 404, "unknown_decision")
    assert client.get("/v1/decisions?application_id=ours", headers=headers).json()["decisions"] == []
    theirs = client.decide(body("ours"), headers=headers).json()
    assert theirs["decision_id"] != answer["decision_id"]


def test_a_batch_answers_in_order_each_with_its_own_arm_or_problem(client):
    sent = [body(f"batch-{number}", applicant_id=f"batch-applicant-{number}") for number in range(300)]
    sent[7] = {"application_id": "batch-7"}
    sent[8] = sent[6]
    response = client.post("/v1/decisions/batch", json={"applications": sent})
    assert response.status_code == 200
    told = response.json()
    assert (told["decided"], told["failed"]) == (299, 1)
    results = told["results"]
    assert results[7]["problem"]["code"] == "invalid_application"
    assert {fault["pointer"] for fault in results[7]["problem"]["errors"]} == {"/applicant_id"}
    assert results[8] == results[6]
    decided = [(place, result["decision"]) for place, result in enumerate(results) if result["decision"]]
    assert [one["application_id"] for place, one in decided if place not in (6, 8)] == [
        f"batch-{place}" for place, _ in decided if place not in (6, 8)
    ]
    for _, one in decided:
        drawn = salted_draw("experiment", SALT, one["applicant_id"]) < 0.1
        assert one["arm"] == ("challenger" if drawn else "champion")
    assert {one["arm"] for _, one in decided} == {"champion", "challenger"}
    alone = client.decide(sent[0]).json()
    assert alone == results[0]["decision"]


BAD_BATCHES = {
    "no list": {"applications": {}},
    "none": {"applications": []},
    "more beside it": {"applications": [{}], "dry_run": True},
    "too many": {"applications": [0] * 10_001},
}


@pytest.mark.parametrize("sent", BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_what_is_no_batch_is_refused_as_a_whole(client, sent):
    told = assert_problem(client.post("/v1/decisions/batch", json=sent), 422, "invalid_body")
    assert told["errors"][0]["pointer"] == "/applications"


def test_pages_of_decisions_lead_to_all_of_them(client):
    for number in range(7):
        client.decide(body(f"page-{number}", applicant_id="pages"))
    found, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/decisions?applicant_id=pages&limit=3{cursor and '&cursor=' + cursor}").json()
        found += [one["application_id"] for one in page["decisions"]]
        cursor = page["next"]
    assert found == [f"page-{number}" for number in range(6, -1, -1)]
    assert_problem(client.get("/v1/decisions?cursor=nonsense"), 422, "invalid_parameter")


@pytest.mark.parametrize("path", ["/v1/decisions/x%00y", "/v1/decisions?applicant_id=%00", "/v1/decisions/x%0Ay"])
def test_an_id_with_control_characters_is_refused_before_the_database_sees_it(client, path):
    assert client.get(path).status_code in (404, 422)


def test_an_idempotency_key_gets_the_first_answer_and_refuses_another_body(client):
    headers = {"Idempotency-Key": "key-1"}
    first = client.decide(body("keyed"), headers=headers)
    assert client.decide(body("keyed"), headers=headers).json() == first.json()
    assert_problem(client.decide(body("keyed-other"), headers=headers), 422, "idempotency_key_reused")


def test_a_database_that_is_not_there_yet_is_tried_until_it_is(stage_directory, tmp_path, monkeypatch):
    monkeypatch.setattr("credit_scoring.serving.bootstrap.OPEN_AGAIN_S", 0.05)
    place = tmp_path / "later"
    place.write_text("not a directory yet")
    monkeypatch.setenv("CREDIT_DATABASE_URL", f"sqlite:///{place}/credit.db")
    service = DecisionService(stage_directory, private_telemetry())
    service.open()
    assert not service.is_ready
    place.unlink()
    deadline = time.monotonic() + 20
    while not service.is_ready and time.monotonic() < deadline:
        time.sleep(0.05)
    with closing(Client(service, (place / "development.key").read_text().strip())) as client:
        assert client.decide(body()).status_code == 200
    service.close()


def test_an_address_that_is_nearly_right_is_told_to_be_wrong(client):
    assert_problem(client.get("/v1/decisions/"), 404, "not_found")


def test_a_body_that_does_not_arrive_in_time_is_refused(client, database, monkeypatch):
    monkeypatch.setattr("credit_scoring.serving.bodies.SLOWEST_BODY_S", 0.05)
    sent = []

    async def receive():
        await anyio.sleep(30)

    async def send(message):
        sent.append(message)

    key = (database.parent / "development.key").read_bytes().strip()
    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer " + key)]
    scope = {"type": "http", "method": "POST", "path": "/v1/decisions", "headers": headers, "query_string": b""}
    scope |= {"http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1)}
    anyio.run(client.parts.app, scope, receive, send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_compressed_body_is_refused(client, encoding):
    headers = JSON | {"Content-Encoding": encoding}
    response = client.post("/v1/decisions", content=json.dumps(body("compressed")), headers=headers)
    assert_problem(response, 415, "unsupported_media_type")


def test_a_batch_in_which_somebody_was_not_known_yet_is_decided_anew_under_its_key(client):
    key, sent = {"Idempotency-Key": "later"}, {"applications": [{"application_id": "late-1", "applicant_id": "late"}]}
    first = client.post("/v1/decisions/batch", json=sent, headers=key).json()
    assert first["results"][0]["problem"]["code"] == "unknown_applicant"
    assert client.put("/v1/applicants/late", json={"limit_twd": 1, "education": "other"}).status_code == 201
    again = client.post("/v1/decisions/batch", json=sent, headers=key)
    assert again.json()["decided"] == 1
    assert client.post("/v1/decisions/batch", json=sent, headers=key).content == again.content


@pytest.mark.parametrize(
    ("path", "headers", "content", "expected"),
    [
        ("/v1/decisions", {}, b"{", (422, "malformed_json")),
        ("/v1/decisions", {"Content-Type": "text/plain"}, b"{}", (415, "unsupported_media_type")),
        ("/v1/decisions?limit=1", {}, b"{}", (422, "invalid_parameter")),
        ("/v1/decisions", {"Idempotency-Key": ""}, b"{}", (422, "invalid_parameter")),
        ("/v1/decisions", {"Idempotency-Key": "k" * 129}, b"{}", (422, "invalid_parameter")),
        ("/v1/decisions", {"Idempotency-Key": "two words"}, b"{}", (422, "invalid_parameter")),
        ("/v1/decisions", {"Authorization": "Bearer nobody"}, b"{}", (401, "unauthenticated")),
        ("/v1/decisions", {}, b'{"application_id": 1}', (422, "invalid_application")),
        ("/v1/decisions", {}, json.dumps(body("direct-1")).encode(), (200, None)),
    ],
)
def test_the_direct_route_answers_as_fastapi_does(client, path, headers, content, expected):
    """Below a root path FastAPI carries the route out itself."""

    async def below(scope: Any, receive: Any, send: Any) -> None:
        await client.parts.app({**scope, "root_path": "/below"}, receive, send)

    sent = {"content": content, "headers": client.headers | JSON | headers}
    with closing(Client(below)) as through_fastapi:
        answers = [client.post(path, **sent), through_fastapi.post(f"/below{path}", **sent)]
    assert [(one.status_code, one.json().get("code")) for one in answers] == [expected, expected]
    told = [one.json() | {"request_id": None} for one in answers]
    assert told[0] == told[1]
    names = [set(one.headers) for one in answers]
    assert names[0] == names[1]


def test_warming_up_records_and_counts_nothing(package, tmp_path):
    environment = embedded(tmp_path / "credit.db")
    with served(package, open_database(environment.database_url), environment) as fresh:
        assert fresh.get("/v1/decisions").json() == {"decisions": [], "next": None}
        figures = fresh.get("/metrics").text
    assert "credit_decisions_total{" not in figures
    assert 'credit_stage_seconds_count{stage="champion"} 0.0' in figures


def test_a_portfolio_s_example_that_cannot_be_decided_keeps_no_service_from_starting(package, tmp_path, monkeypatch):
    def fails(_turn: Turn, _asked: Any) -> Any:
        raise BundleError("cannot be decided")

    monkeypatch.setattr(Turn, "decided", fails)
    environment = embedded(tmp_path / "credit.db")
    with served(package, open_database(environment.database_url), environment) as fresh:
        assert fresh.get("/v1/models").status_code == 200
