"""A portfolio's received tables, read by its catalog and checked, outside a Kedro run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kedro.config import MissingConfigException
from kedro.io import DataCatalog, DatasetError

from credit_scoring.adapters.table_datasets import CheckedTablesDataset
from credit_scoring.core.errors import ContractError, CreditScoringError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.table_checks import CheckedTables
from credit_scoring.pipelines.configuration import PortfolioConfigLoader
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
    loader = PortfolioConfigLoader(conf, env=portfolio.name, base_env="base", default_run_env=portfolio.name)
    entries = {name: loader["catalog"][name] for name in ("raw_applicants", "raw_tables")}
    with TemporaryDirectory(prefix="credit-scoring-") as folder:
        dataset = CheckedTablesDataset(f"{folder}/checked")
        try:
            catalog = DataCatalog.from_config(entries, _credentials(loader))
            dataset.save(check_tables(catalog.load("raw_applicants"), catalog.load("raw_tables"), portfolio))
        except DatasetError as exc:
            raise _own_error(exc, portfolio) from exc
        yield dataset.load()


def _credentials(loader: PortfolioConfigLoader) -> dict[str, Any]:
    try:
        found: dict[str, Any] = loader["credentials"]
    except MissingConfigException:
        return {}
    return found


def _own_error(exc: DatasetError, portfolio: Portfolio) -> CreditScoringError:
    """Return our own error if that is what lies beneath; Kedro wraps whatever a dataset raises."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, CreditScoringError):
            return cause
        cause = cause.__cause__
    reason = str(exc.__cause__ or exc).splitlines()[0]
    return ContractError(
        f"The received rows of '{portfolio.name}' cannot be read: {reason}. Put the file where 'raw_applicants' "
        f"(or 'raw_tables') in conf/*/catalog*.yml says, or correct that entry."
    )
