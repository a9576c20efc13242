"""Nodes of the registration pipeline."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.adapters.model_registry import Candidate, MlflowRegistry
from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.errors import RegistryError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.model_cards import GOLDEN_POINTS, HOLDOUT_FIGURES
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.roles import ROLES, BundleRef, Experiment, FirstRoles, Roles, model_name
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.environment import Environment
from credit_scoring.hooks import git_commit
from credit_scoring.ports import RoleBook

logger = logging.getLogger(__name__)


def register_candidates(
    portfolio: Portfolio,
    evaluation_metrics: dict[str, Any],
    evaluation_report: str,
    first_roles: FirstRoles,
    **trained: Any,
) -> dict[str, Any]:
    """Register every candidate; in a portfolio's first run also give the roles.

    ``trained`` holds ``<candidate>_bundle`` and ``<candidate>_summary`` of each candidate. A later run gives
    no role and moves nothing.

    Returns:
        The versions of this run, the roles that hold now, the holdout figures of each, and the routing that conf
        declares, which may be another than that in force.

    Raises:
        RegistryError: If there is no MLflow run to register from, a bundle is not the one that was trained and
            evaluated, or a role names no candidate.
        RecordsError: If the records database cannot be opened; nothing is registered then.
    """
    run = mlflow.active_run()
    if run is None:
        raise RegistryError("Registration needs an MLflow run to take the bundles from; enable it in mlflow.yml.")
    names = [key.removesuffix("_bundle") for key in trained if key.endswith("_bundle")]
    _require_candidates(first_roles, names)
    # Opened first: when roles cannot be recorded, nothing may be registered either.
    book = RoleRepository(open_database(Environment().database_url))
    shared = {
        "evaluation_report": hashlib.sha256(evaluation_report.encode()).hexdigest(),
        "git_commit": git_commit(Path.cwd()),
        "stage": "Staging",
    }
    candidates = {
        name: _candidate(
            name, trained[f"{name}_bundle"], trained[f"{name}_summary"], evaluation_metrics["candidates"][name], shared
        )
        for name in names
    }
    registry = MlflowRegistry(model_name(portfolio.name))
    with registry.registered(run.info.run_id, candidates) as refs:
        roles = _roles(book, portfolio, refs, first_roles)
    registry.mirror(roles)
    if roles.experiment.routing != first_roles.routing:
        logger.warning("routing_not_in_force portfolio=%s: the summary says what conf declares", portfolio.name)
    return {
        "registered": {name: ref.model_dump(mode="json") for name, ref in refs.items()},
        "roles": roles.model_dump(mode="json", by_alias=True),
        "declared_routing": first_roles.routing.model_dump(mode="json", by_alias=True),
        "figures": {role: {tag: registry.tags(roles.holder(role))[tag] for tag in HOLDOUT_FIGURES} for role in ROLES},
    }


def _require_candidates(first: FirstRoles, names: Sequence[str]) -> None:
    if {first.champion, first.challenger} - set(names) or first.champion == first.challenger:
        raise RegistryError(
            f"'registration' names {first.champion} as champion and {first.challenger} as challenger; they must be two "
            f"of {', '.join(sorted(names))}. Correct conf/base/parameters_registration.yml."
        )


def _roles(book: RoleBook, portfolio: Portfolio, refs: Mapping[str, BundleRef], first: FirstRoles) -> Roles:
    experiment = Experiment(id=f"{portfolio.name}-1", salt=f"{portfolio.name}-1", routing=first.routing)
    given = Roles(champion=refs[first.champion], challenger=refs[first.challenger], experiment=experiment)
    return book.seed(portfolio.name, given).roles


def _candidate(
    name: str,
    bundle: ModelBundle,
    training: Mapping[str, Any],
    judged: Mapping[str, Any],
    shared: Mapping[str, str],
) -> Candidate:
    """Return what is registered of one candidate, once training, evaluation and bundle speak of the same model."""
    files = to_files(bundle)
    for step, told in (("training", training["digest"]), ("evaluation", judged["digest"])):
        if told != digest(files):
            raise RegistryError(
                f"The bundle of '{name}' is not the one that the {step} pipeline told of. Run 'kedro run' again, or "
                f"the pipelines from training on."
            )
    figures = {
        "auc_roc": judged["auc"]["value"],
        "gini": judged["gini"]["value"],
        "ks": judged["ks"],
        "brier": judged["brier"],
        "calibration_slope": judged["calibration"]["slope"]["value"],
        "training_duration_s": training["training_duration_s"],
    }
    tags = {
        **shared,
        "algorithm": bundle.classifier.algorithm,
        "dataset_version": training["dataset_version"],
        "feature_set": bundle.plan.version,
        GOLDEN_POINTS: repr(golden_points(bundle)),
        **{figure: f"{value:.6g}" for figure, value in figures.items()},
    }
    description = (
        f"{bundle.classifier.algorithm} for {bundle.portfolio.title}: {len(bundle.plan.names)} features of set "
        f"{bundle.plan.version}, holdout AUC {tags['auc_roc']}, trained on {tags['dataset_version'][:19]}."
    )
    return Candidate(files, tags, description)
