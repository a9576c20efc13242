"""Where the service is and which key opens it: as given, else from the environment."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from credit_scoring import __version__
from credit_scoring.client.errors import UnusableArgumentError

URL_VARIABLE = "CREDIT_SCORING_URL"
KEY_VARIABLE = "CREDIT_SCORING_KEY"
USER_AGENT = f"credit-scoring-client/{__version__} python/{sys.version_info[0]}.{sys.version_info[1]}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is, and the key that is sent with every request; its ``repr`` hides the key."""

    base_url: str
    key: SecretStr

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        return {
            "Authorization": f"Bearer {self.key.get_secret_value()}",
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
        }


def address(base_url: str | None, key: str | None, key_file: str | Path | None, environ: Mapping[str, str]) -> Address:
    """Return the address given, and what is not given from the environment.

    Raises:
        UnusableArgumentError: If it is not given at all, or cannot be used.
    """
    url = base_url or environ.get(URL_VARIABLE)
    if not url:
        raise UnusableArgumentError(f"No base_url is given. Give one, or set {URL_VARIABLE}.")
    if key is not None and key_file is not None:
        raise UnusableArgumentError("Both key and key_file are given. Give one of them.")
    told = _read(Path(key_file)) if key_file is not None else key or environ.get(KEY_VARIABLE, "")
    return Address(_checked_url(url), SecretStr(_checked_key(told.strip())))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError) as exc:
        raise UnusableArgumentError(f"The key file {file} cannot be read: {type(exc).__name__}.") from None


def _checked_key(key: str) -> str:
    if not key:
        raise UnusableArgumentError(f"No key is given. Give key or key_file, or set {KEY_VARIABLE}.")
    # Checked here, because an HTTP library that refuses a header quotes it.
    if not all("!" <= char <= "~" for char in key):
        raise UnusableArgumentError("The key has blanks, control or non-ASCII characters. Give the key alone.")
    return key


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise UnusableArgumentError("The base_url cannot be read. Give one such as https://scoring.example.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise UnusableArgumentError(
            "The base_url is not http(s)://host[:port][/path] and nothing else. Give one such as "
            "https://scoring.example; the key is given beside it."
        )
    return url
