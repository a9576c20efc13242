"""Kedro datasets for what is ours: declarations, bundles, metrics."""

import json
from pathlib import Path
from typing import Any

import polars as pl
from kedro.io import AbstractDataset, DatasetError
from kedro_mlflow.io.metrics import MlflowMetricsHistoryDataset

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.pushed_tables import pushed_tables
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.files import read_directory, write_directory
from credit_scoring.adapters.model_registry import MlflowRegistry
from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.api.decisions import Role
from credit_scoring.core.bundles import from_files, to_files
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.roles import Roles
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.environment import Environment


class PortfolioDataset(AbstractDataset[None, Portfolio]):
    """The declaration of a portfolio, read by our own reader so that errors name file and line."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Portfolio:
        """Return the declaration. Raises DeclarationError as ``read_portfolio`` does."""
        return read_portfolio(self._filepath)

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: declarations are written by people."""
        raise DatasetError("A declaration is written by hand, not by a pipeline.")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class ModelBundleDataset(AbstractDataset[ModelBundle, ModelBundle]):
    """A bundle as a directory of data files, written whole or not at all, checked when read."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> ModelBundle:
        """Return the bundle. Raises BundleError if it is absent or damaged."""
        return from_files(read_directory(self._filepath), f"'{self._filepath}'")

    def save(self, data: ModelBundle) -> None:
        """Replace the bundle on disk."""
        write_directory(self._filepath, to_files(data))

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class PreviousJsonDataset(AbstractDataset[None, dict[str, Any]]):
    """What a JSON file held before this run replaces it; empty when there is none."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Return the file's content."""
        if not self._filepath.exists():
            return {}
        content: dict[str, Any] = json.loads(self._filepath.read_text(encoding="utf-8"))
        return content

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: the file is written by the dataset that owns it."""
        raise DatasetError("This is what an earlier run wrote; it is read only.")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class MetricsDataset(MlflowMetricsHistoryDataset):  # type: ignore[misc] # kedro-mlflow ships no types
    """Metrics of the running pipeline as a flat ``{name: number}``, on its MLflow run under a prefix."""

    def __init__(self, prefix: str, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(prefix=prefix, metadata=metadata)

    def _save(self, data: dict[str, float]) -> None:
        super()._save({name: {"value": float(value), "step": 0} for name, value in data.items()})


class RolesDataset(AbstractDataset[None, Roles]):
    """The roles as the records database holds them now."""

    def __init__(self, portfolio: str, metadata: dict[str, Any] | None = None) -> None:
        self._portfolio = portfolio
        self.metadata = metadata

    def load(self) -> Roles:
        """Return the roles. Raises RegistryError before a portfolio's first run."""
        held = RoleRepository(open_database(Environment().database_url)).current(self._portfolio)
        if held is None:
            raise RegistryError(
                f"Portfolio '{self._portfolio}' has no champion and challenger yet. Run "
                f"'kedro run --env={self._portfolio}' first."
            )
        return held.roles

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: roles are given by registration and promotion."""
        raise DatasetError("Roles are given by registration and promotion, not by saving them.")

    def _describe(self) -> dict[str, Any]:
        return {"portfolio": self._portfolio}


class PushedEventsDataset(AbstractDataset[None, dict[str, pl.LazyFrame]]):
    """Events that were pushed, by event table, as the records database holds them whenever they are asked for.

    ``filepath`` is the declaration by which they are typed, ``portfolio`` the name under which they were stored.
    """

    def __init__(self, portfolio: str, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._portfolio = portfolio
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> dict[str, pl.LazyFrame]:
        """Return the tables, in order of receipt; none where there is no database (which reading does not create)."""
        environment = Environment()
        owner = environment.owner(self._portfolio)
        return pushed_tables(environment.database_url, owner, read_portfolio(self._filepath).events)

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: events are pushed to the stream."""
        raise DatasetError("Events are pushed to the stream, not saved by a pipeline.")

    def _describe(self) -> dict[str, Any]:
        return {"portfolio": self._portfolio}


class RoleBundleDataset(AbstractDataset[None, ModelBundle]):
    """The bundle that holds a role now, fetched from the registry by the version that the records name."""

    def __init__(self, portfolio: str, role: Role, metadata: dict[str, Any] | None = None) -> None:
        self._portfolio = portfolio
        self._role = role
        self.metadata = metadata

    def load(self) -> ModelBundle:
        """Return the bundle. Raises RegistryError before a portfolio's first run."""
        ref = RolesDataset(self._portfolio).load().holder(self._role)
        return from_files(MlflowRegistry(ref.model).files(ref), f"version {ref.version} of '{ref.model}'")

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: roles are given by registration and promotion."""
        raise DatasetError("Roles are given by registration and promotion, not by saving a bundle.")

    def _describe(self) -> dict[str, Any]:
        return {"portfolio": self._portfolio, "role": self._role}
