"""A decision observer that nobody listens to: for tests, pipelines and commands."""

from contextlib import AbstractContextManager, nullcontext

from credit_scoring.ports import Stage


class Unobserved:
    """DecisionObserver that counts and times nothing."""

    def stage(self, name: Stage) -> AbstractContextManager[None]:  # noqa: ARG002 - part of the protocol
        """See DecisionObserver.stage."""
        return nullcontext()

    def decided(self, count: int, *, arm: str, decider: str, recommendation: str, fallback: bool) -> None:
        """See DecisionObserver.decided."""

    def repeated(self) -> None:
        """See DecisionObserver.repeated."""

    def features_from(self, source: str, count: int) -> None:
        """See DecisionObserver.features_from."""

    def cache_failed(self, kind: str) -> None:
        """See DecisionObserver.cache_failed."""

    def challenger_failed(self, kind: str) -> None:
        """See DecisionObserver.challenger_failed."""
