"""Every bundle that this process uses, once each: those of the Bento, and those that the registry has to bring."""

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from weakref import WeakValueDictionary

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.adapters.registry_fetch import FetchedBundle
from credit_scoring.core.bundles import from_files
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import BundleError, CreditScoringError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.model_cards import GOLDEN_POINTS, LoadedModel
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scoring import SCORER_VERSIONS, ModelBundle
from credit_scoring.ports import Clock

GOLDEN_TOLERANCE = 1e-6
"""Points by which the made-up application may differ from what it scored when the bundle was registered or staged."""

KEPT = 8
"""How many bundles stay loaded although nothing uses them; one in a role is used, and stays in any case."""

FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 300.0
"""After a failure the registry is asked for that bundle again after 5 seconds, then 10, 20, ... up to five minutes."""

Origin = Literal["package", "registry"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a bundle was not given, until when that is told again without another try, and how long that is."""

    error: CreditScoringError
    until: float
    wait_s: float


class BundleShelf:
    """Gives bundles by their reference: each is read and checked once, whoever asks for it.

    Who asks for a bundle that another thread is loading waits for that thread; who asks for another bundle does not.
    What nothing uses any longer is dropped, the one asked for longest ago first.
    """

    def __init__(
        self,
        package: BentoPackage,
        fetch: Callable[[BundleRef], FetchedBundle],
        told: Callable[[Origin], None] = lambda _origin: None,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        kept: int = KEPT,
    ) -> None:
        self._package, self._fetch, self._told = package, fetch, told
        self._clock, self._monotonic, self._most = clock, monotonic, kept
        self._lock = threading.Lock()  # of the tables below; never held while something is read or fetched
        self._used: WeakValueDictionary[str, ModelBundle] = WeakValueDictionary()
        self._kept: OrderedDict[str, ModelBundle] = OrderedDict()
        self._loading: dict[str, Future[ModelBundle]] = {}
        self._failures: dict[str, _Failure] = {}
        self._facts: dict[str, tuple[datetime, Mapping[str, str]]] = {}
        self._refs: dict[BundleRef, None] = {}

    def get(self, ref: BundleRef) -> ModelBundle:
        """Return the bundle of ``ref``; the first time it is asked for, from the Bento or else from the registry.

        Raises:
            BundleError: If it cannot be read here, or scores the golden application otherwise than where it was made.
            RegistryError: If the Bento lacks it and the registry does not give it. It is not asked again at once.
        """
        with self._lock:
            bundle = self._used.get(ref.digest)
            if bundle is not None:
                self._keep(ref, bundle)
                return bundle
            self._raise_failure(ref)
            loading = self._loading.get(ref.digest)
            own: Future[ModelBundle] | None = None
            if loading is None:
                own = loading = self._loading[ref.digest] = Future()
        if own is not None:
            self._load(ref, own)
        return loading.result()

    def loaded(self) -> list[LoadedModel]:
        """Return what is loaded now, each version that was asked for once, in order of versions."""
        with self._lock:
            found = [(ref, self._used.get(ref.digest)) for ref in self._refs]
            self._refs = {ref: None for ref, bundle in found if bundle is not None}
            self._facts = {ref.digest: self._facts[ref.digest] for ref in self._refs}
            models = [LoadedModel(ref, bundle, *self._facts[ref.digest]) for ref, bundle in found if bundle is not None]
        return sorted(models, key=lambda model: (model.ref.model, model.ref.version))

    def _load(self, ref: BundleRef, loading: "Future[ModelBundle]") -> None:
        """Have ``loading`` answer everybody who waits for it; whatever happens, nobody waits for ever."""
        try:
            bundle, tags = self._checked(ref)
        except BaseException as exc:
            with self._lock:
                del self._loading[ref.digest]
                if isinstance(exc, CreditScoringError):
                    self._note_failure(ref, exc)
            loading.set_exception(exc)
            if not isinstance(exc, CreditScoringError):
                raise
            return
        with self._lock:
            del self._loading[ref.digest]
            self._failures.pop(ref.digest, None)
            self._used[ref.digest] = bundle
            self._facts[ref.digest] = (self._clock(), tags)
            self._keep(ref, bundle)
        loading.set_result(bundle)

    def _keep(self, ref: BundleRef, bundle: ModelBundle) -> None:
        self._refs[ref] = None
        self._kept[ref.digest] = bundle
        self._kept.move_to_end(ref.digest)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def _raise_failure(self, ref: BundleRef) -> None:
        failure = self._failures.get(ref.digest)
        if failure is not None and self._monotonic() < failure.until:
            raise failure.error

    def _note_failure(self, ref: BundleRef, error: CreditScoringError) -> None:
        earlier = self._failures.get(ref.digest)
        wait_s = min(LONGEST_WAIT_S, 2 * earlier.wait_s) if earlier else FIRST_WAIT_S
        self._failures[ref.digest] = _Failure(error, self._monotonic() + wait_s, wait_s)

    def _checked(self, ref: BundleRef) -> tuple[ModelBundle, Mapping[str, str]]:
        origin: Origin = "package" if ref.digest in self._package.bundles else "registry"
        if origin == "package":
            bundle, tags = self._package.bundles[ref.digest], self._package.tags.get(ref.digest, {})
            expected: float | None = self._package.golden[ref.digest]
        else:
            fetched = self._fetch(ref)
            bundle, tags = from_files(fetched.files, f"version {ref.version} of '{ref.model}'"), fetched.tags
            expected = _noted_points(ref, tags)
        _require_golden(ref, bundle, expected)
        self._told(origin)
        return bundle, tags


def _noted_points(ref: BundleRef, tags: Mapping[str, str]) -> float | None:
    """Return the points that were noted at registration; None for a version from before they were."""
    noted = tags.get(GOLDEN_POINTS)
    try:
        return None if noted is None else float(noted)
    except ValueError as exc:
        raise BundleError(
            f"The tag '{GOLDEN_POINTS}' of version {ref.version} of '{ref.model}' is no number. Register it again."
        ) from exc


def _require_golden(ref: BundleRef, bundle: ModelBundle, expected: float | None) -> None:
    """Refuse a bundle that scores otherwise here than where it was made, under the scorer of then or of now.

    A version from before its points were noted is taken when its score is finite: its checksums prove the bytes, and
    its feature set the code. Were it refused, no older champion could come back and no older decision be replayed.
    """
    where, points = f"Version {ref.version} of '{ref.model}'", golden_points(bundle)
    if not math.isfinite(points):
        raise BundleError(f"{where} gives the golden application no finite score. Take it out of its role.")
    if expected is None:
        logger.warning("golden_points_unknown model=%s version=%d digest=%s", ref.model, ref.version, ref.digest[:12])
    elif not (_near(points, expected) or any(_near(golden_points(one), expected) for one in _earlier(bundle))):
        raise BundleError(
            f"{where} scores the golden application {points:.6f} points here; where it was registered it scored "
            f"{expected:.6f}. Install the locked dependencies, or register it again."
        )


def _earlier(bundle: ModelBundle) -> Iterator[ModelBundle]:
    return (bundle.under(version) for version in SCORER_VERSIONS if version != bundle.scorer_version)


def _near(points: float, expected: float) -> bool:
    return abs(points - expected) <= GOLDEN_TOLERANCE
