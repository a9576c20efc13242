"""Decides one application: both models score it, one of them answers, and the record comes before the answer."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from credit_scoring.core.decisions import band, recommendation
from credit_scoring.core.errors import (
    ApplicationReusedError,
    InvalidApplicationError,
    UnknownApplicantError,
    UnknownDecisionError,
)
from credit_scoring.core.facts import Facts
from credit_scoring.core.records import DecidingModel, Decision, DecisionRecord, Json, Source
from credit_scoring.core.roles import Role
from credit_scoring.core.routing import Route, RoutingStrategy
from credit_scoring.core.scoring import SCORER_VERSION
from credit_scoring.ports import Clock, DecisionBook, FactsStore
from credit_scoring.usecases.model_opinions import OneApplication, Opinions, RoleModel, opinions_of


@dataclass(frozen=True, slots=True)
class Application:
    """A checked application: ``received`` is its body as it came, ``inline`` the facts it brought, if any."""

    application_id: str
    applicant_id: str
    received: Json
    request_id: str
    as_of: datetime | None = None
    inline: Facts | None = None


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def random_id() -> str:
    """Return an identifier that nobody has used."""
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides applications of one portfolio; everything that varies from run to run is an argument."""

    models: Mapping[Role, RoleModel]
    routing: RoutingStrategy
    facts: FactsStore
    decisions: DecisionBook
    clock: Clock = utc_now
    new_id: Callable[[], str] = random_id

    @property
    def portfolio(self) -> str:
        """Name of the portfolio, under which facts and decisions are kept."""
        return self.models["champion"].bundle.portfolio.name

    def decide(self, application: Application) -> Decision:
        """Return the decision on ``application``, durable by then; a repeated application gets its first answer.

        Raises:
            ApplicationReusedError: If the application id was decided before with another body.
            InvalidApplicationError: If ``as_of`` lies in the future.
            UnknownApplicantError: If no facts came inline and none are stored.
            ScoringError: If the champion gives no finite score.
            RecordsError: If facts cannot be read or the decision cannot be recorded.
        """
        digest = body_digest(application.received)
        held = self.decisions.by_application(self.portfolio, application.application_id)
        if held is None:
            held = self.decisions.add(self._decided(application, digest))
        if held.received_digest != digest:
            raise ApplicationReusedError
        return held.answer

    def recorded(self, decision_id: str) -> DecisionRecord:
        """Return the record of a decision.

        Raises:
            UnknownDecisionError: If there is none under this id.
            RecordsError: If the records cannot be read.
        """
        record = self.decisions.get(self.portfolio, decision_id)
        if record is None:
            raise UnknownDecisionError
        return record

    def _decided(self, application: Application, digest: str) -> DecisionRecord:
        now = self.clock()
        as_of = self._as_of(application, now)
        facts, source = self._facts_for(application)
        opinions = opinions_of(self.models, OneApplication(facts, as_of))
        route = self.routing.route(application.applicant_id)
        return DecisionRecord(
            portfolio=self.portfolio,
            decided_at=now,
            answer=self._answer(application, as_of, source, opinions, route),
            received=application.received,
            received_digest=digest,
            feature_values=opinions.feature_values,
            scores=opinions.outputs,
        )

    def _as_of(self, application: Application, now: datetime) -> datetime:
        if application.as_of is not None and application.as_of > now:
            raise InvalidApplicationError(
                "/as_of",
                "in_future",
                "'as_of' lies in the future; nothing is known then. Send a moment that has passed.",
            )
        return self.models["champion"].bundle.portfolio.as_of.moment(application.as_of, now)

    def _facts_for(self, application: Application) -> tuple[Facts, Source]:
        if application.inline is not None:
            return application.inline, "request"
        stored = self.facts.facts_of(self.portfolio, application.applicant_id)
        if stored is None:
            raise UnknownApplicantError
        return stored, "store"

    def _answer(
        self, application: Application, as_of: datetime, source: Source, opinions: Opinions, route: Route
    ) -> Decision:
        decider: Role = route.arm if route.arm in opinions.usable else "champion"
        opinion = opinions.usable[decider]
        model, policy = opinion.model, opinion.model.bundle.portfolio.policy
        return Decision(
            decision_id=self.new_id(),
            application_id=application.application_id,
            applicant_id=application.applicant_id,
            points=opinion.points,
            points_exact=opinion.points_exact,
            prob_default=opinion.prob_default,
            band=band(opinion.points, policy),
            recommendation=recommendation(opinion.points, policy),
            reasons=opinion.reasons,
            model=DecidingModel(name=model.ref.model, version=model.ref.version, role=decider),
            arm=route.arm,
            arm_probability=route.arm_probability,
            decider=decider,
            fallback=decider != route.arm,
            policy_version=policy.version,
            feature_set=model.bundle.plan.version,
            scorer_version=SCORER_VERSION,
            features_from=source,
            as_of=as_of,
            request_id=application.request_id,
        )


def body_digest(received: Json) -> str:
    """Return the SHA-256 of a body, the same whatever the order of its keys and its white space."""
    canonical = json.dumps(received, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
