"""Pushed events reach training as they reach decisions: ingestion and features against the online reading."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from integration.kedro_project import Project
from integration.test_received_tables import VALIDATED, write_portfolio
from loans import DECLARATION
from sqlalchemy import Engine
from tenants import facts_of, owned

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.database.pushed_applicants import PushedApplicantRepository
from credit_scoring.core.features.feature_set import FeatureSet, to_matrix
from credit_scoring.core.owners import Applicant
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.pushed import Taken, read_message
from credit_scoring.usecases.accept_events import EventIntake
from credit_scoring.usecases.accept_facts import FactsIntake, SentEvent

LOANS = Portfolio.model_validate(DECLARATION)
PLAN = FeatureSet.of(LOANS)
RECEIVED_AT = datetime(2021, 4, 1, tzinfo=UTC)
MOVEMENTS = "data/1_raw/loans/movements.parquet"
Event = dict[str, Any]


@dataclass
class Loans:
    """A project of loans, and the database beside it."""

    project: Project
    engines: list[Engine] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        if not self.engines:
            self.engines.append(open_database(self.project.environment["CREDIT_DATABASE_URL"]))
        return self.engines[0]

    def push(self, *events: Event, stream: str = "s", first: int = 0) -> Taken:
        """Push events as messages of these numbers, the last of them first: receipt is the stream's, not ours."""
        taken = Taken()
        intake = EventIntake(LOANS, owned("loans"), PushedEventRepository(self.engine))
        for number, event in reversed(list(enumerate(events, first))):
            fields = {b"table": b"movements", b"event": json.dumps(event).encode()}
            taken += intake.accept([read_message(stream, f"1617235200000-{number}", fields, RECEIVED_AT)])
        return taken

    def send(self, *events: Event, received_at: datetime = RECEIVED_AT) -> int:
        """Send movements by the API, each in a request of its own; return how many were stored."""
        inbox, stored = PushedEventRepository(self.engine), 0
        taker = FactsIntake([LOANS], PushedApplicantRepository(self.engine), inbox)
        for event in events:
            known = event["loaded_at"] and datetime.fromisoformat(event["loaded_at"])
            values = {"eur": event["amount"], "kind": event["kind"]}
            row = SentEvent(datetime.fromisoformat(event["booked_at"]), values, known, event["movement"])
            applicant = Applicant(owned("loans"), event["loan_ref"])
            stored += taker.add(applicant, {"movements": [row]}, event["movement"], received_at).stored
        return stored

    def run(self, pipelines: str = "ingestion,features") -> None:
        finished = self.project.run("--env=loans", f"--pipelines={pipelines}")
        assert finished.code == 0, finished.stderr

    def load(self) -> str:
        command = [str(Path(sys.executable).with_name("credit-scoring")), "ingest", "--portfolio", "loans"]
        given = {"cwd": self.project.root, "env": self.project.environment, "text": True}
        done = subprocess.run(command, capture_output=True, check=False, **given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rewrite(self, *more: Event, without: int = 0) -> None:
        """Have the file of movements lack its last rows, or bring others too."""
        path = self.project.root / MOVEMENTS
        rows = pl.read_parquet(path)
        added = pl.DataFrame(more, schema=rows.schema) if more else rows.clear()
        pl.concat([rows.head(rows.height - without), added]).write_parquet(path)

    @property
    def summary(self) -> dict[str, Any]:
        return self.project.json(str(VALIDATED / "ingestion_summary.json"))

    @property
    def events(self) -> pl.DataFrame:
        return pl.read_parquet(self.project.root / VALIDATED / "events/movements.parquet")

    @property
    def applicants(self) -> pl.DataFrame:
        return pl.read_parquet(self.project.root / VALIDATED / "applicants.parquet")

    def differing(self) -> list[str]:
        """Applicants whose features in training are not those of a decision, to the bit."""
        features = pl.read_parquet(self.project.root / "data/3_features/loans/applicants.parquet")
        matrix, store = to_matrix(features, PLAN.names), FactsRepository(self.engine)
        moments = dict(self.applicants.select("applicant_id", "as_of").iter_rows())
        found = []
        for row, applicant in enumerate(features["applicant_id"]):
            facts = facts_of(store, owned("loans"), applicant)
            assert facts is not None
            online = PLAN.compute_one(facts, moments[applicant])
            if not np.array_equal(online[0], matrix[row], equal_nan=True):
                found.append(applicant)
        assert features.height == 200
        return found


@pytest.fixture
def loans(project: Project, tmp_path: Path) -> Iterator[Loans]:
    """Two hundred loans whose files were ingested and loaded, before anything was pushed."""
    found = Loans(project.copy(tmp_path / "own"))
    write_portfolio(found.project, loans=200)
    yield found
    for engine in found.engines:
        engine.dispose()


def movement(name: str, loan: str, day: str, **told: Any) -> Event:
    given = {"movement": name, "loan_ref": loan, "booked_at": day, "loaded_at": day, "amount": 10, "kind": "in"}
    return given | told


def movements(applicants: pl.DataFrame, filed: pl.DataFrame, *, seed: int = 3) -> list[Event]:
    """Movements that tie with those of files and with each other, early and late, known late, and of strangers."""
    draw, found = random.Random(seed), []  # noqa: S311 - made-up data
    moments = dict(applicants.select("applicant_id", "as_of").iter_rows())
    days = {name: rows["occurred_at"].to_list() for (name,), rows in filed.group_by("applicant_id")}
    for number in range(900):
        loan = draw.choice(list(moments))
        before = moments[loan] - timedelta(days=draw.randrange(-3, 40))
        day = draw.choice(days.get(loan, [before])) if number % 2 else before
        known = draw.choice([day, day + timedelta(days=40), None])
        kind = draw.choice(["in", "out", "fee"])
        told = {"amount": draw.randrange(-9999, 9999) / 7, "kind": kind, "loaded_at": known and known.isoformat()}
        found.append(movement(f"p{number}", loan, day.isoformat(), **told))
    return [*found, *(movement(f"q{number}", "nobody", "2020-01-01") for number in range(5))]


def as_sent(row: Event, name: str) -> Event:
    """A validated movement as it could have been pushed."""
    days = {"booked_at": row["occurred_at"].isoformat(), "loaded_at": row["known_at"].isoformat()}
    return movement(name, row["applicant_id"], amount=row["eur"], kind=row["kind"], day="") | days


def test_training_and_decisions_read_the_same_events_whatever_is_pushed_and_loaded(loans):
    loans.run()
    assert "200 applicants" in loans.load()
    files, version = loans.events, loans.summary["dataset_version"]
    assert loans.differing() == []
    pushed = movements(loans.applicants, files)
    assert loans.push(*pushed[:450]) == Taken(stored=450)
    # Many of the same number as before, and all that are sent by the API in the millisecond of the streams' messages.
    assert loans.push(*pushed[450:700], stream="r", first=200) == Taken(stored=250)
    assert loans.send(*pushed[700:900]) == 200
    assert loans.push(*pushed[900:], stream="r", first=700) == Taken(stored=5)
    copies = [as_sent(row, row["event_id"]) for row in files.head(20).rows(named=True)]
    assert loans.push(*copies, first=2000) == Taken(stored=20)
    assert loans.push(movement("m30", "l9", "2020-01-01"), first=3000) == Taken(set_aside=1)
    ties = pl.concat([files.select("applicant_id", "occurred_at"), told_moments(pushed)])
    assert ties.is_duplicated().sum() > 300

    loans.run()
    assert loans.differing() == []
    assert loans.summary["dataset_version"] != version
    told = loans.summary["pushed"]["movements"]
    assert (told["rows_pushed"], told["rows_in_files"], told["rows_unmatched"]) == (905, 20, 5)
    assert loans.project.last_run()["metrics"]["ingestion.movements.rows_pushed"] == 905
    both = loans.events
    assert both.filter(~pl.col("pushed")).equals(files)
    assert both["event_number"].to_list() == list(range(both.height))
    assert f"{files.height:,} movements" in loans.load()
    assert loans.differing() == []


def told_moments(pushed: list[Event]) -> pl.DataFrame:
    moments = pl.Series([datetime.fromisoformat(event["booked_at"]) for event in pushed]).dt.cast_time_unit("us")
    return pl.DataFrame({"applicant_id": [event["loan_ref"] for event in pushed], "occurred_at": moments})


def test_an_event_that_a_later_file_brings_too_counts_once_as_the_file_has_it(loans):
    loans.rewrite(without=30)
    loans.run()
    loans.load()
    loan, decided = loans.applicants.row(0, named=True)["applicant_id"], loans.applicants["as_of"][0]
    day = (decided - timedelta(days=5)).date().isoformat()
    loans.push(movement("x1", loan, day, amount=-77), movement("x2", loan, day, amount=5), movement("x3", loan, day))
    loans.run()
    assert (loans.events["pushed"].sum(), loans.differing()) == (3, [])
    loans.rewrite({**movement("x2", loan, day), "amount": "6000.5", "kind": "out"})
    loans.run()
    rows = loans.events.filter(pl.col("event_id").str.starts_with("x"))
    assert rows.select("event_id", "eur", "pushed").rows() == [
        ("x2", 6000.5, False),
        ("x1", -77.0, True),
        ("x3", 10.0, True),
    ]
    assert loans.differing() == [loan]  # until the new file is loaded, decisions know the event as it was pushed
    loans.load()
    assert loans.differing() == []


def test_the_same_events_give_the_same_version_and_tables_and_others_give_others(loans):
    def made() -> tuple[str, bytes]:
        loans.run("ingestion")
        path = loans.project.root / VALIDATED / "events/movements.parquet"
        return loans.summary["dataset_version"], path.read_bytes()

    first = made()
    assert "pushed" not in loans.summary
    assert loans.project.records("select name from sqlite_master") == []
    assert not (loans.project.root / "records.db").exists()
    loans.push(movement("x1", "l1", "2020-01-01"))
    second = made()
    assert made() == second
    loans.push(movement("x2", "nobody", "2020-01-01"), first=1)
    versions = [first[0], second[0], made()[0]]
    assert len(set(versions)) == 3
