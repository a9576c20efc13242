"""The whole service is killed at random moments under load, and started again on what it left."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from acknowledged import Loading, OnRecord, Told, loading, tenants_with_keys
from load import Plan
from served_sources import Service, Sources, bare, bento, port_to_come_back_to

from credit_scoring.adapters.database.engine import opened
from credit_scoring.core.scoring import ModelBundle

ROUNDS_BARE = 16
ROUNDS_BENTO = 4
"""A Bento takes three times as long to start, and what is killed in it is the same worker."""

CLIENTS = 32
WORKERS = 2
READY_WITHIN_S = 60.0
LONGEST_LIFE_S = 1.0
"""How long, at most, it is under load before it is killed."""


@pytest.fixture(scope="module")
def sources(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> Sources:
    return Sources(tmp_path_factory.mktemp("sources"), scorecard_bundle, boosted_trees_bundle)


def is_sound(database: Path, copy: Path) -> bool:
    """Whether SQLite finds the file sound, looked up in a copy so that the service has to recover by itself."""
    for suffix in ("", "-wal"):
        if (left := database.with_name(database.name + suffix)).exists():
            shutil.copy(left, copy.with_name(copy.name + suffix))
    with closing(sqlite3.connect(copy)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


def kill_in_the_act(service: Service, load: Loading, draws: random.Random) -> None:
    load.await_acknowledged(load.acknowledged + 1)
    load.pause(draws.uniform(0, LONGEST_LIFE_S))
    service.kill()


@pytest.mark.parametrize(("serve", "rounds"), [(bare, ROUNDS_BARE), (bento, ROUNDS_BENTO)], ids=["bare", "bento"])
def test_a_killed_service_has_lost_and_doubled_nothing_that_it_acknowledged(serve, rounds, sources, tmp_path):
    database, told, port = tmp_path / "credit.db", tmp_path / "told", port_to_come_back_to()
    draws, url = random.Random(rounds), f"sqlite:///{database}"  # noqa: S311 - the same moments each time
    with opened(url) as engine:
        keys = tenants_with_keys(engine)
    with loading(Plan(port, keys, str(told), CLIENTS, seed=rounds, answered_within_s=READY_WITHIN_S)) as load:
        for number in range(rounds):
            with serve(sources, url, workers=WORKERS, port=port) as service:
                kill_in_the_act(service, load, draws)
            assert is_sound(database, tmp_path / f"left-{number}.db")
        with serve(sources, url, workers=WORKERS, port=port) as service:
            load.await_acknowledged(load.acknowledged + 500)
            report = load.stop()
            service.terminate()
    assert not report.wrong
    assert report.broken > rounds
    with opened(url) as engine:
        records = OnRecord.of(engine)
        records.hold(Told.read(told))
        records.check_arms(engine)
    assert len(records.writers) > rounds
