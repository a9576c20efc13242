"""What a finished run tells its user: who holds the roles, how good they are, what to do next."""

import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from credit_scoring.core.roles import ROLES, Roles

_HEADINGS = {"auc_roc": "AUC", "gini": "Gini", "ks": "KS", "brier": "Brier", "calibration_slope": "Slope"}


def print_summary(project: Path, portfolio: str) -> None:
    """Print the holdout figures of champion and challenger, the report's place and the next two commands."""
    models = project / "data" / "4_models" / portfolio
    summary = json.loads((models / "registration_summary.json").read_text(encoding="utf-8"))
    roles = Roles.model_validate(summary["roles"])
    table = Table(box=box.SIMPLE, title=f"{roles.champion.model} on the holdout part", title_justify="left")
    for heading in ("Role", "Algorithm", "Version"):
        table.add_column(heading, no_wrap=True)
    for heading in _HEADINGS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for role in ROLES:
        holder = roles.holder(role)
        figures = (f"{float(summary['figures'][role][name]):.4f}" for name in _HEADINGS)
        table.add_row(role, holder.algorithm, str(holder.version), *figures)
    console = Console()
    console.print(table)
    versions = {ref["version"] for ref in summary["registered"].values()}
    if not versions & {roles.champion.version, roles.challenger.version}:
        listed = ", ".join(str(version) for version in sorted(versions))
        console.print(f"This run registered versions {listed} as candidates; the roles stay where they are.")
    report = (models / "evaluation" / "report.html").relative_to(project)
    chosen = "" if portfolio == "taiwan_cards" else f" PORTFOLIO={portfolio}"
    console.print(f"Report:  {report}")
    console.print(f"Next:    make serve{chosen}", highlight=False)
    console.print(f"         kedro run --env={portfolio} --pipeline=monitoring", highlight=False)
