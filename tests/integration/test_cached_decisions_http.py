"""Decisions on stored applicants over HTTP with a real Redis: warm, cold, together, and while Redis misbehaves."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis
from service_package import Client, embedded, served, stage

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.core.owners import Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.core.table_checks import CheckedTables
from credit_scoring.core.tables import application_table, event_tables


@pytest.fixture
def client(
    scorecard_bundle: ModelBundle,
    boosted_trees_bundle: ModelBundle,
    taiwan: Portfolio,
    taiwan_checked: CheckedTables,
    redis_url: str,
    tmp_path: Path,
) -> Iterator[Client]:
    engine = open_database(f"sqlite:///{tmp_path}/credit.db")
    rows = {"applicants": taiwan_checked.valid["applicants"].head(100)}
    events = {table: frame.collect() for table, frame in event_tables(rows, taiwan).items()}
    FactsRepository(engine).replace_all(
        Owner("default", taiwan.name), "hash", application_table(rows, taiwan).collect(), events
    )
    package = stage(tmp_path / "stage/of/bento", scorecard_bundle, boosted_trees_bundle)
    environment = embedded(tmp_path / "credit.db").model_copy(update={"redis_url": redis_url, "rate_limits": "none"})
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
    with served(package, engine, environment) as client:
        yield client


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def applicants(taiwan_checked: CheckedTables) -> list[str]:
    found: pl.DataFrame = taiwan_checked.valid["applicants"].head(100).collect()
    return found["applicant_id"].to_list()


def decide(client: Client, application_id: str, applicant_id: str) -> dict[str, Any]:
    response = client.decide({"application_id": application_id, "applicant_id": applicant_id})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def without_names(answer: dict[str, Any]) -> dict[str, Any]:
    own = {"decision_id", "application_id", "request_id", "features_from"}
    return {name: value for name, value in answer.items() if name not in own}


def test_concurrent_requests_share_one_look_into_redis(client, server, applicants):
    for number, applicant in enumerate(applicants):
        assert decide(client, f"cold-{number}", applicant)["features_from"] == "store"
    before = server.info("commandstats")["cmdstat_mget"]["calls"]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda n: decide(client, f"warm-{n}", applicants[n]), range(100)))
    asked = server.info("commandstats")["cmdstat_mget"]["calls"] - before
    assert {answer["features_from"] for answer in answers} == {"cache"}
    assert asked < 60, f"{asked} MGETs for 100 requests"


def test_rubbish_in_redis_is_computed_anew_and_never_scored(client, server, applicants):
    cold = decide(client, "cold", applicants[0])
    for key in server.keys("*"):
        if server.type(key) == b"string":
            server.set(key, b"rubbish" * 20)
    again = decide(client, "again", applicants[0])
    assert again["features_from"] == "store"
    assert without_names(again) == without_names(cold)
    assert decide(client, "healed", applicants[0])["features_from"] == "cache"


def test_a_value_moved_under_another_applicant_s_key_is_refused(client, server, applicants):
    decide(client, "first", applicants[0])
    [key] = [key for key in server.keys("*") if server.type(key) == b"string" and applicants[0].encode() in key]
    second = decide(client, "second", applicants[1])
    [other] = [
        one for one in server.keys("*") if server.type(one) == b"string" and one != key and one.startswith(key[:10])
    ]
    server.set(other, server.get(key))
    again = decide(client, "again", applicants[1])
    assert again["features_from"] == "store"
    assert without_names(again) == without_names(second)


def test_a_flushed_redis_is_filled_again(client, server, applicants):
    decide(client, "cold", applicants[0])
    server.flushall()
    assert decide(client, "flushed", applicants[0])["features_from"] == "store"
    assert decide(client, "warm", applicants[0])["features_from"] == "cache"


def test_facts_that_were_put_count_at_once_although_redis_holds_older_features(client, applicants):
    decide(client, "cold", applicants[0])
    assert decide(client, "warm", applicants[0])["features_from"] == "cache"
    put = client.put(f"/v1/applicants/{applicants[0]}", json={"limit_twd": 990_000, "education": "university"})
    assert put.status_code == 200
    after = decide(client, "after", applicants[0])
    assert after["features_from"] == "store"
    read = client.get(f"/v1/decisions/{after['decision_id']}").json()
    assert read["features"][after["feature_set"]]["values"]["limit_twd"] == 990_000
