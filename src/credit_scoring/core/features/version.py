"""The version of a feature set: a hash of everything that can move a feature's value."""

import hashlib
import json
from collections.abc import Collection, Mapping

from credit_scoring.core.features.declared import FeatureDeclaration
from credit_scoring.core.features.expressions import special_codes
from credit_scoring.core.features.past import EventColumns
from credit_scoring.core.portfolio import Column

COMPUTATION_VERSION = 1
"""Part of every feature-set version: raise it when a declared kind changes its meaning."""

_WORDING = {"description", "reason", "unit", "higher_is", "special"}
"""What only models and readers use."""


def feature_set_version(
    features: Mapping[str, FeatureDeclaration],
    columns: Mapping[str, Column],
    columns_read: Collection[str],
    events_read: Mapping[str, EventColumns],
) -> str:
    """Return the version of ``features`` over these columns and event tables."""
    kinds = {name: f.model_dump(mode="json", exclude=_WORDING, exclude_none=True) for name, f in features.items()}
    plan: dict[str, object] = {
        "computation": COMPUTATION_VERSION,
        "features": list(kinds.items()),
        "categories": {name: columns[name].categories for name in columns_read},
        # What few portfolios have is named only where it is, so that the others keep their versions.
        **{name: value for name, value in _particulars(features, columns, events_read).items() if value},
    }
    return "fs-" + hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]


def _particulars(
    features: Mapping[str, FeatureDeclaration], columns: Mapping[str, Column], events_read: Mapping[str, EventColumns]
) -> dict[str, object]:
    """Special codes of what is computed with, knowledge times, types that Python functions see."""
    functions = [feature for feature in features.values() if feature.python]
    computed = [*functions, *(feature for feature in features.values() if feature.ratio or feature.difference)]
    operands = sorted({operand for feature in computed for operand in feature.operands})
    codes = {operand: sorted(special_codes(operand, features, columns)) for operand in operands}
    codes |= {
        f"{table}.{column}": sorted(special)
        for table, read in events_read.items()
        for column, special in read.columns.items()
    }
    return {
        "special": {name: special for name, special in codes.items() if special},
        "known_at": sorted(table for table, read in events_read.items() if read.known_at),
        "types": {o: columns[o].type for feature in functions for o in feature.operands if o in columns},
    }
