"""Computes decisions again from their records, by the bundles that decided, and tells what differs."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from credit_scoring.api.decisions import ModelOutput, Role
from credit_scoring.api.replays import Replay
from credit_scoring.core.audit import Chained, faults_of, record_in
from credit_scoring.core.errors import CreditScoringError, DamagedRecordError, UnknownDecisionError
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.replays import Comparison
from credit_scoring.core.roles import BundleRef, RolesRow
from credit_scoring.core.scoring import SCORER_VERSIONS, ModelBundle
from credit_scoring.ports import ChainedRecords, RoleBook
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.assignment import RoleModel
from credit_scoring.usecases.feature_rows import Subject
from credit_scoring.usecases.model_opinions import ModelOpinions, opinions_on
from credit_scoring.usecases.replayed_inputs import compare_inputs, recorded_subject
from credit_scoring.usecases.replayed_outputs import compare_outputs, compare_routing

ReadBody = Callable[[DecisionRecord, RoleModel, RoleModel], Application]
"""Reads a received body as both models' declarations have it; what they refuse is a ``CreditScoringError``."""


@dataclass(slots=True)
class _Case:
    """A record on its way; ``row`` is that of the roles' history, None where it was not recorded or is gone."""

    record: DecisionRecord
    link_valid: bool
    row: RolesRow | None
    models: Mapping[Role, RoleModel]
    comparison: Comparison
    subject: Subject
    opinions: dict[Role, tuple[ModelOpinions, int]] = field(default_factory=dict)
    """What each model says now, and the record's place in it."""


@dataclass(frozen=True, slots=True)
class Replayer:
    """Replays records; bundles come from ``bundle_of``, and nothing is read of what holds now."""

    records: ChainedRecords
    roles: RoleBook
    bundle_of: Callable[[BundleRef], ModelBundle]
    read_body: ReadBody
    _rows: dict[tuple[str, int], RolesRow | None] = field(default_factory=dict)

    def replay(self, owner: Owner, decision_id: str) -> Replay:
        """Return what comes out when a decision is computed again.

        Raises:
            UnknownDecisionError: If there is no record under this id.
            DamagedRecordError: If what is stored is not a record.
            BundleError: If a bundle on record cannot be used here.
            RegistryError: If one has to be fetched and is not given.
            RecordsError: If the records cannot be read.
        """
        chained = self.records.chained(owner, decision_id)
        if chained is None:
            raise UnknownDecisionError
        [found] = self.replay_many([chained])
        if isinstance(found, CreditScoringError):
            raise found
        return found

    def replay_many(self, chained: Sequence[Chained]) -> list[Replay | CreditScoringError]:
        """Return what ``replay`` returns or raises of each; each bundle scores all of its records at once."""
        cases = [self._begun(one) for one in chained]
        sound = [case for case in cases if isinstance(case, _Case)]
        _score(sound)
        return [self._finished(case) if isinstance(case, _Case) else case for case in cases]

    def _begun(self, chained: Chained) -> _Case | CreditScoringError:
        record = record_in(chained.entry)
        if record is None or "champion" not in record.scores:
            return DamagedRecordError(chained.entry.decision_id)
        try:
            models = {role: self._model(_ref(output)) for role, output in record.scores.items()}
            row = self._row(record)
        except CreditScoringError as exc:
            return exc
        comparison = Comparison(exact=record.answer.scorer_version in SCORER_VERSIONS)
        subject = recorded_subject(record, models)
        return _Case(record, not faults_of(chained), row, models, comparison, subject)

    def _finished(self, case: _Case) -> Replay | CreditScoringError:
        try:
            compare_inputs(case.comparison, case.record, case.models, lambda: self._application(case))
        except CreditScoringError as exc:
            return exc
        compare_outputs(case.comparison, case.record, case.models, case.opinions)
        compare_routing(case.comparison, case.record, case.row)
        return case.comparison.replay(case.record, link_valid=case.link_valid)

    def _application(self, case: _Case) -> Application:
        """Read the received body as it was read then: a challenger that was not scored was declared all the same."""
        champion = case.models["champion"]
        challenger = case.models.get("challenger")
        if challenger is None:
            challenger = champion if case.row is None else self._model(case.row.roles.challenger)
        return self.read_body(case.record, champion, challenger)

    def _model(self, ref: BundleRef) -> RoleModel:
        return RoleModel(ref, self.bundle_of(ref))

    def _row(self, record: DecisionRecord) -> RolesRow | None:
        """Rows never change, so each is read once."""
        if record.roles_sequence is None:
            return None
        key = record.owner.portfolio, record.roles_sequence
        if key not in self._rows:
            self._rows[key] = self.roles.row(*key)
        return self._rows[key]


def _ref(output: ModelOutput) -> BundleRef:
    return BundleRef(model=output.model, version=output.version, algorithm=output.algorithm, digest=output.digest)


def _score(cases: Sequence[_Case]) -> None:
    """Have each bundle score the records it scored, as the scorer of then did, and explain those that it decided.

    Failures are not repeated.
    """
    asked: dict[tuple[str, str], list[tuple[_Case, Role]]] = defaultdict(list)
    for case in cases:
        for role, output in case.record.scores.items():
            if output.failure is None:
                asked[output.digest, case.record.answer.scorer_version].append((case, role))
    for (_, scorer_version), those in asked.items():
        case, role = those[0]
        bundle = case.models[role].bundle.under(scorer_version)
        decided = {place for place, (case, role) in enumerate(those) if case.record.answer.decider == role}
        opinions = opinions_on(bundle, [case.subject for case, _ in those], decided)
        for place, (case, role) in enumerate(those):
            case.opinions[role] = opinions, place
