"""Registered bundles in MLflow: versions, tags, aliases."""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import RunStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from credit_scoring.adapters.files import read_directory, write_directory
from credit_scoring.core.bundles import digest
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.roles import ROLES, BundleRef, Roles

logger = logging.getLogger(__name__)

UNFINISHED = "registration"
"""Tag on a version whose registration has not ended, naming host and process; such a version is never loaded."""

STAGES: Mapping[str, str] = {"champion": "Production", "challenger": "Staging"}
"""The tag ``stage`` of each role's holder; a candidate without a role is in Staging too."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bundle to register: its files, the tags and the description of its version."""

    files: Mapping[str, bytes]
    tags: Mapping[str, str]
    description: str


class MlflowRegistry:
    """The versions of one registered model, each a bundle with its digest and tags."""

    def __init__(self, model: str, client: MlflowClient | None = None) -> None:
        self._model = model
        self._client = client or MlflowClient()

    @contextmanager
    def registered(self, run_id: str, candidates: Mapping[str, Candidate]) -> Iterator[dict[str, BundleRef]]:
        """Register all candidates of a run, or none: also none when what is done with them fails.

        Args:
            run_id: The MLflow run that made them; its artifacts hold the bundles.
            candidates: What to register, by name.

        Yields:
            Where each candidate stands in the registry.
        """
        self._discard_unfinished()
        created: dict[str, ModelVersion] = {}
        try:
            for name, candidate in candidates.items():
                created[name] = self._create(run_id, name, candidate)
            refs = {name: self._ref(version) for name, version in created.items()}
            for ref in refs.values():
                self._fetched(ref)
            for version in created.values():
                self._client.delete_model_version_tag(self._model, version.version, UNFINISHED)
            yield refs
        except BaseException:
            for version in created.values():
                self._client.delete_model_version(self._model, version.version)
            raise

    def files(self, ref: BundleRef) -> dict[str, bytes]:
        """Return the files of a registered bundle, checked against its digest.

        Raises:
            RegistryError: If the version is absent or unfinished, or its bundle is not what the digest says.
        """
        found = self._fetched(ref)
        if UNFINISHED in self.tags(ref):
            raise RegistryError(
                f"Version {ref.version} of model '{ref.model}' was never wholly registered. Run 'kedro run' again."
            )
        return found

    def _fetched(self, ref: BundleRef) -> dict[str, bytes]:
        where = f"version {ref.version} of model '{ref.model}'"
        try:
            source = self._client.get_model_version_download_uri(ref.model, str(ref.version))
            with tempfile.TemporaryDirectory() as folder:
                found = read_directory(Path(download_artifacts(source, dst_path=folder)))
        except (MlflowException, OSError) as exc:
            raise RegistryError(
                f"The registry has no bundle for {where}: {exc}. Point MLFLOW_TRACKING_URI at the registry that has "
                f"it, or restore it; without one, roles begin anew only in another database (CREDIT_DATABASE_URL)."
            ) from exc
        if digest(found) != ref.digest:
            raise RegistryError(f"The bundle of {where} is not the one that was registered. Restore its artifacts.")
        return found

    def tags(self, ref: BundleRef) -> dict[str, str]:
        """Return the tags of a registered bundle."""
        return dict(self._client.get_model_version(ref.model, str(ref.version)).tags)

    def mirror(self, roles: Roles) -> None:
        """Set the aliases and ``stage`` tags to what the records say; they are a copy, never the truth."""
        for role in ROLES:
            version = str(roles.holder(role).version)
            self._point(role, version)
            self._client.set_model_version_tag(self._model, version, "stage", STAGES[role])

    def _point(self, alias: str, version: str) -> None:
        try:
            self._client.set_registered_model_alias(self._model, alias, version)
        except MlflowException:
            # Two runs may set one alias at the same moment; MLflow refuses the second, to whom it says all it wanted.
            if str(self._client.get_model_version_by_alias(self._model, alias).version) != version:
                raise

    def _create(self, run_id: str, name: str, candidate: Candidate) -> ModelVersion:
        with tempfile.TemporaryDirectory() as folder:
            write_directory(Path(folder) / name, candidate.files)
            self._client.log_artifacts(run_id, str(Path(folder) / name), f"bundles/{name}")
        self._ensure_model()
        return self._client.create_model_version(
            self._model,
            source=f"runs:/{run_id}/bundles/{name}",
            run_id=run_id,
            tags={**candidate.tags, "digest": digest(candidate.files), "candidate": name, UNFINISHED: _this_process()},
            description=candidate.description,
        )

    def _ensure_model(self) -> None:
        try:
            self._client.create_registered_model(self._model)
        except MlflowException as exc:
            if exc.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise

    def _ref(self, version: ModelVersion) -> BundleRef:
        return BundleRef(
            model=self._model,
            version=int(version.version),
            algorithm=version.tags["algorithm"],
            digest=version.tags["digest"],
        )

    def _discard_unfinished(self) -> None:
        """Remove what a run that died left behind; a run that still runs keeps its own."""
        for version in self._client.search_model_versions(f"name='{self._model}'"):
            if UNFINISHED in version.tags and self._is_abandoned(version):
                self._client.delete_model_version(self._model, version.version)
                logger.info("Removed version %s, left unfinished by an earlier run.", version.version)

    def _is_abandoned(self, version: ModelVersion) -> bool:
        """Say whether nobody will finish ``version``; a killed process leaves its run marked as running."""
        run = self._client.get_run(str(version.run_id))
        if RunStatus.is_terminated(RunStatus.from_string(run.info.status)):
            return True
        host, _, process = version.tags[UNFINISHED].rpartition(":")
        return host == socket.gethostname() and not _is_alive(int(process))


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
