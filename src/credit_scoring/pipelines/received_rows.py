"""A portfolio's received tables, read by its catalog and checked, outside a Kedro run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kedro.config import MissingConfigException
from kedro.io import DataCatalog

from credit_scoring.adapters.table_datasets import CheckedTablesDataset
from credit_scoring.core.errors import ContractError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.table_checks import CheckedTables
from credit_scoring.pipelines.configuration import PortfolioConfigLoader
from credit_scoring.pipelines.faults import told
from credit_scoring.pipelines.ingestion.nodes import check_tables


@contextmanager
def checked_rows(portfolio: Portfolio, conf: Path) -> Iterator[CheckedTables]:
    """Give the received tables, checked; they lie in a directory that is removed when the block ends.

    Args:
        portfolio: The declaration, whose name is that of its environment.
        conf: Directory of the configuration.

    Raises:
        ContractError: If a received table is absent, unreadable or lacks declared columns.
    """
    with TemporaryDirectory(prefix="credit-scoring-") as folder:
        dataset = CheckedTablesDataset(f"{folder}/checked")
        try:
            catalog = _catalog(portfolio, conf)
            dataset.save(check_tables(catalog.load("raw_applicants"), catalog.load("raw_tables"), portfolio))
        except Exception as exc:
            fault = told(exc)
            if fault is None:
                raise
            raise ContractError(fault) from exc
        yield dataset.load()


def _catalog(portfolio: Portfolio, conf: Path) -> DataCatalog:
    loader = PortfolioConfigLoader(conf, env=portfolio.name, base_env="base", default_run_env=portfolio.name)
    entries = {name: loader["catalog"][name] for name in ("raw_applicants", "raw_tables")}
    return DataCatalog.from_config(entries, _credentials(loader))


def _credentials(loader: PortfolioConfigLoader) -> dict[str, Any]:
    try:
        found: dict[str, Any] = loader["credentials"]
    except MissingConfigException:
        return {}
    return found
