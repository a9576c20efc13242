"""What features on disk were computed from, so that nobody reads them for something else."""

import hashlib
from collections.abc import Mapping
from typing import Any

from credit_scoring.core.errors import StaleFeaturesError
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio

_SAID = {"feature_set": "feature set", "split": "split"}


def lineage(portfolio: Portfolio, dataset_version: str) -> dict[str, str]:
    """Return what features computed under ``portfolio`` from received data ``dataset_version`` depend on."""
    return {"dataset_version": dataset_version, **_declared(portfolio)}


def require_made_under(portfolio: Portfolio, description: Mapping[str, Any], reader: str) -> None:
    """Refuse features that were computed, or applicants that were parted, under another declaration.

    Args:
        portfolio: The declaration that ``reader`` goes by: the present one, or the one that a bundle carries.
        description: What the features pipeline wrote beside the features.
        reader: Who is about to read them, for the message.

    Raises:
        StaleFeaturesError: If they differ. A model would read other features than it was fitted on, or be
            judged on applicants that it was fitted on.
    """
    for key, declared in _declared(portfolio).items():
        if description[key] != declared:
            raise StaleFeaturesError(
                f"The features on disk were made under {_SAID[key]} {description[key]}, but {reader} goes by "
                f"{declared}. Run 'kedro run', or the pipelines from features on."
            )


def _declared(portfolio: Portfolio) -> dict[str, str]:
    split = hashlib.sha256(portfolio.split.model_dump_json().encode()).hexdigest()
    return {"feature_set": FeatureSet.of(portfolio).version, "split": split[:12]}
