"""Nodes of the registration pipeline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from pydantic import BaseModel, ConfigDict, Field

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.model_registry import Candidate, MlflowRegistry
from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.roles import ROLES, BundleRef, Experiment, Roles
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.environment import Environment
from credit_scoring.hooks import git_commit

SHOWN = ("auc_roc", "gini", "ks", "brier", "calibration_slope")
"""Holdout figures that travel with a registered version as tags."""


class FirstRoles(BaseModel):
    """Who gets which role in the first run of a portfolio, and the challenger's share of traffic then."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    champion: str
    challenger: str
    challenger_share: float = Field(ge=0, le=1)


def register_candidates(
    portfolio: Portfolio,
    evaluation_metrics: dict[str, Any],
    ingestion_summary: dict[str, Any],
    first_roles: FirstRoles,
    **trained: Any,
) -> dict[str, Any]:
    """Register every candidate; in a portfolio's first run also give the roles.

    ``trained`` holds ``<candidate>_bundle`` and ``<candidate>_summary`` of each candidate. A later run gives
    no role and moves nothing.

    Returns:
        The versions of this run, the roles that hold now, and the holdout figures of each.

    Raises:
        RegistryError: If there is no MLflow run to register from, a bundle was altered after its training, or
            a role names no candidate.
    """
    run = mlflow.active_run()
    if run is None:
        raise RegistryError("Registration needs an MLflow run to take the bundles from; enable it in mlflow.yml.")
    registry = MlflowRegistry(model_name(portfolio))
    candidates = {}
    for name in [key.removesuffix("_bundle") for key in trained if key.endswith("_bundle")]:
        bundle: ModelBundle = trained[f"{name}_bundle"]
        training: dict[str, Any] = trained[f"{name}_summary"]
        files = to_files(bundle)
        if digest(files) != training["digest"]:
            raise RegistryError(
                f"The bundle of '{name}' is not the one that training wrote. Run the training pipeline."
            )
        tags = _tags(bundle, training, evaluation_metrics["candidates"][name], ingestion_summary)
        candidates[name] = Candidate(files, tags, _description(portfolio, bundle, tags))
    refs = registry.register(run.info.run_id, candidates)
    roles = _roles(portfolio, refs, first_roles)
    registry.mirror(roles)
    return {
        "registered": {name: ref.model_dump(mode="json") for name, ref in refs.items()},
        "roles": roles.model_dump(mode="json"),
        "figures": {role: {tag: registry.tags(roles.holder(role))[tag] for tag in SHOWN} for role in ROLES},
    }


def model_name(portfolio: Portfolio) -> str:
    """Return the name under which a portfolio's bundles are registered, and its Bento is built."""
    return f"credit_scoring_{portfolio.name}"


def _roles(portfolio: Portfolio, refs: Mapping[str, BundleRef], first: FirstRoles) -> Roles:
    absent = {first.champion, first.challenger} - refs.keys()
    if absent or first.champion == first.challenger:
        raise RegistryError(
            f"'registration' names {first.champion} as champion and {first.challenger} as challenger; they must be two "
            f"of {', '.join(sorted(refs))}. Correct conf/base/parameters_registration.yml."
        )
    book = RoleRepository(open_database(Environment().database_url))
    experiment = Experiment(
        id=f"{portfolio.name}-1", salt=f"{portfolio.name}-1", challenger_share=first.challenger_share
    )
    return book.seed(
        portfolio.name,
        Roles(champion=refs[first.champion], challenger=refs[first.challenger], experiment=experiment),
    )


def _tags(
    bundle: ModelBundle, summary: Mapping[str, Any], judged: Mapping[str, Any], ingestion: Mapping[str, Any]
) -> dict[str, str]:
    figures = {
        "auc_roc": judged["auc"]["value"],
        "gini": judged["gini"]["value"],
        "ks": judged["ks"],
        "brier": judged["brier"],
        "calibration_slope": judged["calibration"]["slope"]["value"],
        "training_duration_s": summary["training_duration_s"],
    }
    return {
        "algorithm": bundle.classifier.algorithm,
        "dataset_version": ingestion["dataset_version"],
        "feature_set": bundle.plan.version,
        "git_commit": git_commit(Path.cwd()),
        "stage": "Staging",
        **{name: f"{value:.6g}" for name, value in figures.items()},
    }


def _description(portfolio: Portfolio, bundle: ModelBundle, tags: Mapping[str, str]) -> str:
    return (
        f"{bundle.classifier.algorithm} for {portfolio.title}: {len(bundle.plan.names)} features of set "
        f"{tags['feature_set']}, holdout AUC {tags['auc_roc']}, trained on {tags['dataset_version'][:19]}."
    )
