"""What the tests of replays and audits share: decisions under roles on record, and where they are replayed from."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
from service_package import NOW, SALT, body, bundle_ref, decider, facts

from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.feature_cache.in_process import InProcessFeatureCache
from credit_scoring.adapters.memory_decisions import InMemoryDecisionBook
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.api.decisions import Role
from credit_scoring.core.audit import Chained, Entry, Head
from credit_scoring.core.cached_features import Lifetime
from credit_scoring.core.callers import Caller
from credit_scoring.core.chains import GENESIS, link
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.records import DecisionQuery, DecisionRecord, content_of
from credit_scoring.core.roles import (
    BundleRef,
    ChampionOnlyRouting,
    Experiment,
    RampStep,
    Roles,
    RolesRow,
    Routing,
    ScheduledRampRouting,
    ShadowRouting,
    StickySplitRouting,
)
from credit_scoring.core.routing import strategy_of
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.core.training.candidates import fit_candidate
from credit_scoring.core.training.development import Development
from credit_scoring.core.training.options import CandidateOptions, ScorecardOptions
from credit_scoring.serving.received_bodies import ReceivedBodies
from credit_scoring.serving.schemas import Sender, application_body, to_application
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.assignment import Assignment, RoleModel
from credit_scoring.usecases.decide_applications import Decider
from credit_scoring.usecases.replay_decisions import Replayer

OWNER = Owner("default", "taiwan_cards")
Models = Mapping[Role, ModelBundle]
HALF = StickySplitRouting(challenger_share=0.5)
ROUTINGS: Mapping[str, Routing] = {
    "split": HALF,
    "shadow": ShadowRouting(strategy="shadow"),
    "champion_only": ChampionOnlyRouting(strategy="champion_only"),
    "ramp": ScheduledRampRouting(
        strategy="scheduled_ramp", steps=(RampStep(starts_on=date(2026, 1, 1), challenger_share=0.5),)
    ),
}


class History:
    """A roles' history, on record in ``book`` if given, and all bundles that ever were in it."""

    def __init__(self, book: RoleRepository | None = None) -> None:
        self._book = book
        self.rows: list[RolesRow] = []
        self.bundles: dict[str, ModelBundle] = {}
        self.fetched: list[BundleRef] = []

    @property
    def newest(self) -> Roles:
        return self.rows[-1].roles

    def assign(self, models: Models, routing: Routing = HALF) -> Assignment:
        """Give the roles to other models, from now on."""
        first = len(self.bundles) + 1
        refs = {role: bundle_ref(bundle, first + place) for place, (role, bundle) in enumerate(models.items())}
        experiment = Experiment(id="experiment-1", salt=SALT, routing=routing)
        roles = Roles(champion=refs["champion"], challenger=refs["challenger"], experiment=experiment)
        if self._book is not None:
            self._book.append(OWNER.portfolio, len(self.rows), roles, "test")
        self.rows.append(RolesRow(sequence=len(self.rows) + 1, recorded_at=NOW, cause="test", roles=roles))
        self.bundles |= {refs[role].digest: bundle for role, bundle in models.items()}
        held = {role: RoleModel(refs[role], bundle) for role, bundle in models.items()}
        return Assignment(len(self.rows), held, strategy_of(experiment))

    def row(self, portfolio: str, sequence: int) -> RolesRow | None:
        assert portfolio == OWNER.portfolio
        return next((row for row in self.rows if row.sequence == sequence), None)

    def bundle_of(self, ref: BundleRef) -> ModelBundle:
        self.fetched.append(ref)
        if ref.digest not in self.bundles:
            raise RegistryError("The registry has no such bundle.")
        return self.bundles[ref.digest]

    def replayer(self, records: Any) -> Replayer:
        return Replayer(records, self, self.bundle_of, ReceivedBodies().read)  # type: ignore[arg-type] # rows alone


class Stored:
    """Records as a database holds them, without one."""

    def __init__(self, records: Iterable[DecisionRecord]) -> None:
        self.chained_records = list(chained_of(records))

    def chained(self, owner: Owner, decision_id: str) -> Chained | None:
        own = (c for c in self.chained_records if (c.entry.tenant, c.entry.portfolio) == owner)
        return next((one for one in own if one.entry.decision_id == decision_id), None)


