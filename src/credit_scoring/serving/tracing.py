"""Traces by OpenTelemetry, where its standard environment variables ask for them; otherwise nothing of it is imported.

``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT``), or ``OTEL_TRACES_EXPORTER=otlp``, switches
traces on, ``OTEL_TRACES_EXPORTER=none`` and ``OTEL_SDK_DISABLED=true`` off. They are sent as OTLP over HTTP; sampling,
headers and batching follow their own standard variables. Spans carry routes, statuses and ids, never values.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

SERVICE_NAME = "credit-scoring"
SERVER_ERROR = 500

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?", re.ASCII)
_NOBODY = "0" * 32


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the environment asks for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return exporter == "otlp" or (not exporter and any(environment.get(name) for name in endpoints))


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace that a W3C ``traceparent`` names, or None where there is none or it is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found and found[1] != _NOBODY else None


class Tracing:
    """Spans of requests and of the stages of decisions, sent in the background."""

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        # Imported here, so that a service without traces never pays for them.
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            exporter = OTLPSpanExporter()
        named = Resource.create({"service.name": SERVICE_NAME}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("credit_scoring")

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator["RequestSpan"]:
        """Open the span of one request below the caller's, and close it with what was told of it."""
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        given = TraceContextTextMapPropagator().extract(dict(headers))
        with self._tracer.start_as_current_span(
            "request", given, trace.SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as span:
            yield RequestSpan(span)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Open the span of one stage; an error's text stays out of it."""
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False):
            yield

    def mark(self) -> "Context":
        """Return where the present request is in its trace, to go on from in another thread."""
        from opentelemetry import context  # noqa: PLC0415

        return context.get_current()

    @contextmanager
    def turn(self, marks: "Sequence[Context]") -> Iterator[None]:
        """Open the span of what is done for several requests at once: below the first, linked to the others."""
        from opentelemetry import trace  # noqa: PLC0415

        links = [trace.Link(trace.get_current_span(mark).get_span_context()) for mark in marks[1:]]
        with self._tracer.start_as_current_span(
            "decide",
            marks[0] if marks else None,
            links=links,
            attributes={"credit.applications": len(marks)},
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield

    def close(self) -> None:
        """Send what is held back; called when the service ends."""
        self._provider.shutdown()


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: "Span") -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """The trace's id, as ``traceparent`` writes it."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def tell(self, *, route: str, method: str, status: int, request_id: str | None) -> None:
        """Name the span, and say what came of the request."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        )
        if request_id:
            self._span.set_attribute("credit.request_id", request_id)
        if status >= SERVER_ERROR:
            self._span.set_status(StatusCode.ERROR)
