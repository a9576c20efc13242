"""Logs, metrics and traces of one process, put together."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from structlog.contextvars import bind_contextvars, reset_contextvars
from structlog.typing import FilteringBoundLogger

from credit_scoring.serving.logs import configure_logs, logger
from credit_scoring.serving.metrics import ServiceMetrics
from credit_scoring.serving.metrics_files import Slot, take_slot
from credit_scoring.serving.tracing import Tracing, is_wanted, trace_id_of


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where the service tells what it does; ``tracing`` is None where no traces are wanted.

    ``slot`` is this worker's among those of its server, None in a process without siblings.
    """

    log: FilteringBoundLogger
    metrics: ServiceMetrics
    tracing: Tracing | None = None
    slot: Slot | None = None

    def of_request(self, request_id: str | None, trace_id: str | None, traceparent: str | None) -> Mapping[str, Any]:
        """Have every line of the present task name its request, until ``request_over`` takes what is returned.

        Without a trace of ours, ``trace_id``, the caller's is named.
        """
        trace_id = trace_id or (trace_id_of(traceparent) if traceparent else None)
        known = {"request_id": request_id, "trace_id": trace_id}
        return bind_contextvars(**{name: value for name, value in known.items() if value})

    def request_over(self, told: Mapping[str, Any]) -> None:
        """Name the request no more."""
        reset_contextvars(**told)

    def mark(self) -> Any:
        """Return where the present request is in its trace, for ``turn``; None without traces."""
        return self.tracing.mark() if self.tracing else None

    def turn(self, marks: Sequence[Any]) -> AbstractContextManager[None]:
        """Trace what is done for several requests at once; ``marks`` are what ``mark`` gave each of them."""
        return self.tracing.turn(marks) if self.tracing else nullcontext()

    def close(self) -> None:
        """Send what is held back."""
        if self.tracing:
            self.tracing.close()


def open_telemetry(server_pid: int) -> Telemetry:
    """Return the telemetry of a worker of the server ``server_pid``, whose workers share their metrics."""
    configure_logs()
    tracing = Tracing() if is_wanted(os.environ) else None
    slot = take_slot(server_pid)
    return Telemetry(logger().bind(), ServiceMetrics(slot, tracing.stage if tracing else None), tracing, slot)


def private_telemetry() -> Telemetry:
    """Return telemetry that shares nothing with another process: for a service that runs within a test."""
    return Telemetry(logger(), ServiceMetrics())
