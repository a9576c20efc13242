import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from server_process import free_port
from starlette.types import Receive, Scope, Send

from credit_scoring.serving.http_protocol import LARGEST_HEAD_BYTES, MOST_HEADERS, BoundedHttpProtocol, Direct

FOR_TOO_LONG_S = 0.5
CLOSED = b""
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Impatient(BoundedHttpProtocol):
    slowest_head_s = FOR_TOO_LONG_S


async def told_lengths(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body; `/slow` later than a head may take, `/unread` without reading it."""
    received, more = 0, scope["path"] != "/unread"
    while more:
        message = await receive()
        received, more = received + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(2.5 * FOR_TOO_LONG_S)
    content = b"%d" % received
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})


@contextmanager
def serving(protocol: type[BoundedHttpProtocol]) -> Iterator[int]:
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(told_lengths, port=port, http=protocol, lifespan="off", log_config=None, timeout_keep_alive=30)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield port
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def patient() -> Iterator[int]:
    with serving(BoundedHttpProtocol) as port:
        yield port


@pytest.fixture(scope="module")
def impatient() -> Iterator[int]:
    with serving(Impatient) as port:
        yield port


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        yield connection


def answers(connection: socket.socket, count: int = 1) -> list[tuple[int, bytes]]:
    """Status and content of that many answers, and of none after the connection was closed."""
    found = []
    with connection.makefile("rb") as stream:
        while len(found) < count and (status := stream.readline()):
            headers = dict(line.lower().split(b": ") for line in iter(lambda: stream.readline().strip(), b""))
            found.append((int(status.split()[1]), stream.read(int(headers[b"content-length"]))))
    return found


def refused(connection: socket.socket) -> bool:
    [(status, content)] = answers(connection)
    problem = json.loads(content)
    return (status, problem["status"], problem["code"]) == (431, 431, "headers_too_large") and problem["request_id"]


def is_cut_off(connection: socket.socket, piece: bytes, within_s: float, every_s: float = 0) -> bool:
    """Whether the connection is closed before long, when pieces are sent without end."""
    until = time.monotonic() + within_s
    try:
        while time.monotonic() < until:
            connection.sendall(piece)
            time.sleep(every_s)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-A: " + b"a" * 2 * LARGEST_HEAD_BYTES,
        HEAD + b"X-A: " + b"a" * LARGEST_HEAD_BYTES + b"\r\n\r\n",
        HEAD + b"X-A: " + b"a" * 3 * LARGEST_HEAD_BYTES + b"\r\n\r\n",
        HEAD + b"a: b\r\n" * MOST_HEADERS + b"\r\n",
        b"GET /" + b"a" * LARGEST_HEAD_BYTES + b" HTTP/1.1\r\n\r\n",
        b"\r\n" * LARGEST_HEAD_BYTES,
        b"GET /unread HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: " + b"a" * 2 * LARGEST_HEAD_BYTES,
    ],
    ids=["endless", "one_long", "several_chunks", "many_lines", "long_address", "empty_lines", "trailers"],
)
def test_a_head_beyond_the_limit_is_refused(patient, head):
    with connected(patient) as connection:
        if b"/unread" in head:
            first, head = head[: head.index(b"0\r\n")], head[head.index(b"0\r\n") :]
            connection.sendall(first)
            assert answers(connection) == [(200, b"0")]
        for start in range(0, len(head), 4096):
            connection.sendall(head[start : start + 4096])
            time.sleep(0.001)
        connection.sendall(b"more")
        assert refused(connection)


@pytest.mark.parametrize("piece", [b"a" * 2**20, b"a: b\r\n" * 2**15], ids=["one_header", "lines"])
def test_who_sends_a_head_without_end_is_cut_off(patient, piece):
    with connected(patient) as connection:
        connection.sendall(HEAD + b"X-A: ")
        assert is_cut_off(connection, piece, within_s=4)


def test_what_is_within_the_limit_passes_and_a_body_is_no_head(patient):
    body = b"b" * 4 * LARGEST_HEAD_BYTES
    head = HEAD + b"a: b\r\n" * (MOST_HEADERS - 3) + b"X-A: " + b"a" * (LARGEST_HEAD_BYTES - 2000) + b"\r\n"
    with connected(patient) as connection:
        for _ in range(2):
            connection.sendall(head.replace(b"a: b\r\n", b"", 1) + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert answers(connection) == [(200, b"%d" % len(body))]
        connection.sendall(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert answers(connection) == [(200, b"%d" % len(body))]


def test_a_head_may_begin_in_the_chunk_that_ends_a_body(patient):
    body = b"b" * 50_000
    requests = (HEAD + b"Content-Length: 50000\r\n\r\n" + body) * 8
    with connected(patient) as connection:
        threading.Thread(target=connection.sendall, args=(requests,)).start()
        assert answers(connection, 8) == [(200, b"50000")] * 8


def test_trailers_without_end_are_cut_off_while_their_request_waits(patient):
    with connected(patient) as connection:
        connection.sendall(CHUNKED + b"0\r\nX-A: ")
        assert is_cut_off(connection, b"a" * 2**20, within_s=4)


@pytest.mark.parametrize(
    ("kept_alive", "begun"),
    [
        (False, b""),
        (False, b"\r\n"),
        (False, b"GET / HT"),
        (False, b"GET / HTTP/1.1\r\nX-A: a"),
        (True, b"\r\n"),
        (True, b"GET / HT"),
        (True, b"GET / HTTP/1.1\r\nX-A: a"),
        (True, b"GET /unread HTTP/1.1\r\nContent-Length: 9\r\n\r\nbody"),
    ],
)
def test_a_head_that_does_not_end_is_closed(impatient, kept_alive, begun):
    with connected(impatient) as connection:
        if kept_alive:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert answers(connection) == [(200, b"0")]
        connection.sendall(begun)
        if b"/unread" in begun:
            assert answers(connection) == [(200, b"0")]
            connection.sendall(b"body")
        since = time.monotonic()
        assert connection.recv(1) == CLOSED
        assert 0.5 * FOR_TOO_LONG_S < time.monotonic() - since < 4 * FOR_TOO_LONG_S


def test_a_head_that_comes_byte_by_byte_is_closed(impatient):
    with connected(impatient) as connection:
        connection.sendall(HEAD + b"X-A: ")
        assert is_cut_off(connection, b"a", within_s=4 * FOR_TOO_LONG_S, every_s=0.02)


def test_an_answer_may_take_longer_than_a_head_even_with_half_of_the_next_one_sent(impatient):
    with connected(impatient) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\n\r\nGET / HT")
        assert answers(connection) == [(200, b"0")]
        connection.sendall(b"TP/1.1\r\n\r\n")
        assert answers(connection) == [(200, b"0")]


def test_between_requests_the_time_is_that_of_kept_alive_connections(impatient):
    with connected(impatient) as connection:
        for _ in range(2):
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert answers(connection) == [(200, b"0")]
            time.sleep(2 * FOR_TOO_LONG_S)


def test_a_refusal_is_not_told_in_place_of_an_answer_that_is_due(patient):
    with connected(patient) as connection:
        connection.sendall(CHUNKED + b"0\r\nX-A: ")
        time.sleep(0.1)  # so that what follows is a chunk of its own, which the server counts
        connection.sendall(b"a" * (LARGEST_HEAD_BYTES + 1))
        assert connection.recv(1) == CLOSED


def test_a_body_may_take_longer_than_a_head(impatient):
    with connected(impatient) as connection:
        connection.sendall(HEAD + b"Content-Length: 4\r\n\r\n")
        for _ in range(4):
            time.sleep(FOR_TOO_LONG_S / 2)
            connection.sendall(b"b")
        assert answers(connection) == [(200, b"4")]


def test_what_is_no_http_is_told_as_before(patient):
    with connected(patient) as connection:
        connection.sendall(b"\x00\x01\r\n\r\n")
        assert answers(connection)[0][0] == 400


class Named:
    """An app that answers with its own name."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": self._name})


class Short(BoundedHttpProtocol):
    direct = Direct("/direct", Named(b"direct"))


def test_requests_to_the_direct_address_pass_the_server_s_app_by_and_no_others():
    sent = [b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/direct", b"/directly", b"/direct?a=1")]
    with serving(Short) as port, connected(port) as connection:
        connection.sendall(b"".join(sent))  # the later ones wait in the pipeline for the first
        assert answers(connection, 3) == [(200, b"direct"), (200, b"0"), (200, b"direct")]
