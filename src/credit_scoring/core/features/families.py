"""What a declaration of features leaves to defaults: families of windows, columns as they are, reason codes."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from credit_scoring.core.features.declared import FeatureDeclaration, TimeSince

if TYPE_CHECKING:
    from credit_scoring.core.portfolio import Column


def completed_features(
    declared: Mapping[str, FeatureDeclaration], as_they_are: Mapping[str, "Column"], columns: Mapping[str, "Column"]
) -> dict[str, FeatureDeclaration]:
    """Return single features by name, each scored one with its reason code.

    Args:
        declared: Features as declared; a family of windows becomes its members.
        as_they_are: Columns that are features without being declared as one; dates count as time since then.
        columns: All columns a feature may read; a feature that is one of them has its special codes.
    """
    features = {name: _of_column(name, column) for name, column in as_they_are.items() if name not in declared}
    for name, feature in declared.items():
        features |= dict(_members(name, feature))
    return {name: _complete(name, feature, columns) for name, feature in features.items()}


def default_reasons(features: Mapping[str, FeatureDeclaration]) -> dict[str, str]:
    """Return a readable text for every code that a feature has by default; a code of one's own is declared."""
    texts: dict[str, str] = {}
    for name, feature in features.items():
        code = feature.reason
        if code is not None and name.upper().startswith(code):
            described = feature.description or code.lower().replace("_", " ")
            texts.setdefault(code, described[:1].upper() + described[1:])
    return texts


def _of_column(name: str, column: "Column") -> FeatureDeclaration:
    about = {"unit": column.unit, "description": column.description}
    if column.type == "date":
        return FeatureDeclaration.model_validate({"time_since": TimeSince(column=name), **about, "unit": "days"})
    return FeatureDeclaration.model_validate({"column": name, **about})


def _members(name: str, feature: FeatureDeclaration) -> Iterator[tuple[str, FeatureDeclaration]]:
    if feature.windows is None:
        yield name, feature
        return
    for member, window in feature.windows.members(name).items():
        own = {"window": window, "windows": None, "reason": feature.reason or name.upper()}
        yield member, feature.model_copy(update=own)


def _complete(name: str, feature: FeatureDeclaration, columns: Mapping[str, "Column"]) -> FeatureDeclaration:
    own: dict[str, object] = {}
    if feature.scored and feature.reason is None:
        own["reason"] = name.upper()
    column = columns.get(feature.column or "")
    if column is not None and not feature.special:
        own["special"] = column.special
    return feature.model_copy(update=own) if own else feature
