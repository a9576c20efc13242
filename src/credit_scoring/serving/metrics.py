"""What is counted and timed, for Prometheus; every label has few values, and none is of an applicant."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Literal, get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from credit_scoring.core.roles import ROLES
from credit_scoring.ports import Stage
from credit_scoring.serving.metrics_files import Slot, drop_gauges_of_the_dead

OTHER = "other"
SOURCES = ("cache", "store", "request")
CACHE_FAILURES = ("unavailable", "rubbish", "open")
CHALLENGER_FAILURES = ("hung", "error")
AUTH_REFUSALS = ("unauthenticated", "forbidden")
BUNDLE_SOURCES = ("package", "registry")
SWAPS = ("done", "failed")

_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

StageSpans = Callable[[str], AbstractContextManager[None]]


class ServiceMetrics:
    """Counters, gauges and histograms of one process, told for all workers where ``slot`` says that they share.

    It is a ``DecisionObserver``. ``spans`` opens a span of a trace around each stage, where traces are wanted.
    """

    def __init__(self, slot: Slot | None = None, spans: StageSpans | None = None) -> None:
        self._slot = slot
        self._spans = spans
        self._registry = CollectorRegistry()
        self._add_http()
        self._add_decisions()
        self._add_operations()

    def _add_http(self) -> None:
        self._requests = self._counter("http_requests", "Requests", "route", "method", "status")
        self._request_s = self._histogram("http_request_seconds", "Time to answer", _REQUEST_S, "route", "status")
        self._answered: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self._rate_limited = self._counter("rate_limited", "Requests refused because of their rate", "route")
        self._auth_refused = self._counter("auth_refusals", "Callers refused", "reason", values=AUTH_REFUSALS)

    def _add_decisions(self) -> None:
        labels = ("arm", "decider", "recommendation", "fallback")
        self._decisions = self._counter("decisions", "New decisions", *labels)
        self._repeats = self._counter("decisions_repeated", "Applications that got their first answer again")
        self._decided: dict[tuple[str, str, str, bool], Counter] = {}  # finding a label costs more than counting
        features = self._counter("features", "Applications by source of features", "source", values=SOURCES)
        self._sources = {source: features.labels(source) for source in (*SOURCES, OTHER)}
        failures = self._counter
        self._cache = failures("feature_cache_failures", "Failed uses of the cache", "kind", values=CACHE_FAILURES)
        self._challenger = failures(
            "challenger_failures", "Turns without the challenger's score", "kind", values=CHALLENGER_FAILURES
        )
        self._stage_s = self._histogram("stage_seconds", "Time of a turn by stage", _STAGE_S, "stage")
        self._stages = {name: self._stage_s.labels(name) for name in get_args(Stage)}
        self._batch = self._histogram("decision_batch_size", "Applications decided in one turn", _BATCH)
        self._depth = self._gauge("decision_queue_depth", "Applications that wait for their turn", "livesum")

    def _add_operations(self) -> None:
        self._swaps = self._counter("role_swaps", "Changes of roles that a worker followed", "outcome", values=SWAPS)
        self._loads = self._counter("bundle_loads", "Bundles loaded", "source", values=BUNDLE_SOURCES)
        self._roles = self._gauge("role_version", "Version of the model that holds the role", "liveall", "role")

    def stage(self, name: Stage) -> AbstractContextManager[None]:
        """See DecisionObserver.stage."""
        return _Timed(self._stages[name].observe, self._spans(name) if self._spans else nullcontext())

    def waited(self, seconds: float) -> None:
        """Time how long the first of a turn waited for it: the stage 'queue'."""
        self._stages["queue"].observe(seconds)

    def turn(self, applications: int) -> None:
        """Count the applications that are decided in one turn."""
        self._batch.observe(applications)

    def queue_depth(self, waiting: int) -> None:
        """Tell how many applications wait now."""
        self._depth.set(waiting)

    def decided(self, count: int, *, arm: str, decider: str, recommendation: str, fallback: bool) -> None:
        """See DecisionObserver.decided."""
        counted = self._decided.get((arm, decider, recommendation, fallback))
        if counted is None:
            counted = self._decisions.labels(arm, decider, recommendation, "true" if fallback else "false")
            self._decided[arm, decider, recommendation, fallback] = counted
        counted.inc(count)

    def repeated(self) -> None:
        """See DecisionObserver.repeated."""
        self._repeats.inc()

    def features_from(self, source: str, count: int) -> None:
        """See DecisionObserver.features_from."""
        self._sources[_one_of(source, SOURCES)].inc(count)

    def cache_failed(self, kind: str) -> None:
        """See DecisionObserver.cache_failed."""
        self._cache.labels(_one_of(kind, CACHE_FAILURES)).inc()

    def challenger_failed(self, kind: str) -> None:
        """See DecisionObserver.challenger_failed."""
        # Anything but a challenger that hangs is the name of an error, of which a Python feature may raise any.
        self._challenger.labels(kind if kind in CHALLENGER_FAILURES else "error").inc()

    def answered(self, route: str, method: str, status: str, seconds: float) -> None:
        """Count a request; ``route`` is a template such as ``/v1/decisions/{id}``, ``status`` a class such as 2xx."""
        counted = self._answered.get((route, method, status))
        if counted is None:
            counted = self._requests.labels(route, method, status), self._request_s.labels(route, status)
            self._answered[route, method, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    def rate_limited(self, route: str) -> None:
        """Count a request that was refused because of its rate; ``route`` is its template."""
        self._rate_limited.labels(route).inc()

    def auth_refused(self, reason: str) -> None:
        """Count a caller who was refused; ``reason`` is one of ``AUTH_REFUSALS``."""
        self._auth_refused.labels(_one_of(reason, AUTH_REFUSALS)).inc()

    def roles_followed(self, versions: Mapping[str, int]) -> None:
        """Tell which version holds each role in this worker from now on, after a swap or at the start."""
        for role in ROLES:
            if role in versions:
                self._roles.labels(role).set(versions[role])

    def swapped(self, *, done: bool) -> None:
        """Count a change of roles that this worker followed, or could not."""
        self._swaps.labels("done" if done else "failed").inc()

    def bundle_loaded(self, source: str) -> None:
        """Count a bundle that was loaded from the package or the registry."""
        self._loads.labels(_one_of(source, BUNDLE_SOURCES)).inc()

    def render(self) -> tuple[bytes, str]:
        """Return the figures of all workers of this server as Prometheus reads them, and their content type."""
        if self._slot is None:
            return generate_latest(self._registry), CONTENT_TYPE_LATEST
        drop_gauges_of_the_dead(self._slot)
        of_all = CollectorRegistry()
        MultiProcessCollector(of_all, str(self._slot.directory))  # type: ignore[no-untyped-call]
        return generate_latest(of_all), CONTENT_TYPE_LATEST

    def _counter(self, name: str, text: str, *labels: str, values: Sequence[str] = ()) -> Counter:
        counter = Counter(f"credit_{name}", f"{text}.", labels, registry=self._registry)
        for value in values:
            counter.labels(value)  # told as zero from the start, so that a first failure is seen as an increase
        return counter

    def _gauge(self, name: str, text: str, mode: Literal["livesum", "liveall"], *labels: str) -> Gauge:
        return Gauge(f"credit_{name}", f"{text}.", labels, registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"credit_{name}", f"{text}.", labels, registry=self._registry, buckets=buckets)


class _Timed:
    """Tells how long the block took, also when it raised; a class, because it is entered in every decision."""

    __slots__ = ("_since", "_span", "_tell")

    def __init__(self, tell: Callable[[float], None], span: AbstractContextManager[None]) -> None:
        self._tell = tell
        self._span = span

    def __enter__(self) -> None:
        self._span.__enter__()
        self._since = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell(time.perf_counter() - self._since)
        self._span.__exit__(kind, error, trace)


def _one_of(value: str, known: Sequence[str]) -> str:
    return value if value in known else OTHER
