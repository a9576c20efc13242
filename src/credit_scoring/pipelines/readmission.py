"""Set-aside rows of files taken in again: the checked tables are mended, then all that is made of them."""

from pathlib import Path
from typing import Any

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from credit_scoring.adapters.table_datasets import CheckedTablesDataset
from credit_scoring.core.errors import ContractError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.readmission import Readmission, readmit
from credit_scoring.pipelines.configuration import PortfolioConfigLoader


def readmit_files(portfolio: Portfolio, conf: Path, table: str | None = None) -> Readmission:
    """Check set-aside rows again under the present declaration, and write the validated tables anew if any pass.

    Raises:
        ContractError: If nothing was ingested yet, or not under contracts of these columns.
    """
    loader = PortfolioConfigLoader(conf, env=portfolio.name, base_env="base", default_run_env=portfolio.name)
    catalog = DataCatalog.from_config({"checked_tables": loader["catalog"]["checked_tables"]})
    dataset: Any = catalog["checked_tables"]
    if not isinstance(dataset, CheckedTablesDataset) or not dataset.exists():
        raise ContractError(
            f"Nothing of '{portfolio.name}' was ingested yet. Run 'kedro run --env={portfolio.name} "
            f"--pipeline=ingestion' first."
        )
    done = readmit(dataset.load(), portfolio, table)
    if any(done.readmitted.values()):
        dataset.replace(done.tables)
        _run_what_follows(portfolio, conf)
    return done


def _run_what_follows(portfolio: Portfolio, conf: Path) -> None:
    project = conf.resolve().parent
    bootstrap_project(project)
    created: Any = KedroSession.create(project_path=project, env=portfolio.name)
    with created as session:
        session.run(pipeline_names=["ingestion"], from_nodes=["take_pushed_events"])
