"""The first half of a replay: whether what models read is what was received."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np

from credit_scoring.api.decisions import FeaturesUsed, Role
from credit_scoring.core.errors import InvalidApplicationError
from credit_scoring.core.facts import Facts
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.owners import Applicant
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.replays import Comparison
from credit_scoring.usecases.applications import Application, body_digest
from credit_scoring.usecases.assignment import RoleModel
from credit_scoring.usecases.feature_rows import FeatureRow, Subject
from credit_scoring.usecases.model_opinions import row_failure

Models = Mapping[Role, RoleModel]


def recorded_subject(record: DecisionRecord, models: Models) -> Subject:
    """Return what is scored: the recorded values of each model's features, where they are on record."""
    subject = _subject(record, None)
    for plan in plans_of(models).values():
        used = record.features.get(plan.version)
        if used is not None and used.values.keys() == set(plan.names):
            subject.computed[plan.version] = _recorded_row(record, plan, used)
    return subject


def plans_of(models: Models) -> dict[str, FeatureSet]:
    """Return the models' feature sets by version."""
    return {model.bundle.plan.version: model.bundle.plan for model in models.values()}


def compare_inputs(
    comparison: Comparison, record: DecisionRecord, models: Models, read: Callable[[], Application]
) -> None:
    """Compare the received body, the moment and the features; ``read`` gives the body as the models' declarations do.

    Raises:
        CreditScoringError: What ``read`` raises, other than that the body is refused.
    """
    comparison.same("received_digest", record.received_digest, body_digest(record.received))
    _compare_values(comparison, record, models)
    try:
        application = read()
    except InvalidApplicationError as exc:
        comparison.same("received", None, f"refused: {exc.fault} at {exc.pointer or '/'}")
        return
    _compare_application(comparison, record, models, application)
    _compare_facts(comparison, record, models, application.inline)


def _compare_values(comparison: Comparison, record: DecisionRecord, models: Models) -> None:
    """Recorded values must be float32 numbers of exactly the features that the models read."""
    plans = plans_of(models)
    for version, used in record.features.items():
        if version not in plans:
            comparison.same(f"features.{version}", "recorded", None)
            continue
        plan = plans[version]
        if used.values.keys() != set(plan.names):
            comparison.same(f"features.{version}.names", sorted(used.values), sorted(plan.names))
            continue
        comparison.same_each(f"features.{version}", used.values, _recorded_row(record, plan, used).used(plan).values)


def _compare_application(
    comparison: Comparison, record: DecisionRecord, models: Models, application: Application
) -> None:
    answer = record.answer
    comparison.same("application_id", answer.application_id, application.application_id)
    comparison.same("applicant_id", answer.applicant_id, application.applicant_id)
    as_of = models["champion"].bundle.portfolio.as_of.moment(application.as_of, record.decided_at)
    if application.as_of is None and record.key_id is None and _told(as_of) != _told(answer.as_of):
        comparison.skip("as_of", "no caller sent it, so it is that of a batch")
    else:
        comparison.same("as_of", _told(answer.as_of), _told(as_of))


def _compare_facts(comparison: Comparison, record: DecisionRecord, models: Models, inline: Facts | None) -> None:
    """Compute features again of facts that the request brought; what was stored then is stored no more as it was."""
    used = record.features.get(record.answer.feature_set)
    comparison.same("features_from", record.answer.features_from, None if used is None else used.source)
    for version, plan in plans_of(models).items():
        used = record.features.get(version)
        if used is None:
            continue  # its features could not be computed then, which is on record as the model's failure
        if (used.source == "request") != (inline is not None):
            comparison.same(f"features.{version}.source", used.source, None if inline is None else "request")
        elif inline is None:
            comparison.skip(f"features.{version}.facts", f"the features came from the {used.source}, not the request")
        else:
            subject = _subject(record, inline)
            failure = row_failure(subject, plan)
            found = {"failure": failure} if failure else subject.row(plan).used(plan).values
            comparison.same_each(f"features.{version}", used.values, found)
            comparison.checked[f"features.{version}.facts"] = None


def _subject(record: DecisionRecord, facts: Facts | None) -> Subject:
    applicant = Applicant(record.owner, record.answer.applicant_id)
    return Subject(applicant, record.answer.as_of, record.decided_at, facts, None)


def _recorded_row(record: DecisionRecord, plan: FeatureSet, used: FeaturesUsed) -> FeatureRow:
    values = [np.nan if used.values[name] is None else used.values[name] for name in plan.names]
    with np.errstate(all="ignore"):  # what float32 cannot hold is found out when the row is compared
        row = np.asarray(values, dtype=np.float64).astype(np.float32)
    return FeatureRow(row, used.source, used.observed_at or record.decided_at)


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
