"""One page of an HTTP API, asked for until it comes or it is clear that it will not."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from credit_scoring.adapters.sources.http_options import HttpOptions
from credit_scoring.adapters.sources.json_lines import parsed
from credit_scoring.core.errors import ContractError

_LONGEST_WAIT_S, _FIRST_WAIT_S = 60.0, 0.5
_LONGEST_ASKED_WAIT_S = 600.0
_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "Check the token: 'credentials: {token: ...}' of its catalog entry",
    HTTPStatus.FORBIDDEN: "Check that the token may read this",
    HTTPStatus.NOT_FOUND: "Correct 'url' in the catalog",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed body, and what the Link header calls next."""

    body: Any
    link: str | None


class RefusedError(ContractError):
    """The API understood and refused; asking again would not help."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _NotNowError(Exception):
    def __init__(self, told: str, wait_s: float | None = None) -> None:
        super().__init__(told)
        self.wait_s = wait_s


@dataclass(frozen=True)
class PageClient:
    """Asks for pages; ``sleep`` and ``clock`` are arguments so that tests need not wait."""

    http: httpx.Client
    name: str
    options: HttpOptions
    sleep: Callable[[float], None]
    clock: Callable[[], datetime]

    def get(self, url: str, params: Mapping[str, Any]) -> Page:
        """Return a page.

        Raises:
            RefusedError: If the API refuses (4xx).
            ContractError: If it does not answer in ``attempts``, redirects, or answers with something else than JSON.
        """
        drawn = random.Random(self.name)  # noqa: S311 - jitter, the same in every run
        retrying = Retrying(
            stop=stop_after_attempt(self.options.attempts),
            retry=retry_if_exception_type(_NotNowError),
            wait=lambda state: self._wait(state, drawn),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(self._ask, url, params)
        except _NotNowError as exc:
            raise ContractError(
                f"'{self.name}' did not give a page in {self.options.attempts} attempts: {exc}. What came before is "
                f"kept: run again, and it goes on from there."
            ) from exc

    def _ask(self, url: str, params: Mapping[str, Any]) -> Page:
        try:
            with self.http.stream("GET", url, params=params or None) as response:
                self._require_page(response)
                content = self._content(response)
        except httpx.TransportError as exc:
            raise _NotNowError(type(exc).__name__) from exc
        try:
            return Page(parsed(content.decode(response.encoding or "utf-8")), response.links.get("next", {}).get("url"))
        except (ValueError, RecursionError) as exc:
            raise ContractError(
                f"'{self.name}' answers with something else than JSON. Correct 'url' in the catalog."
            ) from exc

    def _require_page(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in _AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _NotNowError(f"status {status}", self._asked_wait(response.headers.get("Retry-After")))
        if response.is_redirect:
            raise ContractError(
                f"'{self.name}' redirects (status {status}). Set 'url' in the catalog to where it leads."
            )
        if status >= HTTPStatus.BAD_REQUEST:
            advice = _ADVICE.get(status, "Correct 'params' in the catalog")
            raise RefusedError(f"'{self.name}' refuses with status {status}. {advice}.", status)

    def _content(self, response: httpx.Response) -> bytes:
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > self.options.max_page_bytes:
                raise ContractError(
                    f"'{self.name}' gives a page of more than {self.options.max_page_bytes:,} bytes. Ask for smaller "
                    f"pages in 'params', or raise 'max_page_bytes' in 'load_args'."
                )
        return bytes(content)

    def _wait(self, state: RetryCallState, drawn: random.Random) -> float:
        fault = state.outcome.exception() if state.outcome else None
        if isinstance(fault, _NotNowError) and fault.wait_s is not None:
            return fault.wait_s
        longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**state.attempt_number)
        return float(longest * drawn.uniform(0.5, 1))

    def _asked_wait(self, asked: str | None) -> float | None:
        """Return the seconds of a Retry-After header, which gives them or a date."""
        if asked is None:
            return None
        try:
            wait_s = float(asked) if asked.strip().isdigit() else self._until(parsedate_to_datetime(asked))
        except ValueError:
            return None
        if wait_s > _LONGEST_ASKED_WAIT_S:
            raise ContractError(
                f"'{self.name}' asks to wait {wait_s:.0f} seconds. What came before is kept: run again after that."
            )
        return wait_s

    def _until(self, moment: datetime) -> float:
        return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - self.clock()).total_seconds())
