"""The project's ``kedro`` commands: ``kedro run`` with faults told in one message, and a summary at the end."""

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import click
from kedro import KedroDeprecationWarning
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.project import pipelines
from kedro.utils import find_kedro_project

from credit_scoring.core.errors import nearest
from credit_scoring.pipelines.configuration import DEFAULT_PORTFOLIO
from credit_scoring.pipelines.faults import told
from credit_scoring.pipelines.summary import summary

# Bundles are a few small files; a progress bar for each would bury the run's own lines.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow would try a server that is down for four minutes; these are about ten seconds.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

_SAID_IN_THE_MESSAGE = (
    "kedro.pipeline.node",
    "kedro.validation.parameter_validator",
    "mlflow.store.db.utils",
    "urllib3.connectionpool",
)
_RUNNERS = tuple(f"kedro.runner.{kind}_runner" for kind in ("sequential", "thread", "parallel"))
_PARTS = (
    *("pipeline", "pipelines", "tags", "namespaces", "node_names", "only_missing_outputs"),
    *("from_nodes", "to_nodes", "from_inputs", "to_outputs"),
)
"""Options that make a run less than a whole one."""


@click.group(name="credit_scoring")
def cli() -> None:
    """Commands of this project that replace Kedro's own."""


def _run(**options: Any) -> Any:
    # Kedro 1.7 announces that --pipeline will go one day; both spellings work here.
    warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated", category=KedroDeprecationWarning)
    _tell_once()
    # Registry, records and Bento lie below the project, from whichever of its directories it is run.
    os.chdir(find_kedro_project(Path.cwd()) or Path.cwd())
    _require_pipelines([*filter(None, [options["pipeline"]]), *(options["pipelines"] or ())])
    try:
        result = click.get_current_context().invoke(kedro_run, **options)
    except Exception as exc:
        fault = told(exc)
        if fault is None:
            raise
        raise click.ClickException(fault) from exc
    if not any(options.get(part) for part in _PARTS):
        click.echo(summary(Path.cwd(), options["env"] or DEFAULT_PORTFOLIO))
    return result


def _tell_once() -> None:
    """Leave a fault to the one message at the end; Kedro would log it too, and advise to repeat the command."""
    for name in _SAID_IN_THE_MESSAGE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _RUNNERS:
        logging.getLogger(name).addFilter(lambda record: record.levelno < logging.WARNING)


def _require_pipelines(names: list[str]) -> None:
    for name in names:
        if name not in pipelines:
            listed = ", ".join(sorted(pipelines))
            raise click.ClickException(
                f"There is no pipeline '{name}'.{nearest(name, listed.split(', '))} There are: {listed}."
            )


cli.add_command(click.Command("run", callback=_run, params=list(kedro_run.params), help=kedro_run.help))
