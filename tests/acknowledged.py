"""What clients were told, held against what is on record."""

import json
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import load
import polars as pl
from load import Plan, Report
from sent_requests import APPLICANTS, TENANTS, Variant, facts_of, sent
from sqlalchemy import Engine

from credit_scoring.adapters.database.audit import AuditRepository
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.keys import KeyRepository
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.api.decisions import Decision
from credit_scoring.core.api_keys import KeyHolder, new_key
from credit_scoring.core.audit import ChainAudit, record_in
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.owners import Owner
from credit_scoring.core.parsing import MOMENT
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.routing import strategy_of

PORTFOLIO = "taiwan_cards"
Name = tuple[str, str]
"""A tenant and its application."""


def tenants_with_keys(engine: Engine) -> dict[str, str]:
    """Have two tenants, each with its own facts of applicants of the same names; return their keys."""
    keys = {}
    for number, tenant in enumerate(TENANTS):
        holder = KeyHolder(tenant, tenant, tenant, frozenset({"decide", "read"}))
        made = new_key(holder, utc_now(), lambda size, byte=number: bytes([byte]) * size)
        KeyRepository(engine).add(made.key)
        keys[tenant] = made.text
        _load_facts(engine, Owner(tenant, PORTFOLIO), number)
    return keys


def _load_facts(engine: Engine, owner: Owner, salt: int) -> None:
    told = {f"p-{number}": facts_of(31 * number + salt) for number in range(APPLICANTS)}
    applicants = [{"applicant_id": name} | facts["application"] for name, facts in told.items()]
    events = [
        {"applicant_id": name, "event_number": number} | row
        for name, facts in told.items()
        for number, row in enumerate(facts["events"]["statements"])
    ]
    statements = pl.DataFrame(events).with_columns(pl.col("occurred_at").str.to_datetime(time_zone="UTC").cast(MOMENT))
    FactsRepository(engine).replace_all(owner, "load", pl.DataFrame(applicants), {"statements": statements})


@dataclass
class Loading:
    """A process of clients at work."""

    process: "subprocess.Popen[str]"
    plan: Plan
    acknowledged: int = 0
    _last: str = ""

    def await_acknowledged(self, least: int) -> None:
        """Wait until so many requests were acknowledged."""
        while self.acknowledged < least and self._read():
            pass
        assert self.acknowledged >= least, f"the clients ended after {self.acknowledged} acknowledgements"

    def pause(self, seconds: float) -> None:
        """Let the clients work for a while."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.process.stdout], [], [], left)[0]:
                self._read()

    def report(self) -> Report:
        """What came of it, when all is sent."""
        while self._read():
            pass
        assert self.process.wait(60) == 0
        told = json.loads(self._last)
        return Report(**(told | {"answers": Counter(told["answers"])}))

    def stop(self) -> Report:
        """Send no more, and return what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.report()

    def _read(self) -> bool:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line.strip().isdigit():
            self.acknowledged = int(line)
        self._last = line or self._last
        return bool(line)


@contextmanager
def loading(plan: Plan) -> Iterator[Loading]:
    """Clients at work in a process of their own; ended afterwards whatever happens."""
    command = [sys.executable, str(Path(load.__file__)), json.dumps(asdict(plan))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Loading(process, plan)
        finally:
            if process.poll() is None:
                process.kill()


@dataclass
class Told:
    """What clients were told of each application: all of it, and the request that it answered."""

    answers: dict[Name, set[str]] = field(default_factory=dict)
    asked: dict[Name, set[tuple[int, Variant]]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> "Told":
        """Read what clients noted."""
        told = cls()
        for line in file.read_text().splitlines():
            number, variant, answer = json.loads(line)
            request = sent(number, variant)
            name = request.tenant, request.body["application_id"]
            told.answers.setdefault(name, set()).add(json.dumps(json.loads(answer), sort_keys=True))
            told.asked.setdefault(name, set()).add((number, variant))
        return told


@dataclass
class OnRecord:
    """All records, once their chains are verified."""

    by_application: dict[Name, DecisionRecord] = field(default_factory=dict)
    writers: Counter[str] = field(default_factory=Counter)
    applicants_of: dict[str, set[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine) -> "OnRecord":
        """Read and verify all records of a database; none is there twice."""
        audit, found = ChainAudit(), cls()
        for entry in AuditRepository(engine).walk():
            assert audit.take(entry) is None
            record = record_in(entry)
            assert record is not None
            name = record.owner.tenant, record.answer.application_id
            assert name not in found.by_application
            found.by_application[name] = record
            found.writers[entry.writer] += 1
            applicant = record.owner.tenant, record.answer.applicant_id
            found.applicants_of.setdefault(entry.writer, set()).add(applicant)
        return found

    def hold(self, told: Told) -> None:
        """Check that what was told is on record, once and as it was told, of the request that was sent."""
        for name, answers in told.answers.items():
            assert name in self.by_application, "an acknowledged decision is not on record"
            record = self.by_application[name]
            assert answers == {_text(record.answer)}, "an answer is not the one on record"
            [number, variant] = _only(told.asked[name])
            assert record.received == sent(number, variant).body, "another body is on record than was answered"

    def shared_applicants(self) -> int:
        """How many applicants were decided by several processes."""
        met = Counter(applicant for applicants in self.applicants_of.values() for applicant in applicants)
        return sum(1 for times in met.values() if times > 1)

    def check_arms(self, engine: Engine) -> Counter[int]:
        """Check that everybody was in the arm and had the model of the roles' row that held; return how many by row."""
        rows: dict[int, Any] = {}
        arms: dict[tuple[str, str, str], set[str]] = {}
        for record in self.by_application.values():
            sequence, answer = record.roles_sequence, record.answer
            assert sequence is not None
            row = rows.setdefault(sequence, RoleRepository(engine).row(PORTFOLIO, sequence))
            route = strategy_of(row.roles.experiment).route(answer.applicant_id, record.decided_at)
            assert (answer.arm, answer.arm_probability) == (route.arm, route.arm_probability)
            assert answer.model.version == row.roles.holder(answer.decider).version
            assert answer.decider == answer.arm or answer.fallback
            experiment = row.roles.experiment
            arms.setdefault((experiment.id, experiment.salt, answer.applicant_id), set()).add(answer.arm)
        assert all(len(seen) == 1 for seen in arms.values()), "an applicant was in two arms"
        return Counter(record.roles_sequence or 0 for record in self.by_application.values())


def _text(answer: Decision) -> str:
    return json.dumps(json.loads(answer.model_dump_json()), sort_keys=True)


def _only(asked: set[tuple[int, Variant]]) -> tuple[int, Variant]:
    [one] = asked
    return one
