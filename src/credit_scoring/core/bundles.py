"""A model bundle as files and back: JSON, UBJSON and plain arrays, each with its checksum.

A bundle is data, with one exception: the ``features.py`` of a portfolio that has Python features travels as one of
its files and is executed when the bundle is read, after its checksum was compared (ADR 0008).
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from credit_scoring.core.boosted_trees import BoostedTrees
from credit_scoring.core.errors import BundleError, DeclarationError, MissingFunctionError
from credit_scoring.core.features.python_functions import (
    FEATURES_FILE,
    load_functions,
    loaded_source,
    source_digest,
)
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scorecard import Scorecard
from credit_scoring.core.scoring import Calibration, Classifier, Deciles, ModelBundle

MANIFEST = "bundle.json"
FORMAT = 1

CLASSIFIERS: Mapping[str, Callable[[Mapping[str, bytes]], Classifier]] = {
    Scorecard.algorithm: Scorecard.from_files,
    BoostedTrees.algorithm: BoostedTrees.from_files,
}
"""The factory: how a classifier of each algorithm is read from its files."""


def to_files(bundle: ModelBundle) -> dict[str, bytes]:
    """Return ``bundle`` as files by name; the same bundle gives the same bytes."""
    files = bundle.classifier.to_files() | {"reference.npy": _array(bundle.reference)} | _functions_file(bundle)
    manifest = {
        "format": FORMAT,
        "candidate": bundle.candidate,
        "algorithm": bundle.classifier.algorithm,
        "feature_set": bundle.plan.version,
        "calibration": {"intercept": bundle.calibration.intercept, "slope": bundle.calibration.slope},
        "deciles": {name: {"edges": d.edges, "shares": d.shares} for name, d in bundle.deciles.items()},
        "portfolio": bundle.portfolio.model_dump(mode="json", exclude_none=True),
        "checksums": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    return files | {MANIFEST: json.dumps(manifest, indent=1, allow_nan=False).encode()}


def from_files(files: Mapping[str, bytes], where: str) -> ModelBundle:
    """Read what ``to_files`` wrote; ``where`` names it in errors.

    Raises:
        BundleError: If a file is absent or altered, the algorithm or format is unknown, the bundle's feature set
            is not what this code computes, or a function that it reads is not in its ``features.py``.
    """
    manifest = _manifest(files, where)
    try:
        bundle, expected = _read(manifest, files, where), str(manifest["feature_set"])
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise BundleError(f"'{MANIFEST}' of the bundle at {where} is not what was written. Fetch it again.") from exc
    if bundle.plan.version != expected:
        raise BundleError(
            f"The bundle at {where} was fitted on feature set {expected}, but this code computes "
            f"{bundle.plan.version} from its declaration. Install the version of this package that wrote it."
        )
    return bundle


def digest(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 that names a bundle: of its manifest, which holds all other checksums."""
    return hashlib.sha256(files[MANIFEST]).hexdigest()


def _read(manifest: Mapping[str, Any], files: Mapping[str, bytes], where: str) -> ModelBundle:
    for name, checksum in manifest["checksums"].items():
        if name not in files:
            raise BundleError(f"The bundle at {where} lacks '{name}'. Train it again, or fetch it whole.")
        if hashlib.sha256(files[name]).hexdigest() != checksum:
            raise BundleError(f"'{name}' of the bundle at {where} is not what was written. Fetch it again.")
    build = CLASSIFIERS.get(manifest["algorithm"])
    if build is None:
        raise BundleError(
            f"The bundle at {where} has the algorithm '{manifest['algorithm']}'; known are "
            f"{', '.join(sorted(CLASSIFIERS))}. Install the version of this package that wrote it."
        )
    portfolio = Portfolio.model_validate(manifest["portfolio"])
    _load_functions(portfolio, files, where)
    return ModelBundle(
        candidate=manifest["candidate"],
        portfolio=portfolio,
        classifier=build(files),
        calibration=Calibration(**manifest["calibration"]),
        reference=np.load(io.BytesIO(files["reference.npy"]), allow_pickle=False),
        deciles={name: Deciles(tuple(d["edges"]), tuple(d["shares"])) for name, d in manifest["deciles"].items()},
    )


def _functions_file(bundle: ModelBundle) -> dict[str, bytes]:
    """The source that the bundle's Python features were fitted with, if it has any."""
    sources = {
        loaded_source(name, feature.python).text
        for name, feature in bundle.portfolio.features.items()
        if feature.python is not None
    }
    return {FEATURES_FILE: sources.pop().encode()} if sources else {}


def _load_functions(portfolio: Portfolio, files: Mapping[str, bytes], where: str) -> None:
    """Execute the bundle's ``features.py`` where the declaration names functions; nothing else is ever executed."""
    declared = {name: feature.python for name, feature in portfolio.features.items() if feature.python is not None}
    if not declared:
        return
    if FEATURES_FILE not in files:
        raise BundleError(
            f"The bundle at {where} has Python features ({', '.join(declared)}) but no '{FEATURES_FILE}'. Train it "
            f"again, or fetch it whole."
        )
    source = files[FEATURES_FILE].decode()
    if any(function.source != source_digest(source) for function in declared.values()):
        raise BundleError(
            f"'{FEATURES_FILE}' of the bundle at {where} is not the one it was fitted with. Train it again."
        )
    try:
        load_functions(source, f"{where}/{FEATURES_FILE}")
        for name, function in declared.items():
            loaded_source(name, function)
    except (DeclarationError, MissingFunctionError) as exc:
        raise BundleError(f"The Python features of the bundle at {where} cannot be computed here: {exc}") from exc


def _manifest(files: Mapping[str, bytes], where: str) -> dict[str, Any]:
    if MANIFEST not in files:
        raise BundleError(f"There is no model bundle at {where}: '{MANIFEST}' is absent. Run 'kedro run' first.")
    try:
        manifest: dict[str, Any] = json.loads(files[MANIFEST])
    except ValueError as exc:
        raise BundleError(f"'{MANIFEST}' of the bundle at {where} is not JSON. Train it again.") from exc
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise BundleError(f"The bundle at {where} has format {found}; this code reads {FORMAT}.")
    return manifest


def _array(values: np.ndarray[Any, Any]) -> bytes:
    written = io.BytesIO()
    np.save(written, values, allow_pickle=False)
    return written.getvalue()
