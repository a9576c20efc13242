import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from credit_scoring.serving.metrics import ServiceMetrics
from credit_scoring.serving.observed import Observed
from credit_scoring.serving.request_ids import RequestIds
from credit_scoring.serving.telemetry import Telemetry
from credit_scoring.serving.tracing import Tracing, is_wanted, trace_id_of

APPLICANT = "applicant-77"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def send(app: ASGIApp, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """The answer; an error that leaves the app is a 500."""

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, headers=headers)

    return anyio.run(once)


class Lines:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, "level": "info"} | fields)

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, "level": "error"} | fields)


class Observatory:
    """A small app behind the middleware, and what was told of its requests."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        self.log, self.metrics = Lines(), ServiceMetrics(spans=tracing.stage if tracing else None)
        self.telemetry = Telemetry(self.log, self.metrics, tracing)
        self.app = RequestIds(Observed(small_app(self.telemetry), lambda: self.telemetry))

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return send(self.app, "GET", path, headers)

    def line(self) -> dict[str, Any]:
        """The only line."""
        [line] = self.log.lines
        return line

    def counted(self, *labels: str) -> bool:
        """Whether exactly one request was counted, under these labels."""
        text = self.metrics.render()[0].decode()
        found = [line for line in text.splitlines() if line.startswith("credit_http_requests_total{")]
        return len(found) == 1 and found[0].endswith(" 1.0") and all(label in found[0] for label in labels)


def small_app(telemetry: Telemetry) -> FastAPI:
    app = FastAPI()

    @app.get("/v1/applicants/{applicant_id}/profile")
    async def profile(applicant_id: str, request: Request) -> dict[str, str]:
        request.scope["state"]["key_id"] = "key-1"
        with telemetry.metrics.stage("features"):
            return {}

    @app.get("/named")
    async def named(request: Request) -> dict[str, str]:
        request.scope["state"]["route"] = "/v1/decisions/{decision_id}"
        return {}

    @app.get("/refuses/{status}")
    async def refuses(status: int) -> Response:
        return Response(status_code=status)

    @app.get("/raises")
    async def raises() -> None:
        raise ValueError(APPLICANT)

    @app.get("/waits")
    async def waits() -> None:
        await anyio.sleep(30)

    @app.post("/reads")
    async def reads(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect:
            await anyio.sleep(0)
        return Response()

    @app.api_route("/{path:path}", methods=["GET", "BREW"])
    async def unknown(path: str) -> Response:
        return Response(status_code=404)

    return app


def test_a_request_is_one_line_with_template_status_duration_key_and_id():
    seen = Observatory()
    path = f"/v1/applicants/{APPLICANT}/profile"
    answer = seen.get(path, headers={"X-Request-ID": "r-1"})
    line = seen.line()
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "level": "info",
        "route": "/v1/applicants/{applicant_id}/profile",
        "method": "GET",
        "status": 200,
        "key_id": "key-1",
    }
    assert answer.headers["x-request-id"] == "r-1"
    assert seen.counted('route="/v1/applicants/{applicant_id}/profile"', 'method="GET"', 'status="2xx"')
    assert APPLICANT not in seen.metrics.render()[0].decode()


def test_a_route_that_the_endpoint_named_wins():
    seen = Observatory()
    seen.get("/named")
    assert seen.line()["route"] == "/v1/decisions/{decision_id}"


def test_made_up_paths_and_methods_share_one_label():
    seen = Observatory()
    for number in range(3):
        seen.get(f"/made/up/{number}")
    assert {line["route"] for line in seen.log.lines} == {"unmatched"}
    seen = Observatory()
    send(seen.app, "BREW", "/coffee")
    assert seen.counted('route="unmatched"', 'method="OTHER"', 'status="4xx"')


@pytest.mark.parametrize(
    ("status", "sample"),
    [
        (401, 'credit_auth_refusals_total{reason="unauthenticated"} 1.0'),
        (403, 'credit_auth_refusals_total{reason="forbidden"} 1.0'),
        (429, 'credit_rate_limited_total{route="/refuses/{status}"} 1.0'),
    ],
)
def test_refused_callers_are_counted_by_reason(status, sample):
    seen = Observatory()
    seen.get(f"/refuses/{status}")
    assert sample in seen.metrics.render()[0].decode().splitlines()


def test_probes_of_the_server_keep_their_names():
    seen = Observatory()
    seen.get("/livez")
    assert seen.line()["route"] == "/livez"


def test_a_request_that_raises_is_one_line_without_the_errors_text():
    seen = Observatory()
    assert seen.get("/raises").status_code == 500
    line = seen.line()
    assert (line["level"], line["status"], line["error"]) == ("error", 500, "ValueError")
    assert APPLICANT not in json.dumps(seen.log.lines)
    assert seen.counted('route="/raises"', 'status="5xx"')


def test_a_request_that_is_cancelled_is_one_line():
    seen = Observatory()

    async def cut_off() -> None:
        transport = httpx.ASGITransport(seen.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            with anyio.move_on_after(0.1):
                await client.get("/waits")

    anyio.run(cut_off)
    line = seen.line()
    assert (line["route"], line["status"], line["outcome"]) == ("/waits", 499, "cancelled")


def test_a_caller_who_goes_away_is_one_line():
    seen = Observatory()
    scope = {"type": "http", "method": "POST", "path": "/reads", "headers": [], "query_string": b"", "root_path": ""}

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def into_nothing(_: Any) -> None:
        await asyncio.sleep(0)

    anyio.run(partial(seen.app, scope, gone, into_nothing))
    assert seen.line()["outcome"] == "disconnected"


def test_nothing_is_told_before_there_is_where_to_tell():
    app: ASGIApp = RequestIds(Observed(small_app(Observatory().telemetry), lambda: None))
    assert send(app, "GET", "/named").status_code == 200


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (TRACEPARENT["traceparent"], TRACE),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        ("nonsense", None),
        (None, None),
    ],
    ids=["well-formed", "nobody's", "upper case", "nonsense", "absent"],
)
def test_a_trace_is_taken_from_a_well_formed_traceparent_alone(header, trace):
    assert trace_id_of(header) == trace


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
    ids=["unset", "endpoint", "traces' endpoint", "otlp", "none", "disabled"],
)
def test_traces_are_sent_when_the_standard_variables_ask_for_them(environment, wanted):
    assert is_wanted(environment) is wanted


class Receiver(HTTPServer):
    """A collector that takes OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _TakesSpans)
        self.spans: list[Any] = []


