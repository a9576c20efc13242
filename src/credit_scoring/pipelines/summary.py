"""What a finished run tells its user: who holds the roles, how good they are, what to do next."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from credit_scoring.api.decisions import Role
from credit_scoring.core.roles import ROLES, Roles, Routing
from credit_scoring.core.routing import routing_in_words

_HEADINGS = {"auc_roc": "AUC", "gini": "Gini", "ks": "KS", "brier": "Brier", "calibration_slope": "Cal. slope"}


def summary(project: Path, portfolio: str) -> str:
    """Return the holdout figures of champion and challenger, the report's place and the next two commands."""
    models = project / "data" / "4_models" / portfolio
    registered = json.loads((models / "registration_summary.json").read_text(encoding="utf-8"))
    roles = Roles.model_validate(registered["roles"])
    report = (models / "evaluation" / "report.html").relative_to(project)
    return "\n".join(
        [
            "",
            f"{roles.champion.model}, measured on the holdout part",
            f"  {'role':<11}{'algorithm':<15}{'version':>7}" + "".join(f"{h:>12}" for h in _HEADINGS.values()),
            *(_row(role, roles, registered["figures"][role]) for role in ROLES),
            *_candidates(registered, roles),
            *_routing(registered, roles, portfolio),
            "",
            f"Report:  {report}",
            f"Next:    make serve PORTFOLIO={portfolio}",
            f"         kedro run --env={portfolio} --pipeline=monitoring",
        ]
    )


def _row(role: Role, roles: Roles, figures: dict[str, str]) -> str:
    holder = roles.holder(role)
    shown = "".join(f"{float(figures[name]):>12.4f}" for name in _HEADINGS)
    return f"  {role:<11}{holder.algorithm:<15}{holder.version:>7}{shown}"


def _candidates(registered: dict[str, Any], roles: Roles) -> list[str]:
    """Tell of versions that this run added without a role, so that nobody takes the table for theirs."""
    versions = sorted(ref["version"] for ref in registered["registered"].values())
    if {roles.champion.version, roles.challenger.version} & set(versions):
        return []
    listed = " and ".join(str(version) for version in versions)
    return [f"This run registered versions {listed} as candidates; the roles stay where they are."]


def _routing(registered: dict[str, Any], roles: Roles, portfolio: str) -> list[str]:
    """Tell of a routing that conf declares and that does not part the traffic: rows win over conf."""
    declared = TypeAdapter[Routing](Routing).validate_python(registered["declared_routing"])
    if declared == roles.experiment.routing:
        return []
    return [
        f"Routing in force is {routing_in_words(roles.experiment.routing)}; conf declares "
        f"{routing_in_words(declared)}. To put that in force: credit-scoring experiment apply --portfolio {portfolio}"
    ]
