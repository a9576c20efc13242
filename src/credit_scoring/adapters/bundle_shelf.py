"""Every bundle that this process uses, once each: those of the Bento, and those that the registry has to bring."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.core.bundles import from_files
from credit_scoring.core.errors import BundleError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scoring import ModelBundle

GOLDEN_TOLERANCE = 1e-6
"""Points by which the made-up application may differ from what it scored when the bundle was registered or staged."""


@dataclass(frozen=True, slots=True)
class FetchedBundle:
    """A registered bundle's files, checked against its digest.

    ``golden`` are the points that it gave the made-up application where it was registered, None when nobody noted them.
    """

    files: Mapping[str, bytes]
    golden: float | None


class BundleShelf:
    """Gives bundles by their reference: each is read and checked once, whoever asks for it, and kept."""

    def __init__(self, package: BentoPackage, fetch: Callable[[BundleRef], FetchedBundle]) -> None:
        self._package = package
        self._fetch = fetch
        self._kept: dict[str, ModelBundle] = {}
        self._lock = threading.Lock()

    def get(self, ref: BundleRef) -> ModelBundle:
        """Return the bundle of ``ref``; the first time it is asked for, from the Bento or else from the registry.

        Raises:
            BundleError: If it cannot be read here, or scores the golden application otherwise than where it was made.
            RegistryError: If the Bento lacks it and the registry does not give it.
        """
        with self._lock:  # held while fetching: who asks for the same bundle waits for it, and does not fetch it too
            if ref.digest not in self._kept:
                self._kept[ref.digest] = self._checked(ref)
            return self._kept[ref.digest]

    def _checked(self, ref: BundleRef) -> ModelBundle:
        bundle, expected = self._package.bundles.get(ref.digest), self._package.golden.get(ref.digest)
        if bundle is None:
            fetched = self._fetch(ref)
            bundle, expected = from_files(fetched.files, f"version {ref.version} of '{ref.model}'"), fetched.golden
        points = golden_points(bundle)
        if expected is None or not abs(points - expected) <= GOLDEN_TOLERANCE:
            told = "unknown" if expected is None else f"{expected:.6f}"
            raise BundleError(
                f"Version {ref.version} of '{ref.model}' scores the golden application {points:.6f} points here; where "
                f"it was registered it scored {told}. Install the locked dependencies, or register it again."
            )
        return bundle


def fetched_from_registry(ref: BundleRef) -> FetchedBundle:
    """Return a bundle from the registry that ``MLFLOW_TRACKING_URI`` names; only then is MLflow imported.

    Raises:
        RegistryError: If it is not there, or is not what its digest says.
    """
    from credit_scoring.adapters.model_registry import MlflowRegistry  # noqa: PLC0415 - seconds that few need

    registry = MlflowRegistry(ref.model)
    golden = registry.tags(ref).get("golden_points")
    return FetchedBundle(registry.files(ref), None if golden is None else float(golden))
