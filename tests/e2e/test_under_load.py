import pytest
from acknowledged import PORTFOLIO, OnRecord, Told, loading, tenants_with_keys
from databases import KINDS, empty_database
from load import Plan
from served_sources import Sources, bento, port_to_come_back_to
from sqlalchemy import Engine

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.core.roles import Roles
from credit_scoring.core.scoring import ModelBundle

CLIENTS = 64
WORKERS = 4
DECISIONS = {"sqlite": 20_000, "postgres": 4_000}


@pytest.fixture(scope="module")
def sources(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> Sources:
    return Sources(tmp_path_factory.mktemp("sources"), scorecard_bundle, boosted_trees_bundle)


def swap_roles(engine: Engine) -> None:
    """Have champion and challenger change places in the experiment that goes on."""
    book = RoleRepository(engine)
    row = book.current(PORTFOLIO)
    assert row is not None
    held = row.roles
    swapped = Roles(champion=held.challenger, challenger=held.champion, experiment=held.experiment)
    book.append(PORTFOLIO, row.sequence, swapped, "swapped")


def share_from_cache(records: OnRecord) -> float:
    """Share of the last quarter of stored applicants' decisions whose features were kept."""
    stored = [record for record in records.by_application.values() if record.answer.features_from != "request"]
    latest = sorted(stored, key=lambda record: record.decided_at)[-len(stored) // 4 :]
    return sum(record.answer.features_from == "cache" for record in latest) / len(latest)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_acknowledged_is_on_record_once_also_while_roles_swap(kind, sources, request, tmp_path):
    more = {"CREDIT_REDIS_URL": request.getfixturevalue("redis_url")} if kind == "postgres" else {}
    told, decisions = tmp_path / "told", DECISIONS[kind]
    with empty_database(kind, request) as url, opened(url) as engine:
        keys = tenants_with_keys(engine)
        with bento(sources, url, workers=WORKERS, **more) as service:
            plan = Plan(service.port, keys, str(told), CLIENTS, decisions, seed=1)
            with loading(plan) as load:
                load.await_acknowledged(decisions // 2)
                swap_roles(engine)
                report = load.report()
            service.terminate()
        records = OnRecord.of(engine)
        assert not report.wrong
        assert len(records.by_application) > decisions
        records.hold(Told.read(told))
        by_row = records.check_arms(engine)
    assert len(records.writers) >= WORKERS
    assert records.shared_applicants() > 100
    assert set(by_row) == {1, 2}
    assert share_from_cache(records) > 0.5


def test_a_server_that_is_asked_to_end_loses_nothing_that_it_acknowledged(sources, tmp_path):
    told, port = tmp_path / "told", port_to_come_back_to()
    with opened(f"sqlite:///{tmp_path}/credit.db") as engine:
        plan = Plan(port, tenants_with_keys(engine), str(told), clients=32, seed=2)
        with loading(plan) as load:
            for least in (600, 1_200):
                with bento(sources, f"sqlite:///{tmp_path}/credit.db", workers=2, port=port) as service:
                    load.await_acknowledged(least)
                    service.terminate()
            report = load.stop()
        assert not report.wrong
        OnRecord.of(engine).hold(Told.read(told))
