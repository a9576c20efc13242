import gc
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from service_package import NOW, bundle_ref, roles_of, stage

from credit_scoring.adapters.bento_package import BentoPackage
from credit_scoring.adapters.bundle_shelf import FIRST_WAIT_S, LONGEST_WAIT_S, BundleShelf
from credit_scoring.adapters.registry_fetch import FetchedBundle
from credit_scoring.core.bundles import to_files
from credit_scoring.core.errors import BundleError, RegistryError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.roles import BundleRef
from credit_scoring.core.scoring import Calibration, ModelBundle


def variant(bundle: ModelBundle, number: int) -> ModelBundle:
    """Another bundle, of another digest."""
    return replace(bundle, calibration=Calibration(bundle.calibration.intercept + number / 1000, 1.0))


class Registry:
    """Gives what was put into it, counts who asks, and may be away or slow."""

    def __init__(self) -> None:
        self._held: dict[str, FetchedBundle] = {}
        self.asked: list[int] = []
        self.away: Exception | None = None
        self.slow: Mapping[int, threading.Event] = {}
        self.reached: Mapping[int, threading.Event] = {}

    def put(self, bundle: ModelBundle, version: int, **tags: str | None) -> BundleRef:
        ref = bundle_ref(bundle, version)
        known = {"golden_points": repr(golden_points(bundle)), "auc_roc": "0.75"} | tags
        kept = {name: value for name, value in known.items() if value is not None}
        self._held[ref.digest] = FetchedBundle(to_files(bundle), kept)
        return ref

    def __call__(self, ref: BundleRef) -> FetchedBundle:
        self.asked.append(ref.version)
        if ref.version in self.slow:
            self.reached[ref.version].set()
            assert self.slow[ref.version].wait(60)
        if self.away:
            raise self.away
        return self._held[ref.digest]


class Monotonic:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def package(
    scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle, tmp_path_factory: pytest.TempPathFactory
) -> BentoPackage:
    target: Path = tmp_path_factory.mktemp("stage") / "bento"
    return stage(target, scorecard_bundle, boosted_trees_bundle)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


@pytest.fixture
def origins() -> list[str]:
    return []


@pytest.fixture
def shelf(package, registry, origins, monotonic) -> BundleShelf:
    return BundleShelf(package, registry, origins.append, clock=lambda: NOW, monotonic=monotonic, kept=2)


def test_bundles_of_the_package_need_no_registry(shelf, package, registry, origins):
    for ref in (package.roles.champion, package.roles.challenger, package.roles.champion):
        assert shelf.get(ref) is package.bundles[ref.digest]
    assert registry.asked == []
    assert origins == ["package", "package"]


def test_a_bundle_is_loaded_once_however_many_ask_for_it_at_once(shelf, registry, scorecard_bundle, origins):
    ref = registry.put(variant(scorecard_bundle, 1), 3)
    registry.slow, registry.reached = {3: threading.Event()}, {3: threading.Event()}
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(shelf.get, ref) for _ in range(16)]
        assert registry.reached[3].wait(60)
        time.sleep(0.05)  # for the others to come and wait
        registry.slow[3].set()
        found = [one.result() for one in asked]
    assert all(bundle is found[0] for bundle in found)
    assert registry.asked == [3]
    assert origins == ["registry"]
    assert golden_points(found[0]) == golden_points(variant(scorecard_bundle, 1))


def test_two_versions_of_one_bundle_are_one_instance(shelf, registry, scorecard_bundle):
    one, other = (registry.put(variant(scorecard_bundle, 1), version) for version in (3, 4))
    assert shelf.get(one) is shelf.get(other)
    assert registry.asked == [3]
    assert [(model.ref.version, model.loaded_at) for model in shelf.loaded()] == [(3, NOW), (4, NOW)]


def test_a_slow_registry_holds_up_nobody_who_asks_for_another_bundle(shelf, registry, scorecard_bundle, package):
    slow, quick = (registry.put(variant(scorecard_bundle, number), number) for number in (3, 4))
    registry.slow, registry.reached = {3: threading.Event()}, {3: threading.Event()}
    with ThreadPoolExecutor(1) as pool:
        replayed = pool.submit(shelf.get, slow)
        assert registry.reached[3].wait(60)
        assert shelf.get(package.roles.champion) is not None
        assert shelf.get(quick) is not None
        assert [model.ref.version for model in shelf.loaded()] == [1, 4]
        assert not replayed.done()
        registry.slow[3].set()
        assert replayed.result() is shelf.get(slow)


def test_after_a_failure_the_registry_is_asked_less_and_less_often(shelf, registry, scorecard_bundle, monotonic):
    ref = registry.put(variant(scorecard_bundle, 1), 3)
    registry.away = RegistryError("The registry is away.")
    tries = []
    for second in range(1200):
        monotonic.now = float(second)
        before = len(registry.asked)
        with pytest.raises(RegistryError, match="away"):
            shelf.get(ref)
        if len(registry.asked) > before:
            tries.append(second)
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert waits == [FIRST_WAIT_S, 10, 20, 40, 80, 160, LONGEST_WAIT_S, LONGEST_WAIT_S]
    registry.away = None
    monotonic.now = 2000.0
    assert shelf.get(ref) is shelf.get(ref)


def test_waiting_after_a_failure_concerns_that_bundle_alone(shelf, registry, scorecard_bundle, monotonic):
    bad, good = (registry.put(variant(scorecard_bundle, number), number) for number in (3, 4))
    registry.away = RegistryError("away")
    with pytest.raises(RegistryError):
        shelf.get(bad)
    registry.away = None
    assert shelf.get(good)
    with pytest.raises(RegistryError):
        shelf.get(bad)
    monotonic.now = FIRST_WAIT_S
    assert shelf.get(bad)


