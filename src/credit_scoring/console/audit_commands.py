"""The commands of auditors; as in ``app``, each imports what it needs when it runs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

audit_app = typer.Typer(no_args_is_help=True, help="Whether decisions on record are what they were.")

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]


@audit_app.command("verify")
def verify_records(
    portfolio: Annotated[str | None, typer.Option(help="Only chains that hold records of it; by default all.")] = None,
    heads: Annotated[Path | None, typer.Option(help="Compare with the links in this file, kept earlier.")] = None,
    write_heads: Annotated[Path | None, typer.Option(help="Write the newest link of each writer to this file.")] = None,
) -> None:
    """Walk through the hash chains of all decision records, and name the first bad record and what is wrong.

    That a chain's newest records were removed, or a whole chain was written anew, is seen only with --heads: keep the
    file that --write-heads wrote where the database's owner cannot write. Exit code 1 when anything is wrong.
    """
    from credit_scoring.console.audit import Verification, verify  # noqa: PLC0415

    if not verify(Verification(portfolio, heads, write_heads), typer.echo, _echo_aside):
        raise typer.Exit(1)


@audit_app.command("replay")
def replay_records(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    every: Annotated[bool, typer.Option("--all", help="All decisions on record.")] = False,
    decision: Annotated[str | None, typer.Option(help="Only the decision of this id.")] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_MOMENTS, help="Only what was decided since, in UTC.")
    ] = None,
    portfolio: Annotated[str | None, typer.Option(help="Only decisions of this portfolio.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only decisions of this lender.")] = None,
    values: Annotated[bool, typer.Option("--values", help="Also show what differs: personal data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a decision, with values.")] = False,
) -> None:
    """Compute decisions again from their records, by the bundles that decided, and list those that differ.

    Bundles are those staged in build/bento, else those of the registry (MLFLOW_TRACKING_URI). Exit code 1 when
    anything differs or cannot be computed again.
    """
    if not (every or decision or since):
        raise typer.BadParameter("Say which decisions: --all, --since or --decision.")
    from credit_scoring.adapters.database.audit import Selection  # noqa: PLC0415
    from credit_scoring.console.replaying import ReplayOptions, replay_recorded  # noqa: PLC0415

    moment = since.replace(tzinfo=UTC) if since else None
    options = ReplayOptions(Selection(decision, tenant, portfolio, moment), values, as_json)
    if not replay_recorded(options, typer.echo, _echo_aside):
        raise typer.Exit(1)


def _echo_aside(line: str) -> None:
    typer.echo(line, err=True)
