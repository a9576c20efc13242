"""The public keys of an OpenID Connect issuer, fetched by its discovery document and kept for a while."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from jwt.algorithms import AllowedPublicKeys, get_default_algorithms

from credit_scoring.core.errors import IssuerUnavailableError, SettingsError

FRESH_S = 300.0
"""How long keys are used before they are fetched again: so long, at most, a withdrawn key is accepted."""

LAST_RESORT_S = 24 * 3600.0
"""How long keys are used while the issuer does not answer."""

BETWEEN_FETCHES_S = 5.0
"""Shortest time from one fetch to the next, whatever keys strangers' tokens name."""

_TIMEOUT_S = 2.0
_DEADLINE_S = 4.0
_LARGEST_BYTES = 2**19
_MOST_KEYS = 100
_SMALLEST_RSA_BITS = 2048
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")

logger = logging.getLogger(__name__)


class _FetchError(Exception):
    """The issuer did not answer, or what it answered cannot be used."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key and the algorithms that it may be used with, none of them symmetric."""

    kid: str | None
    algorithms: frozenset[str]
    key: AllowedPublicKeys = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Held:
    keys: tuple[SigningKey, ...]
    fetched_s: float

    def find(self, kid: str | None) -> SigningKey | None:
        """Return the key of this id; without an id the only key there is."""
        if kid is None:
            return self.keys[0] if len(self.keys) == 1 else None
        return next((key for key in self.keys if key.kid == kid), None)


class IssuerKeys:
    """The keys of one issuer, for any number of threads; only one of them fetches at a time."""

    def __init__(self, issuer: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Name the issuer; nothing is fetched yet.

        Raises:
            SettingsError: If it is not an address by HTTPS, or on this machine.
        """
        if not _is_safe(issuer):
            raise SettingsError(
                "CREDIT_OIDC_ISSUER is not an https address. Write it as the issuer's tokens do, such as "
                "'https://login.example.com/realms/lender'; http is taken on this machine alone."
            )
        self.issuer = issuer
        self._monotonic = monotonic
        self._lock = Lock()
        self._held = _Held((), float("-inf"))
        self._next_fetch_s = float("-inf")
        self._failing = False

    def get(self, kid: str | None) -> SigningKey | None:
        """Return the key that a token names, or None when the issuer has no such key. May fetch, which blocks.

        Raises:
            IssuerUnavailableError: If that cannot be said, as the issuer does not answer.
        """
        age_s = self._monotonic() - self._held.fetched_s
        found = self._held.find(kid)
        if found is not None and age_s < FRESH_S:
            return found
        usable = found is not None and age_s < LAST_RESORT_S
        # While the issuer is silent nobody waits for the one who asks it.
        self._refresh(wait=not usable and not self._failing)
        held = self._held
        found = held.find(kid)
        if self._failing and (found is None or self._monotonic() - held.fetched_s >= LAST_RESORT_S):
            raise IssuerUnavailableError(BETWEEN_FETCHES_S)
        return found

    def _refresh(self, *, wait: bool) -> None:
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._monotonic() < self._next_fetch_s:
                return
            try:
                keys = _fetched(self.issuer)
            except _FetchError as exc:
                logger.warning("oidc_keys_unavailable: the issuer's keys cannot be fetched (%s).", exc)
                self._failing = True
            else:
                self._held = _Held(keys, self._monotonic())
                self._failing = False
            self._next_fetch_s = self._monotonic() + BETWEEN_FETCHES_S
        finally:
            self._lock.release()


def _fetched(issuer: str) -> tuple[SigningKey, ...]:
    with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client:
        discovered = _json(client, issuer.rstrip("/") + "/.well-known/openid-configuration")
        if discovered.get("issuer") != issuer:
            raise _FetchError("its discovery document names another issuer")
        address = discovered.get("jwks_uri")
        if not isinstance(address, str) or not _is_safe(address):
            raise _FetchError("its jwks_uri is no https address")
        listed = _json(client, address).get("keys")
    if not isinstance(listed, list):
        raise _FetchError("its key set has no keys")
    found = (_signing_key(entry) for entry in listed[:_MOST_KEYS] if isinstance(entry, dict))
    keys = tuple(key for key in found if key is not None)
    if not keys:
        raise _FetchError("its key set has no key that tokens may be signed with here")
    return keys


def _json(client: httpx.Client, address: str) -> dict[str, Any]:
    """Return the JSON object at ``address``, of bearable size and in bearable time."""
    deadline, content = time.monotonic() + _DEADLINE_S, bytearray()
    try:
        with client.stream("GET", address, headers={"Accept": "application/json"}) as response:
            if response.status_code != httpx.codes.OK:
                raise _FetchError(f"status {response.status_code}")
            for part in response.iter_bytes():
                content += part
                if len(content) > _LARGEST_BYTES or time.monotonic() > deadline:
                    raise _FetchError("its answer is too large or too slow")
        found = json.loads(content)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as exc:
        raise _FetchError(type(exc).__name__) from exc
    except (ValueError, RecursionError) as exc:
        raise _FetchError("its answer is not JSON") from exc
    if not isinstance(found, dict):
        raise _FetchError("its answer is not a JSON object")
    return found


def _signing_key(entry: Mapping[str, Any]) -> SigningKey | None:
    """Return a public key that signatures are checked with, or None for one of any other kind."""
    if entry.get("use", "sig") != "sig" or "verify" not in _texts(entry.get("key_ops", ["verify"])):
        return None
    allowed = _RSA if entry.get("kty") == "RSA" else frozenset(filter(None, [_CURVES.get(str(entry.get("crv")))]))
    if entry.get("alg") is not None:
        allowed &= {str(entry["alg"])}
    if not allowed or entry.get("kty") not in {"RSA", "EC", "OKP"}:
        return None
    try:
        # Nothing private, even where an issuer publishes it.
        public = {name: entry[name] for name in _PUBLIC if name in entry}
        key: Any = get_default_algorithms()[min(allowed)].from_jwk(public)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if entry["kty"] == "RSA" and key.key_size < _SMALLEST_RSA_BITS:
        return None
    kid = entry.get("kid")
    return SigningKey(kid if isinstance(kid, str) else None, allowed, key)


def _texts(found: object) -> list[object]:
    return found if isinstance(found, list) else []


def _is_safe(address: str) -> bool:
    """Return whether what is fetched there cannot be changed on the way."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
