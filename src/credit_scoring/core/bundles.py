"""A model bundle as files and back: JSON, UBJSON and plain arrays, each with its checksum."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from credit_scoring.core.boosted_trees import BoostedTrees
from credit_scoring.core.errors import BundleError
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
    files = bundle.classifier.to_files() | {"reference.npy": _array(bundle.reference)}
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
        BundleError: If a file is absent or altered, the algorithm or format is unknown, or the bundle's
            feature set is not what this code computes.
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
    return ModelBundle(
        candidate=manifest["candidate"],
        portfolio=Portfolio.model_validate(manifest["portfolio"]),
        classifier=build(files),
        calibration=Calibration(**manifest["calibration"]),
        reference=np.load(io.BytesIO(files["reference.npy"]), allow_pickle=False),
        deciles={name: Deciles(tuple(d["edges"]), tuple(d["shares"])) for name, d in manifest["deciles"].items()},
    )


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