def test_after_a_success_waiting_starts_anew(shelf, registry, scorecard_bundle, monotonic):
    ref, *others = (registry.put(variant(scorecard_bundle, number), number) for number in (3, 4, 5))
    away = RegistryError("away")
    for now, failure in ((0.0, away), (FIRST_WAIT_S, None)):
        monotonic.now, registry.away = now, failure
        with nullcontext() if failure is None else pytest.raises(RegistryError):
            shelf.get(ref)
    for other in others:  # so that it is dropped
        shelf.get(other)
    gc.collect()
    asked = len(registry.asked)
    registry.away = away
    for now in (FIRST_WAIT_S, 2 * FIRST_WAIT_S):
        monotonic.now = now
        with pytest.raises(RegistryError):
            shelf.get(ref)
    assert len(registry.asked) == asked + 2


def test_what_nothing_uses_is_dropped_the_one_asked_for_longest_ago_first(shelf, registry, scorecard_bundle):
    refs = [registry.put(variant(scorecard_bundle, number), number) for number in (3, 4, 5, 6)]
    in_role = shelf.get(refs[0])
    for ref in refs[1:]:
        shelf.get(ref)
    gc.collect()
    assert [model.ref.version for model in shelf.loaded()] == [3, 5, 6], "one in use, and the two that are kept"
    assert shelf.get(refs[0]) is in_role
    assert registry.asked == [3, 4, 5, 6]
    shelf.get(refs[1])
    assert registry.asked == [3, 4, 5, 6, 4]
    assert len({version.ref.version for version in shelf.loaded()}) <= 4


def test_a_bundle_that_scores_otherwise_here_is_refused(shelf, registry, scorecard_bundle, package, monotonic):
    points = golden_points(variant(scorecard_bundle, 1))
    ref = registry.put(variant(scorecard_bundle, 1), 3, golden_points=repr(points + 2e-6))
    with pytest.raises(BundleError, match=r"Version 3 .* scores the golden application .* Install the locked"):
        shelf.get(ref)
    off = replace(package, golden={key: points + 1e-5 for key, points in package.golden.items()})
    with pytest.raises(BundleError, match="golden application"):
        BundleShelf(off, registry).get(package.roles.champion)


def test_a_version_that_was_registered_under_an_earlier_scorer_is_taken(shelf, registry, boosted_trees_bundle):
    bundle = variant(boosted_trees_bundle, 1)
    points = golden_points(bundle.under("1"))
    assert 1e-6 < abs(points - golden_points(bundle)) < 1e-3
    assert shelf.get(registry.put(bundle, 3, golden_points=repr(points)))
    with pytest.raises(BundleError, match="golden application"):
        shelf.get(registry.put(variant(boosted_trees_bundle, 2), 4, golden_points=repr(points)))


def test_a_version_from_before_its_points_were_noted_is_taken_with_a_warning(shelf, registry, scorecard_bundle, caplog):
    ref = registry.put(variant(scorecard_bundle, 1), 3, golden_points=None)
    assert shelf.get(ref)
    assert f"golden_points_unknown model={ref.model} version=3" in caplog.text


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("noted", [None, "nan"])
def test_a_bundle_without_a_finite_score_is_refused_even_if_that_was_noted(
    shelf, registry, scorecard_bundle, noted, monkeypatch
):
    ref = registry.put(variant(scorecard_bundle, 1), 3, golden_points=noted)
    broken = replace(scorecard_bundle, calibration=Calibration(float("nan"), 1.0))
    monkeypatch.setattr("credit_scoring.adapters.bundle_shelf.from_files", lambda *_: broken)
    with pytest.raises(BundleError, match="no finite score"):
        shelf.get(ref)


def test_points_that_are_no_number_are_refused(shelf, registry, scorecard_bundle):
    ref = registry.put(variant(scorecard_bundle, 1), 3, golden_points="many")
    with pytest.raises(BundleError, match="'golden_points' of version 3"):
        shelf.get(ref)


def test_damaged_files_are_refused(shelf, registry, scorecard_bundle):
    ref = registry.put(variant(scorecard_bundle, 1), 3)
    held = registry._held[ref.digest]
    registry._held[ref.digest] = FetchedBundle({**held.files, "reference.npy": b"x"}, held.tags)
    with pytest.raises(BundleError, match=r"'reference\.npy' .* is not what was written"):
        shelf.get(ref)


def test_an_unforeseen_error_reaches_everybody_who_waits_and_is_not_remembered(shelf, registry, scorecard_bundle):
    ref = registry.put(variant(scorecard_bundle, 1), 3)
    registry.away = ZeroDivisionError()
    registry.slow, registry.reached = {3: threading.Event()}, {3: threading.Event()}
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(shelf.get, ref) for _ in range(4)]
        assert registry.reached[3].wait(60)
        time.sleep(0.05)
        registry.slow[3].set()
        assert all(isinstance(one.exception(60), ZeroDivisionError) for one in asked)
    registry.away = None
    assert shelf.get(ref)


def test_what_is_loaded_is_told_with_its_tags(shelf, registry, scorecard_bundle, package):
    shelf.get(registry.put(variant(scorecard_bundle, 1), 3))
    shelf.get(package.roles.challenger)
    challenger, fetched = shelf.loaded()
    assert (challenger.ref, challenger.tags) == (package.roles.challenger, {})
    assert (fetched.ref.version, fetched.tags["auc_roc"]) == (3, "0.75")


def test_roles_of_the_package_are_those_of_the_tests(package, scorecard_bundle, boosted_trees_bundle):
    assert package.roles == roles_of(scorecard_bundle, boosted_trees_bundle)
