"""Nodes of the packaging pipeline."""

import logging
import os
import subprocess
import sys
from typing import Any

from credit_scoring.adapters.bento_package import STAGE, stage_package, tag_file
from credit_scoring.adapters.bento_stage import COMPILED
from credit_scoring.adapters.model_registry import MlflowRegistry
from credit_scoring.core.errors import BundleError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.roles import ROLES, Roles, model_name
from table_treeshap.compiled_code import compiled_files

_LOG = logging.getLogger(__name__)


def stage_bundles(portfolio: Portfolio, current_roles: Roles, registration_summary: dict[str, Any]) -> dict[str, Any]:
    """Stage the bundles that hold roles now, fetched from the registry, and return what was staged.

    ``registration_summary`` only makes packaging wait: the rows say who holds a role, not the last registration.
    """
    del registration_summary
    holders = {current_roles.holder(role).digest: current_roles.holder(role) for role in ROLES}
    files = {key: MlflowRegistry(ref.model).files(ref) for key, ref in holders.items()}
    tags = {key: MlflowRegistry(ref.model).tags(ref) for key, ref in holders.items()}
    stage_package(STAGE, current_roles, files, tags)
    return {"bento_name": model_name(portfolio.name), "bundles": sorted(holders)}


def build_bento(staged_package: dict[str, Any]) -> dict[str, Any]:
    """Build the Bento from what is staged, as ``bentoml build`` does by hand, and return its tag.

    Table TreeSHAP's code is compiled into the sources before, so that no start of the service compiles it.
    """
    files = compiled_files(COMPILED)
    _LOG.info("The Bento brings compiled code: %s.", ", ".join(file.name for file in files))
    told = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--output", "tag"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "BENTOML_DO_NOT_TRACK": "true"},
    )
    if told.returncode:
        # The last line says what is wrong; those above are progress, or the trace that led there.
        reason = told.stderr.strip().rpartition("\n")[2][-500:]
        raise BundleError(f"'bentoml build' failed: {reason}. Mend that, then run 'kedro run --pipeline=packaging'.")
    tag = told.stdout.strip().rpartition("__tag__:")[2]
    if tag.partition(":")[0] != staged_package["bento_name"]:
        raise BundleError(
            f"'bentoml build' made '{tag}', not a Bento named '{staged_package['bento_name']}': another run staged its "
            f"package meanwhile. Run 'kedro run --pipeline=packaging' again."
        )
    tag_file(staged_package["bento_name"]).write_text(f"{tag}\n", encoding="utf-8")
    return {**staged_package, "bento": tag}
