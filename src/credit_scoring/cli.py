"""The project's ``kedro`` commands: ``kedro run`` with faults told in one message, and a summary at the end."""

import os
import warnings
from pathlib import Path
from typing import Any

import click
from kedro import KedroDeprecationWarning
from kedro.framework.cli.project import run as kedro_run

from credit_scoring.pipelines.configuration import DEFAULT_PORTFOLIO
from credit_scoring.pipelines.faults import told
from credit_scoring.pipelines.summary import summary

# Bundles are a few small files; a progress bar for each would bury the run's own lines.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@click.group(name="credit_scoring")
def cli() -> None:
    """Commands of this project that replace Kedro's own."""


def _run(**options: Any) -> Any:
    # Kedro 1.7 announces that --pipeline will go one day; both spellings work here.
    warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated", category=KedroDeprecationWarning)
    try:
        result = click.get_current_context().invoke(kedro_run, **options)
    except Exception as exc:
        fault = told(exc)
        if fault is None:
            raise
        raise click.ClickException(fault) from exc
    if not (options["pipeline"] or options["pipelines"]):
        click.echo(summary(Path.cwd(), options["env"] or DEFAULT_PORTFOLIO))
    return result


cli.add_command(click.Command("run", callback=_run, params=list(kedro_run.params), help=kedro_run.help))
