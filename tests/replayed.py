"""What the tests of replays and audits share: decisions under roles on record, and where they are replayed from."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from service_package import NOW, SALT, body, bundle_ref, decider

from credit_scoring.api.decisions import Role
from credit_scoring.core.audit import Chained, Entry, Head
from credit_scoring.core.callers import Caller
from credit_scoring.core.chains import GENESIS, link
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.owners import Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.records import DecisionRecord, content_of
from credit_scoring.core.roles import BundleRef, Experiment, Roles, RolesRow, Routing, StickySplitRouting
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


class History:
    """A roles' history, and all bundles that ever were in it; what has no row cannot be fetched either."""

    def __init__(self) -> None:
        self.rows: list[RolesRow] = []
        self.bundles: dict[str, ModelBundle] = {}
        self.fetched: list[BundleRef] = []

    def assign(self, models: Models, routing: Routing = HALF) -> Assignment:
        """Give the roles to other models, from now on."""
        first = len(self.bundles) + 1
        refs = {role: bundle_ref(bundle, first + place) for place, (role, bundle) in enumerate(models.items())}
        experiment = Experiment(id="experiment-1", salt=SALT, routing=routing)
        roles = Roles(champion=refs["champion"], challenger=refs["challenger"], experiment=experiment)
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


def sent(assignment: Assignment, application_id: str, **changes: Any) -> Application:
    """An application as the API takes it, with everything inline unless ``changes`` say otherwise."""
    content = {name: value for name, value in body(application_id, **changes).items() if value is not None}
    declared = [assignment.models[role].bundle.portfolio for role in ("champion", "challenger")]
    checked = application_body(*declared).model_validate(content)
    return to_application(checked, content, Sender(Caller("key-1", OWNER.tenant, "ana", frozenset()), "request-1"))


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
