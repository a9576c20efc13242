"""The Kedro dataset of an HTTP API that gives rows page by page."""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx
from kedro.io import AbstractDataset, DatasetError

from credit_scoring.adapters.sources.http_client import PageClient
from credit_scoring.adapters.sources.http_fetch import Fetch
from credit_scoring.adapters.sources.http_options import HttpCredentials, HttpOptions, HttpRequest
from credit_scoring.adapters.sources.json_lines import read_json_lines
from credit_scoring.adapters.sources.locations import project_path, reading
from credit_scoring.adapters.sources.options import checked
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.received import Batch, Received


class HttpApiDataset(AbstractDataset[None, Received]):
    """The rows of an HTTP API, fetched page by page when loaded.

    Pages are kept in ``landing``: a run that was killed, or to which the API stopped answering, goes on from the last
    whole page. A finished fetch is a directory ``fetched-<time>`` of JSON lines there, and is never written again.

    ::

        raw_loans:
          type: credit_scoring.adapters.sources.HttpApiDataset
          url: https://bank.example/v2/loans
          params: {status: closed, limit: 500}
          records: data.items   # dotted path to the list of rows; without it, the body is the list
          next:                 # without it, there is one page
            by: cursor          # a value in the body, sent as 'param'; without 'param', the URL of the next page
            path: paging.next
            param: cursor
            # by: link          # the header Link: <...>; rel="next"
            # by: page          # numbered: {param: page, first: 1}, until a page is empty
          landing: data/1_raw/my_portfolio/loans
          credentials: bank_api # {token: ...}, sent as Authorization: Bearer
          load_args:            # the defaults
            timeout_seconds: 30
            attempts: 6         # with growing pauses, or those that the API asks for
            max_pages: 100_000
            max_page_bytes: 100_000_000
            reuse_seconds: 0    # for how long a finished fetch is read again instead of asking anew
    """

    def __init__(  # noqa: PLR0913 - the keys of a catalog entry
        self,
        *,
        url: str,
        landing: str,
        params: Mapping[str, Any] | None = None,
        records: str = "",
        next: Mapping[str, Any] | None = None,  # noqa: A002 - the word in the catalog
        load_args: Mapping[str, Any] | None = None,
        credentials: Mapping[str, Any] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], datetime] = utc_now,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        given = {"url": url, "params": dict(params or {}), "records": records, "next": next}
        self._request = checked(HttpRequest, given, "The catalog entry of an HTTP API")
        self._name = self._request.url  # it holds neither user nor query
        self._options = checked(HttpOptions, load_args, f"'load_args' of '{self._name}'")
        self._token = checked(HttpCredentials, credentials, f"'credentials' of '{self._name}'").token
        self._landing = project_path(landing)
        self._sleep = sleep
        self._clock = clock
        self.metadata = metadata

    def load(self) -> Received:
        """Fetch all pages and return their rows. Raises ContractError as ``Fetch.finished`` does."""
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        with httpx.Client(headers=headers, timeout=self._options.timeout_seconds) as http:
            client = PageClient(http, self._name, self._options, self._sleep, self._clock)
            fetched = Fetch(self._request, self._landing, client, self._clock).finished()
        return Received(lambda: self._batches(fetched))

    def save(self, data: None) -> None:  # noqa: ARG002 - the signature is Kedro's
        """Refuse: what was received is never written."""
        raise DatasetError("An HTTP API is read, never written. Save to a dataset of another stage.")

    def _batches(self, fetched: Path) -> Iterator[Batch]:
        pages = sorted(page for page in fetched.glob("page-*.jsonl") if page.stat().st_size)
        if not pages:
            return
        with reading(self._name), _InOrder(pages) as content:
            yield from read_json_lines(content, self._name)

    def _describe(self) -> dict[str, Any]:
        return {"url": self._name, "params": sorted(self._request.params), "landing": str(self._landing)}


class _InOrder:
    """Files read as one."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = iter(paths)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end of the last file."""
        got = bytearray()
        while len(got) < size:
            part = self._file.read(size - len(got)) if self._file else b""
            got += part
            if not part:
                self.__exit__()
                following = next(self._paths, None)
                if following is None:
                    break
                self._file = following.open("rb")
        return bytes(got)
