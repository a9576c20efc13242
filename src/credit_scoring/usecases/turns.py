"""One turn: new applications that are decided together share the reads of features and the run of each model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from credit_scoring.api.decisions import DecidingModel, Decision, FeaturesUsed, Role
from credit_scoring.core.decisions import band, recommendation
from credit_scoring.core.errors import (
    CreditScoringError,
    InvalidApplicationError,
    ScoringError,
    UnknownApplicantError,
)
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.owners import Applicant
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.routing import Route
from credit_scoring.core.scoring import SCORER_VERSION
from credit_scoring.ports import DecisionObserver
from credit_scoring.usecases.applications import Asked
from credit_scoring.usecases.assignment import Assignment
from credit_scoring.usecases.challenger import Pending
from credit_scoring.usecases.feature_rows import FeatureRows, Subject
from credit_scoring.usecases.model_opinions import ModelOpinions, opinions_on, output_of, row_failure


@dataclass(slots=True)
class _Case:
    """A new application on its way; ``failure`` keeps it from being decided."""

    asked: Asked
    subject: Subject
    route: Route
    failure: CreditScoringError | None = None


@dataclass(slots=True)
class Turn:
    """Decides new applications by one assignment at one moment, ``now``; makes records, and writes none."""

    assignment: Assignment
    features: FeatureRows
    now: datetime
    new_id: Callable[[], str]
    observer: DecisionObserver
    challenger_budget_s: Callable[[int], float]
    _subjects: list[Subject] = field(default_factory=list)
    _plans: list[FeatureSet] = field(init=False)
    """The feature sets that are read, each once."""

    def __post_init__(self) -> None:
        roles: list[Role] = ["champion"]
        if self.assignment.routing.scores_challenger:
            roles.append("challenger")
        plans = [self.assignment.models[role].bundle.plan for role in roles]
        self._plans = list({plan.version: plan for plan in plans}.values())

    def decided(self, asked: Sequence[Asked]) -> list[DecisionRecord | CreditScoringError]:
        """Return, for each application, its record or what kept it from being decided.

        Raises:
            RecordsError: If stored facts cannot be read.
        """
        with self.observer.stage("features"):
            cases = self._cases(asked)
            self._read_features([case for case in cases if case.failure is None])
        judged = iter(self._judged([case for case in cases if case.failure is None]))
        return [next(judged) if case.failure is None else case.failure for case in cases]

    def keep_features(self) -> None:
        """Write through to the cache what was computed from stored facts."""
        self.features.keep(self._subjects, self._plans)

    def _cases(self, asked: Sequence[Asked]) -> list[_Case]:
        stored = list({one.applicant: None for one in asked if one.application.inline is None})
        revisions = dict(zip(stored, self.features.facts.revisions(stored), strict=True)) if stored else {}
        shared: dict[tuple[Applicant, datetime], Subject] = {}
        return [self._case(one, revisions.get(one.applicant), shared) for one in asked]

    def _case(self, asked: Asked, revision: str | None, shared: dict[tuple[Applicant, datetime], Subject]) -> _Case:
        """Make a case; those of one applicant whose stored facts are asked for as of one moment share one subject."""
        application = asked.application
        as_of = self.assignment.portfolio.as_of.moment(application.as_of, self.now)
        if application.inline is not None:
            subject = Subject(asked.applicant, as_of, self.now, application.inline, revision=None)
        else:
            new = Subject(asked.applicant, as_of, self.now, facts=None, revision=revision)
            subject = shared.setdefault((asked.applicant, as_of), new)
        case = _Case(asked, subject, self.assignment.routing.route(application.applicant_id, self.now))
        if application.as_of is not None and application.as_of > self.now:
            case.failure = InvalidApplicationError(
                "/as_of",
                "in_future",
                "'as_of' lies in the future; nothing is known then. Send a moment that has passed.",
            )
        elif application.inline is None and revision is None:
            case.failure = UnknownApplicantError()
        return case

    def _read_features(self, cases: Sequence[_Case]) -> None:
        """Have the champion's features computed here, so that both models share those of one feature set."""
        self._subjects = list({id(case.subject): case.subject for case in cases}.values())
        self.features.read(self._subjects, self._plans)
        plan = self.assignment.models["champion"].bundle.plan
        for case in cases:
            if not case.subject.is_known(self._plans):
                case.failure = UnknownApplicantError()  # removed since the revision was read
            else:
                row_failure(case.subject, plan)

    def _judged(self, cases: Sequence[_Case]) -> list[DecisionRecord | CreditScoringError]:
        if not cases:
            return []
        subjects = [case.subject for case in cases]
        own: dict[Role, set[int]] = {"champion": set(), "challenger": set()}
        for place, case in enumerate(cases):
            own[case.route.arm].add(place)
        pending = self._challenger_started(subjects, own["challenger"])
        with self.observer.stage("champion"):
            champion = opinions_on(self.assignment.models["champion"].bundle, subjects, own["champion"])
        challenger = self._challenger_result(pending, len(cases))
        deciders = [_decider(case.route, challenger, place) for place, case in enumerate(cases)]
        with self.observer.stage("explain"):
            champion = champion.explained([place for place, role in enumerate(deciders) if role == "champion"])
        opinions: dict[Role, ModelOpinions] = {"champion": champion}
        if challenger is not None:
            opinions["challenger"] = challenger
        told = enumerate(zip(cases, deciders, strict=True))
        return [self._record(case, place, role, opinions) for place, (case, role) in told]

    def _challenger_started(self, subjects: Sequence[Subject], own: set[int]) -> Pending[ModelOpinions] | None:
        if not self.assignment.routing.scores_challenger:
            return None
        bundle = self.assignment.models["challenger"].bundle
        return self.assignment.challenger_thread.run(lambda: opinions_on(bundle, subjects, own))

    def _challenger_result(self, pending: Pending[ModelOpinions] | None, applications: int) -> ModelOpinions | None:
        if pending is None:
            return None
        with self.observer.stage("challenger"):
            found = pending.result(self.challenger_budget_s(applications))
        if isinstance(found, str):
            self.observer.challenger_failed(found)
            return ModelOpinions.failed(self.assignment.models["challenger"].bundle, found, applications)
        return found

    def _record(
        self, case: _Case, place: int, decider: Role, opinions: dict[Role, ModelOpinions]
    ) -> DecisionRecord | CreditScoringError:
        if opinions[decider].usable(place) is None:
            ref = self.assignment.models[decider].ref
            return ScoringError(
                f"Version {ref.version} of '{ref.model}' gave a score that is not a finite number. "
                f"Take it out of its role, and train it again."
            )
        asked, models = case.asked, self.assignment.models
        scores = {role: output_of(models[role], found.opinions[place]) for role, found in opinions.items()}
        return DecisionRecord(
            owner=asked.key.owner,
            decided_at=self.now,
            answer=self._answer(case, place, decider, opinions[decider]),
            received=asked.application.received,
            received_digest=asked.digest,
            features=self._features_used(case.subject),
            scores=scores,
            roles_sequence=self.assignment.sequence,
            idempotency_key=asked.key.idempotency_key,
            key_id=asked.application.key_id,
        )

    def _features_used(self, subject: Subject) -> dict[str, FeaturesUsed]:
        rows = dict(subject.computed)
        return {plan.version: rows[plan.version].used(plan) for plan in self._plans if plan.version in rows}

    def _answer(self, case: _Case, place: int, decider: Role, opinions: ModelOpinions) -> Decision:
        application, model = case.asked.application, self.assignment.models[decider]
        plan, policy, opinion = model.bundle.plan, model.bundle.portfolio.policy, opinions.usable(place)
        if opinion is None:
            raise ScoringError("The model that decides has no opinion.")
        return Decision(
            decision_id=self.new_id(),
            application_id=application.application_id,
            applicant_id=application.applicant_id,
            points=opinion.points,
            points_exact=opinion.points_exact,
            prob_default=opinion.prob_default,
            band=band(opinion.points, policy),
            recommendation=recommendation(opinion.points, policy),
            reasons=opinions.reasons[place],
            model=DecidingModel(name=model.ref.model, version=model.ref.version, role=decider),
            arm=case.route.arm,
            arm_probability=case.route.arm_probability,
            decider=decider,
            fallback=decider != case.route.arm,
            policy_version=policy.version,
            feature_set=plan.version,
            scorer_version=SCORER_VERSION,
            features_from=case.subject.row(plan).source,
            as_of=case.subject.as_of,
            request_id=application.request_id,
        )


def _decider(route: Route, challenger: ModelOpinions | None, place: int) -> Role:
    """The arm's own model, or the champion when the challenger failed in its arm."""
    failed = challenger is None or challenger.usable(place) is None
    return "champion" if failed else route.arm
