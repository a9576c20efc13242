import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from kedro.io import DataCatalog, DatasetError

from credit_scoring.adapters.sources import HttpApiDataset
from credit_scoring.core.errors import ContractError

TOKEN = "secret-token"  # noqa: S105 - of a server in this process
CURSOR = {"by": "cursor", "path": "paging.next", "param": "cursor"}
Answer = tuple[int, dict[str, str], Any]


class Api:
    """A local API: every request is kept, and answered by ``answer(query)``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.answer: Callable[[dict[str, str]], Answer] = self.by_cursor
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = dict(parse_qsl(urlsplit(self.path).query))
                api.asked.append(query)
                api.tokens.append(self.headers.get("Authorization"))
                status, headers, body = api.answer(query)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/loans"

    def by_cursor(self, query: dict[str, str]) -> Answer:
        """Five pages of two rows."""
        at = int(query.get("cursor", 0))
        items = [{"id": 2 * at + n, "amount": 1.5, "tags": ["é", None]} for n in (1, 2)]
        return 200, {}, {"data": {"items": items}, "paging": {"next": str(at + 1) if at < 4 else None}}

    def failing(self, *answers: Answer) -> None:
        """Give these answers first."""
        left, answer = list(answers), self.answer
        self.answer = lambda query: left.pop(0) if left else answer(query)


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    thread = threading.Thread(target=api.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield api
    api.server.shutdown()
    thread.join()
    api.server.server_close()


Entry = Callable[..., HttpApiDataset]


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def entry(api: Api, tmp_path: Path, slept: list[float]) -> Entry:
    ticks = count()

    def made(**keys: Any) -> HttpApiDataset:
        given: dict[str, Any] = {
            "url": api.url,
            "records": "data.items",
            "next": CURSOR,
            "landing": str(tmp_path / "landing"),
            "credentials": {"token": TOKEN},
            "sleep": slept.append,
            "clock": lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=next(ticks)),
        }
        return HttpApiDataset(**(given | keys))

    return made


def ids(dataset: HttpApiDataset) -> list[str]:
    return [value for batch in dataset.load() for value in batch.rows["id"]]


ALL = [str(n) for n in range(1, 11)]


def test_pages_by_a_cursor_in_the_body(api: Api, entry: Entry):
    (batch,) = entry(params={"limit": 2}).load()
    assert batch.rows["id"].to_list() == ALL
    assert batch.rows.row(0) == ("1", "1.5", '["é",null]')
    assert batch.row_numbers.to_list() == list(range(1, 11))
    assert batch.source == api.url
    assert api.asked == [{"limit": "2"}, *({"limit": "2", "cursor": str(n)} for n in range(1, 5))]
    assert set(api.tokens) == {f"Bearer {TOKEN}"}


def test_pages_by_the_url_of_the_next_one_in_the_body(api: Api, entry: Entry):
    def answer(query: dict[str, str]) -> Answer:
        at = int(query.get("at", 1))
        return 200, {}, {"rows": [{"id": at}], "next": f"/loans?at={at + 1}" if at < 3 else None}

    api.answer = answer
    assert ids(entry(records="rows", next={"by": "cursor", "path": "next"})) == ["1", "2", "3"]


def test_pages_by_link_header(api: Api, entry: Entry):
    def answer(query: dict[str, str]) -> Answer:
        at = int(query.get("at", 1))
        link = {"Link": f'<{api.url}?at=1>; rel="first", <{api.url}?at={at + 1}>; rel="next"'} if at < 3 else {}
        return 200, link, [{"id": at}]

    api.answer = answer
    assert ids(entry(records="", next={"by": "link"})) == ["1", "2", "3"]


def test_pages_by_number_until_one_is_empty(api: Api, entry: Entry):
    api.answer = lambda query: (200, {}, [{"id": query["p"]}] if int(query["p"]) < 3 else [])
    assert ids(entry(records="", next={"by": "page", "param": "p", "first": 0})) == ["0", "1", "2"]


def test_one_page_and_none(api: Api, entry: Entry):
    assert ids(entry(next=None)) == ["1", "2"]
    api.answer = lambda _: (200, {}, [])
    assert ids(entry(records="", next=None)) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 408])
def test_faults_that_pass_are_tried_again_with_growing_pauses(status: int, api: Api, entry: Entry, slept: list[float]):
    api.failing((status, {}, b"busy"), (status, {}, b"busy"), (status, {}, b"busy"))
    assert ids(entry()) == ALL
    assert len(slept) == 3
    assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(slept))


def test_an_answer_cut_off_is_asked_for_again(api: Api, entry: Entry, slept: list[float]):
    api.failing((200, {"Content-Length": "1000"}, b'{"data"'))
    assert ids(entry()) == ALL
    assert len(slept) == 1


def test_the_pause_that_the_api_asks_for_is_kept(api: Api, entry: Entry, slept: list[float]):
    api.failing((429, {"Retry-After": "7"}, b""), (503, {"Retry-After": "Sun, 01 Mar 2026 00:01:00 GMT"}, b""))
    assert ids(entry()) == ALL
    assert slept[0] == 7
    assert 50 < slept[1] <= 60


def test_a_long_pause_ends_the_run_and_the_next_one_goes_on(api: Api, entry: Entry):
    api.failing(*(api.by_cursor({"cursor": str(n)}) for n in (0, 1)), (429, {"Retry-After": "86400"}, b""))
    with pytest.raises(DatasetError, match="asks to wait 86400 seconds"):
        entry().load()
    assert ids(entry()) == ALL


@pytest.mark.parametrize(
    ("status", "told"), [(401, "Check the token"), (403, "may read"), (404, "Correct 'url'"), (400, "Correct 'params'")]
)
def test_refusals_are_told_at_once(status: int, told: str, api: Api, entry: Entry, slept: list[float]):
    api.answer = lambda _: (status, {}, {"error": "no"})
    with pytest.raises(DatasetError, match=told) as refused:
        entry().load()
    assert TOKEN not in str(refused.value)
    assert (len(api.asked), slept) == (1, [])


def test_a_fetch_that_was_broken_off_goes_on_after_its_last_whole_page(api: Api, entry: Entry, slept: list[float]):
    api.failing(*(api.by_cursor({"cursor": str(n)}) for n in range(3)), *[(500, {}, b"")] * 6)
    with pytest.raises(DatasetError, match="in 6 attempts: status 500"):
        entry().load()
    api.asked.clear()
    assert ids(entry()) == ALL
    assert api.asked == [{"cursor": "3"}, {"cursor": "4"}]


def test_a_place_that_the_api_no_longer_knows_is_fetched_from_the_beginning(api: Api, entry: Entry):
    api.failing(*(api.by_cursor({"cursor": str(n)}) for n in range(3)), *[(500, {}, b"")] * 6, (410, {}, b""))
    with pytest.raises(DatasetError):
        entry().load()
    assert ids(entry()) == ALL


def test_another_request_does_not_go_on_where_the_first_broke_off(api: Api, entry: Entry):
    api.failing(api.by_cursor({}), *[(500, {}, b"")] * 6)
    with pytest.raises(DatasetError):
        entry().load()
    api.asked.clear()
    assert ids(entry(params={"limit": 3})) == ALL
    assert api.asked[0] == {"limit": "3"}


def test_every_load_asks_anew_unless_a_finished_fetch_may_be_read_again(api: Api, entry: Entry, tmp_path: Path):
    first = entry().load()
    entry().load()
    assert len(api.asked) == 10
    entry(load_args={"reuse_seconds": 3600}).load()
    assert len(api.asked) == 10
    assert len(list((tmp_path / "landing").glob("fetched-*"))) == 2
    assert sum(batch.rows.height for batch in first) == sum(batch.rows.height for batch in first) == 10


@pytest.mark.parametrize(
    ("keys", "pages"),
    [
        ({}, lambda query: {"data": {"items": [{"id": len(query)}]}, "paging": {"next": "again"}}),
        ({"next": {"by": "page"}}, lambda _: {"data": {"items": [{"id": 1}]}}),
    ],
)
def test_pages_that_never_end_are_refused(keys: dict[str, Any], pages: Any, api: Api, entry: Entry):
    api.answer = lambda query: (200, {}, pages(query))
    with pytest.raises(DatasetError, match="its pages never end"):
        entry(**keys).load()


def test_too_many_pages_are_refused(api: Api, entry: Entry):
    with pytest.raises(DatasetError, match="more than 3 pages"):
        entry(load_args={"max_pages": 3}).load()


def test_the_token_is_not_taken_to_another_host(api: Api, entry: Entry, tmp_path: Path):
    other = api.url.replace("127.0.0.1", "localhost")
    api.answer = lambda _: (200, {"Link": f'<{other}?at=2>; rel="next"'}, [{"id": 1}])
    with pytest.raises(DatasetError, match="another host"):
        entry(records="", next={"by": "link"}).load()
    assert len(api.asked) == 1
    api.answer = lambda _: (302, {"Location": other}, b"")
    with pytest.raises(DatasetError, match="redirects"):
        entry(landing=str(tmp_path / "elsewhere")).load()
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("keys", "body", "told"),
    [
        ({}, b"<html>", "something else than JSON"),
        ({}, {"items": []}, "no list at 'data.items' of its body .there: items"),
        ({"load_args": {"max_page_bytes": 10}}, {"data": {"items": []}}, "more than 10 bytes"),
    ],
)
def test_bodies_that_cannot_be(keys: dict[str, Any], body: Any, told: str, api: Api, entry: Entry):
    api.answer = lambda _: (200, {}, body)
    with pytest.raises(DatasetError, match=told):
        entry(**keys).load()


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "https://me:secret@bank.example/loans"},
        {"url": "https://bank.example/loans?token=1"},
        {"next": {"by": "cursor"}},
        {"load_args": {"retries": 3}},
        {"credentials": {"password": "secret"}},
    ],
)
def test_entries_that_cannot_be(keys: dict[str, Any], entry: Entry):
    with pytest.raises(ContractError) as refused:
        entry(**keys)
    assert "secret" not in str(refused.value)


def test_through_the_catalog_the_token_is_a_credential(api: Api, tmp_path: Path):
    config = {
        "loans": {
            "type": "credit_scoring.adapters.sources.HttpApiDataset",
            "url": api.url,
            "records": "data.items",
            "next": CURSOR,
            "landing": str(tmp_path / "landing"),
            "credentials": "bank_api",
        }
    }
    dataset = DataCatalog.from_config(config, {"bank_api": {"token": TOKEN}})["loans"]
    assert ids(dataset) == ALL
    assert TOKEN not in str(dataset)
    kept = [path.read_text() for path in (tmp_path / "landing").rglob("*") if path.is_file()]
    assert not any(TOKEN in content for content in kept)
