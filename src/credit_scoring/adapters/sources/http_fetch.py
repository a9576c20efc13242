"""All pages of an HTTP API, kept one by one, so that a run that was killed goes on from the last whole page."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from credit_scoring.adapters.sources.http_client import Page, PageClient, RefusedError
from credit_scoring.adapters.sources.http_options import CursorInBody, HttpRequest, LinkHeader, PageNumber
from credit_scoring.adapters.sources.landing import flush_directory, locked, write_whole
from credit_scoring.core.as_text import json_text
from credit_scoring.core.errors import ContractError

_LOG = logging.getLogger(__name__)
_REMEMBERED = 1_000
"""A larger circle of pages is ended by ``max_pages``."""

_PROGRESS = "progress.json"
_FINISHED = "fetched-%Y%m%dT%H%M%S.%f%z"


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a fetch is: pages kept, what to ask next (None when done), and what was asked, to notice a circle."""

    request: str
    pages: int
    url: str | None
    params: dict[str, Any]
    asked: tuple[str, ...]
    last_content: str = ""


@dataclass(frozen=True)
class Fetch:
    """Fetching all pages of ``request`` into a landing directory."""

    request: HttpRequest
    landing: Path
    client: PageClient
    clock: Callable[[], datetime]

    def finished(self) -> Path:
        """Return the directory of a finished fetch, one file of JSON lines a page, fetching what is lacking.

        Raises:
            ContractError: If a page does not come, the pages go in a circle, or lead to another host.
        """
        with locked(self.landing):
            recent = self._recent()
            if recent:
                return recent
            progress = self._resumed()
            while progress.url is not None:
                progress = self._next(progress)
            return self._finish()

    def _recent(self) -> Path | None:
        """Return the last finished fetch of the same request if it may be read again."""
        done = sorted(self.landing.glob("fetched-*"))
        if not done:
            return None
        finished_at = datetime.strptime(done[-1].name, _FINISHED)
        age = (self.clock() - finished_at).total_seconds()
        same = _read(done[-1]).request == self._fingerprint
        return done[-1] if same and 0 <= age < self.client.options.reuse_seconds else None

    def _resumed(self) -> _Progress:
        """Return how far an earlier run came; the beginning if the API no longer knows that place."""
        if not (self._under_way / _PROGRESS).exists():
            return self._started()
        progress = _read(self._under_way)
        if progress.request != self._fingerprint:
            return self._started()
        _LOG.info("fetch goes on after page %d", progress.pages)
        try:
            return self._next(progress) if progress.url is not None else progress
        except RefusedError as exc:
            if exc.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise
            _LOG.warning("fetch starts again: page %d is refused with status %d", progress.pages + 1, exc.status)
            return self._started()

    def _started(self) -> _Progress:
        shutil.rmtree(self._under_way, ignore_errors=True)
        self._under_way.mkdir()
        paging = self.request.next
        numbered = {paging.param: paging.first} if isinstance(paging, PageNumber) else {}
        return _Progress(self._fingerprint, 0, self.request.url, dict(self.request.params) | numbered, ())

    def _next(self, progress: _Progress) -> _Progress:
        """Keep one page, and return what follows it."""
        if progress.pages >= self.client.options.max_pages:
            raise ContractError(
                f"'{self.client.name}' has more than {progress.pages:,} pages, the 'max_pages' of its 'load_args'. "
                f"Raise that if it is right."
            )
        page = self.client.get(progress.url or "", progress.params)
        records = self._records(page)
        lines = "".join(f"{json_text(record, self.request.records)}\n" for record in records).encode()
        write_whole(self._under_way / f"page-{progress.pages + 1:08}.jsonl", lines)
        after = self._after(page, progress, lines)
        write_whole(self._under_way / _PROGRESS, json.dumps(asdict(after)).encode())
        return after

    def _after(self, page: Page, progress: _Progress, lines: bytes) -> _Progress:
        """Return the progress after a page. A page that was asked for or given before is a circle."""
        url, params = self._place_after(page, progress, empty=not lines)
        place = _hash(json.dumps([url, params]))
        content = _hash(lines.decode())
        if url is not None and (place in progress.asked or (lines and content == progress.last_content)):
            raise ContractError(
                f"'{self.client.name}' gives page {progress.pages + 1:,} as its own successor or an earlier one: its "
                f"pages never end. Correct 'next' in the catalog."
            )
        asked = (*progress.asked, place)[-_REMEMBERED:]
        return replace(progress, pages=progress.pages + 1, url=url, params=params, asked=asked, last_content=content)

    def _place_after(self, page: Page, progress: _Progress, *, empty: bool) -> tuple[str | None, dict[str, Any]]:
        match self.request.next:
            case PageNumber(param=param) if not empty:
                return progress.url, progress.params | {param: int(progress.params[param]) + 1}
            case LinkHeader() if page.link:
                return self._same_host(page.link, progress), {}
            case CursorInBody(path=path, param=param):
                cursor = _at(page.body, path)
                if cursor and param:
                    return progress.url, progress.params | {param: str(cursor)}
                if cursor:
                    return self._same_host(str(cursor), progress), {}
        return None, {}

    def _same_host(self, link: str, progress: _Progress) -> str:
        """Return a link as a whole URL; one to another host would be given the token."""
        url = urljoin(progress.url or "", link)
        if urlsplit(url)[:2] != urlsplit(self.request.url)[:2]:
            raise ContractError(
                f"'{self.client.name}' gives a next page on another host, which is not to see the token. Set 'url' in "
                f"the catalog to the host that gives all pages."
            )
        return url

    def _records(self, page: Page) -> list[Any]:
        found = _at(page.body, self.request.records)
        if isinstance(found, list):
            return found
        keys = ", ".join(page.body) if isinstance(page.body, dict) else "no object"
        raise ContractError(
            f"'{self.client.name}' has no list at '{self.request.records}' of its body (there: {keys}). Correct "
            f"'records' in the catalog: the dotted path to the list of rows."
        )

    def _finish(self) -> Path:
        target = self.landing / self.clock().astimezone(UTC).strftime(_FINISHED)
        self._under_way.rename(target)
        flush_directory(self.landing)
        return target

    @property
    def _under_way(self) -> Path:
        return self.landing / "fetching"

    @property
    def _fingerprint(self) -> str:
        return _hash(self.request.model_dump_json())


def _read(directory: Path) -> _Progress:
    told = json.loads((directory / _PROGRESS).read_text(encoding="utf-8"))
    return _Progress(**(told | {"asked": tuple(told["asked"])}))


def _at(body: Any, path: str) -> Any:
    """Return what is at a dotted path of a body; None where there is nothing."""
    for key in path.split(".") if path else ():
        body = body.get(key) if isinstance(body, dict) else None
    return body


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
