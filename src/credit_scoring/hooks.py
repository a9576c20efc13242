"""Kedro hooks: tracking only, never data."""

import subprocess
import warnings
from pathlib import Path
from typing import Any

import mlflow
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from pydantic import BaseModel

from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio

with warnings.catch_warnings(record=True):
    warnings.simplefilter("ignore")
    # kedro-mlflow defines a model class on import that MLflow has an opinion about, whatever the filters say; nothing
    # here uses it. Kedro reads these hooks before it loads its plugins.
    import kedro_mlflow.mlflow  # noqa: F401


class TrackingHooks:
    """Puts what a run depended on beside what it produced: declaration, code, options one by one."""

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Note portfolio, feature set and commit on the MLflow run that kedro-mlflow opened."""
        if mlflow.active_run() is None or "portfolio" not in pipeline.inputs():
            return
        portfolio: Portfolio = catalog.load("portfolio")
        plan = FeatureSet.of(portfolio)
        mlflow.log_params(
            {
                "portfolio": portfolio.name,
                "feature_set": plan.version,
                "feature_count": len(plan.names),
                **{f"split.{key}": value for key, value in portfolio.split.model_dump().items()},
            }
        )
        mlflow.set_tag("git_commit", git_commit(Path(run_params["project_path"])))

    @hook_impl(trylast=True)
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Log typed parameters one by one; kedro-mlflow logs a Pydantic model as one long text."""
        if mlflow.active_run() is None:
            return
        for name, value in inputs.items():
            if name.startswith("params:") and isinstance(value, BaseModel):
                mlflow.log_params(_flat(name.removeprefix("params:"), value.model_dump(mode="json")))


def git_commit(project: Path) -> str:
    """Return the commit of the project, marked when files differ from it; 'unknown' outside git."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607 - git is found on PATH
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"


def _flat(prefix: str, value: object) -> dict[str, object]:
    if isinstance(value, dict):
        return {name: v for key, inner in value.items() for name, v in _flat(f"{prefix}.{key}", inner).items()}
    return {prefix: value}