def chained_of(records: Iterable[DecisionRecord]) -> Iterable[Chained]:
    before: Head | None = None
    for sequence, record in enumerate(records, 1):
        content = content_of(record)
        made = link("writer", sequence, before.hash if before else GENESIS, content)
        answer = record.answer
        entry = Entry(
            answer.decision_id,
            *record.owner,
            answer.application_id,
            answer.applicant_id,
            record.decided_at,
            made.writer,
            sequence,
            made.previous_hash,
            made.hash,
            content.encode(),
        )
        yield Chained(entry, before)
        before = Head("writer", sequence, made.hash)


def deciding(assignment: Assignment, **changes: Any) -> Decider:
    """A decider on fakes, under an assignment."""
    made = decider({role: model.bundle for role, model in assignment.models.items()}, **changes)
    return Decider(
        lambda: assignment,
        made.features,
        made.decisions,
        clock=made.clock,
        new_id=made.new_id,
        challenger_budget_s=made.challenger_budget_s,
    )


@contextmanager
def challenger_hangs(assignment: Assignment) -> Iterator[None]:
    """The challenger's thread is busy with something else for as long as this lasts."""
    released = threading.Event()
    assignment.challenger_thread.run(released.wait)
    yield
    released.set()


def sent(assignment: Assignment, application_id: str, **changes: Any) -> Application:
    """An application as the API takes it, with everything inline unless ``changes`` say otherwise."""
    content = {name: value for name, value in body(application_id, **changes).items() if value is not None}
    declared = [assignment.models[role].bundle.portfolio for role in ("champion", "challenger")]
    checked = application_body(*declared).model_validate(content)
    return to_application(checked, content, Sender(Caller("key-1", OWNER.tenant, "ana", frozenset()), "request-1"))


def every_kind(history: History, models: Models, newer: ModelBundle) -> list[DecisionRecord]:
    """Records of every strategy and every source of features, of a failing challenger, of a batch and of a new plan."""
    counted = iter(range(1_000))
    surroundings: dict[str, Any] = {
        "decisions": InMemoryDecisionBook(lambda: NOW),
        "new_id": lambda: f"decision-{next(counted):03}",
        "facts": InMemoryFactsStore({Applicant(OWNER, "stored"): facts()}),
        "cache": InProcessFeatureCache(Lifetime(timedelta(hours=1)), lambda: NOW),
    }
    for name, routing in ROUTINGS.items():
        held = history.assign(models, routing)
        one = deciding(held, **surroundings)
        one.decide_many([sent(held, f"{name}-{number}", applicant_id=f"{name}-{number}") for number in range(6)])
    for name in ("from-store", "from-cache"):
        one.decide(sent(held, name, applicant_id="stored", application=None, events=None))
    batch = [sent(held, f"batch:{n}", applicant_id="stored", application=None, events=None) for n in range(3)]
    one.decide_many([replace(row, key_id=None, request_id="batch:b") for row in batch])
    held = history.assign(models, HALF)
    with challenger_hangs(held):
        late = [sent(held, f"late-{number}", applicant_id=f"late-{number}") for number in range(6)]
        deciding(held, **surroundings).decide_many(late)
    held = history.assign({"champion": models["champion"], "challenger": newer}, HALF)
    deciding(held, **surroundings).decide_many([sent(held, f"newer-{n}", applicant_id=f"n-{n}") for n in range(6)])
    history.assign({"champion": models["challenger"], "challenger": newer})
    return list(reversed(surroundings["decisions"].find(OWNER, DecisionQuery(limit=1_000))))


def with_other_features(development: Development) -> ModelBundle:
    """A scorecard of another feature set, whose declaration has a column that the other does not know."""
    told = development.portfolio.model_dump(mode="json", exclude_none=True)
    told["applicants"]["columns"]["income_twd"] = {"type": "integer", "min": 0, "nullable": True}
    del told["features"]["education"]
    portfolio = Portfolio.model_validate(told)
    plan = FeatureSet.of(portfolio)
    kept = [development.plan.names.index(name) for name in plan.names]
    features = np.ascontiguousarray(development.features[:, kept])
    other = Development(portfolio, plan, features, development.is_bad)
    options = CandidateOptions(fit=ScorecardOptions(algorithm="scorecard"), calibration={"folds": 2})
    return fit_candidate("scorecard", other, options).bundle
