"""The second half of a replay: whether models say again what they said, and the answer follows from it."""

from collections.abc import Mapping
from typing import Any

from credit_scoring.api.decisions import ModelOutput, Role
from credit_scoring.core.decisions import band, recommendation
from credit_scoring.core.records import DecisionRecord
from credit_scoring.core.replays import POINTS_TOLERANCE, PROBABILITY_TOLERANCE, Comparison
from credit_scoring.core.roles import RolesRow
from credit_scoring.core.routing import strategy_of
from credit_scoring.usecases.assignment import RoleModel
from credit_scoring.usecases.model_opinions import ModelOpinions, Opinion

Opinions = Mapping[Role, tuple[ModelOpinions, int]]
"""What each model that did not fail then says now, and the record's place in it."""

_NUMBERS = {
    "points": POINTS_TOLERANCE,
    "points_exact": POINTS_TOLERANCE,
    "prob_default": PROBABILITY_TOLERANCE,
}


def compare_outputs(
    comparison: Comparison, record: DecisionRecord, models: Mapping[Role, RoleModel], opinions: Opinions
) -> None:
    """Compare what both models said, and the answer with what the one that decided says."""
    for role, output in record.scores.items():
        if output.failure is not None:
            comparison.skip(f"scores.{role}", f"the model failed then ({output.failure})")
        else:
            comparison.same(f"scores.{role}.feature_set", output.feature_set, models[role].bundle.plan.version)
            _compare_numbers(comparison, f"scores.{role}.", output, opinions[role], {"base_points": POINTS_TOLERANCE})
    decider = _decider(record)
    comparison.same("decider", record.answer.decider, decider)
    comparison.same("fallback", record.answer.fallback, decider != record.answer.arm)
    if record.answer.decider in opinions:
        _compare_answer(comparison, record, models[record.answer.decider], opinions[record.answer.decider])


def compare_routing(comparison: Comparison, record: DecisionRecord, row: RolesRow | None) -> None:
    """Compare roles and arm with the row of the roles' history that held."""
    if record.roles_sequence is None:
        for name in ("roles", "arm", "arm_probability"):
            comparison.skip(name, "the row of the roles' history that held was not recorded then")
        return
    if row is None:
        comparison.same("roles_sequence", record.roles_sequence, None)
        return
    strategy = strategy_of(row.roles.experiment)
    roles: list[Role] = ["champion", "challenger"] if strategy.scores_challenger else ["champion"]
    held: dict[str, Any] = {role: row.roles.holder(role).model_dump() for role in roles}
    comparison.same_each("roles", {str(role): _ref(output) for role, output in record.scores.items()}, held)
    route = strategy.route(record.answer.applicant_id, record.decided_at)
    comparison.same("arm", record.answer.arm, route.arm)
    comparison.same("arm_probability", record.answer.arm_probability, route.arm_probability)


def _compare_numbers(
    comparison: Comparison,
    prefix: str,
    recorded: Any,
    said: tuple[ModelOpinions, int],
    more: Mapping[str, float],
) -> Opinion | None:
    """Compare the numbers of an output or an answer; return what the model says, None when it fails now."""
    opinions, place = said
    opinion = opinions.usable(place)
    if opinion is None:
        comparison.same(f"{prefix}failure", None, opinions.opinions[place])
        return None
    for name, within in {**_NUMBERS, **more}.items():
        comparison.near(f"{prefix}{name}", getattr(recorded, name), getattr(opinion, name), within)
    return opinion


def _compare_answer(
    comparison: Comparison, record: DecisionRecord, model: RoleModel, said: tuple[ModelOpinions, int]
) -> None:
    answer, (opinions, place) = record.answer, said
    opinion = _compare_numbers(comparison, "", answer, said, {})
    if opinion is None:
        return
    policy = model.bundle.portfolio.policy
    points = opinion.points if comparison.exact else answer.points
    comparison.same("band", answer.band, band(points, policy))
    comparison.same("recommendation", answer.recommendation, recommendation(points, policy))
    comparison.same("policy_version", answer.policy_version, policy.version)
    comparison.same("feature_set", answer.feature_set, model.bundle.plan.version)
    told = {"name": model.ref.model, "version": model.ref.version, "role": answer.decider}
    comparison.same("model", answer.model.model_dump(), told)
    if comparison.exact:
        comparison.same("reasons", answer.reasons, opinions.reasons[place])
    else:
        comparison.skip("reasons", "they are compared under the scorer version that gave them")


def _decider(record: DecisionRecord) -> Role:
    """The arm's own model, or the champion when the challenger failed or was not scored."""
    challenger = record.scores.get("challenger")
    return "champion" if challenger is None or challenger.failure is not None else record.answer.arm


def _ref(output: ModelOutput) -> dict[str, Any]:
    return output.model_dump(include={"model", "version", "algorithm", "digest"})