class _TakesSpans(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for of_resource in sent.resource_spans:
            for of_scope in of_resource.scope_spans:
                self.server.spans.extend(of_scope.spans)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


def test_a_request_and_its_stages_are_sent_as_spans_below_the_callers(receiver):
    tracing = Tracing()
    seen = Observatory(tracing)
    seen.get(f"/v1/applicants/{APPLICANT}/profile", headers=TRACEPARENT)
    tracing.close()
    spans = {span.name: span for span in receiver.spans}
    request = spans["GET /v1/applicants/{applicant_id}/profile"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert spans["features"].parent_span_id == request.span_id
    assert APPLICANT not in str(receiver.spans)


def test_an_errors_text_is_in_no_span(receiver):
    tracing = Tracing()
    seen = Observatory(tracing)
    seen.get("/raises")
    with pytest.raises(ValueError, match=APPLICANT), seen.metrics.stage("champion"):
        raise ValueError(APPLICANT)
    tracing.close()
    assert {span.name for span in receiver.spans} == {"GET /raises", "champion"}
    assert APPLICANT not in str(receiver.spans)


def test_a_turn_for_several_requests_is_below_the_first_and_linked_to_the_others(receiver):
    tracing = Tracing()
    marks = []
    for _ in range(2):
        with tracing.request({}):
            marks.append(tracing.mark())
    with tracing.turn(marks), tracing.stage("record"):
        pass
    tracing.close()
    spans = {span.name: span for span in receiver.spans}
    first, second = [span for span in receiver.spans if span.name == "request"]
    assert spans["decide"].parent_span_id == first.span_id
    assert [link.span_id for link in spans["decide"].links] == [second.span_id]
    assert spans["record"].parent_span_id == spans["decide"].span_id


WORKER = """
import os, sys, time
from pathlib import Path
from credit_scoring.serving.metrics_files import take_slot
slot = take_slot(int(sys.argv[1]), Path(sys.argv[2]))
from credit_scoring.serving.metrics import ServiceMetrics
metrics = ServiceMetrics(slot)
for command in sys.stdin:
    word, _, number = command.strip().partition(" ")
    if word == "repeat":
        [metrics.repeated() for _ in range(int(number))]
    elif word == "depth":
        metrics.queue_depth(int(number))
    lines = metrics.render()[0].decode().splitlines()
    wanted = ("credit_decisions_repeated_total", "credit_decision_queue_depth")
    print(slot.number, *(float(line.split()[-1]) for name in wanted for line in lines if line.startswith(name + " ")))
    sys.stdout.flush()
"""


class CountingWorker:
    """A process that counts with others of one server."""

    def __init__(self, home: Path, server: int) -> None:
        command = [sys.executable, "-c", WORKER, str(server), str(home)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command: str) -> list[float]:
        """Its slot, the sum of repeats and the depth of all queues, after the command."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[CountingWorker] = []

    def one(server: int = os.getpid()) -> CountingWorker:
        started.append(CountingWorker(tmp_path / "metrics", server))
        return started[-1]

    yield one
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()


def test_each_worker_tells_the_sum_of_all(start):
    first, second = start(), start()
    first.ask("repeat 2")
    second.ask("repeat 3")
    assert first.ask("tell")[1] == second.ask("tell")[1] == 5


def test_what_a_killed_worker_counted_stays_and_what_it_held_does_not(start):
    first, second = start(), start()
    first.ask("repeat 2")
    first.ask("depth 9")
    slot = second.ask("depth 1")[0]
    assert second.ask("tell") == [slot, 2, 10]
    first.kill()
    assert second.ask("tell") == [slot, 2, 1]


def test_who_follows_a_dead_worker_counts_on_from_there_in_the_same_files(start, tmp_path):
    first = start()
    first.ask("repeat 2")
    files = set((tmp_path / "metrics").rglob("counter_*"))
    first.kill()
    assert start().ask("repeat 1") == [0, 3, 0]
    assert set((tmp_path / "metrics").rglob("counter_*")) == files


def test_servers_do_not_mix_their_figures(start):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        mine, theirs = start(), start(other.pid)
        mine.ask("repeat 1")
        assert theirs.ask("repeat 5")[1] == 5
        assert mine.ask("tell")[1] == 1
    finally:
        other.communicate(b"\n")


def test_what_a_server_left_behind_is_removed_by_the_next_one(start, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    old = start(ended.pid)
    old.ask("repeat 1")
    ended.wait()
    start().ask("repeat 1")
    assert len(list((tmp_path / "metrics").iterdir())) == 2  # its last worker still lives
    old.kill()
    start().ask("repeat 1")
    assert len(list((tmp_path / "metrics").iterdir())) == 1
