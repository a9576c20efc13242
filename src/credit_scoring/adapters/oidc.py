"""Tokens of an OpenID Connect issuer: signed by it, for this service, and not expired."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from jwt.types import Options

from credit_scoring.adapters.oidc_keys import IssuerKeys
from credit_scoring.core.api_keys import is_name
from credit_scoring.core.callers import SCOPES, Accepted, AccessScope, Caller
from credit_scoring.core.errors import SettingsError
from credit_scoring.ports import Clock

LEEWAY_S = 30.0
"""By how much the issuer's clock and ours may differ."""

_LONGEST_LIFE_S = 24 * 3600.0  # as remembered here; the token itself is checked again
_REGISTERED: Options = {
    "require": ["exp", "iss", "aud", "sub"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}
"""Times are checked here, by the clock that is an argument."""


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """For whom tokens must be made out, and where they say whose rows they open.

    A token without the ``tenant_claim`` is refused unless ``default_tenant`` names whose it is then: for an
    installation of one lender, whose issuer knows no tenants.
    """

    audience: str
    tenant_claim: str = "tenant"
    default_tenant: str | None = None


def oidc_options(audience: str | None, tenant_claim: str, default_tenant: str | None) -> OidcOptions:
    """Return the options that the environment says.

    Raises:
        SettingsError: If there is no audience: the issuer's tokens for other services would be accepted.
    """
    if not audience:
        raise SettingsError(
            "CREDIT_OIDC_ISSUER is set, but not for whom its tokens must be made out. Set CREDIT_OIDC_AUDIENCE."
        )
    if default_tenant is not None and not is_name(default_tenant):
        raise SettingsError("CREDIT_OIDC_DEFAULT_TENANT has 1 to 128 printable characters. Choose another.")
    return OidcOptions(audience, tenant_claim, default_tenant)


class TokenCheck:
    """``CredentialCheck`` of signed tokens (JWT)."""

    def __init__(self, keys: IssuerKeys, options: OidcOptions, clock: Clock) -> None:
        self._keys = keys
        self._options = options
        self._clock = clock

    def __call__(self, credential: str) -> Accepted | None:
        """See ``CredentialCheck``."""
        try:
            claims = self._claims(credential)
            return None if claims is None else self._accepted(claims)
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError):
            return None  # whatever a stranger sends is no more than not accepted

    def _claims(self, token: str) -> dict[str, Any] | None:
        """Return what the issuer has signed, or None when it has not."""
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        key = self._keys.get(header.get("kid"))
        # The key says which algorithms it is for; the token only chooses among them.
        if key is None or not isinstance(algorithm, str) or algorithm not in key.algorithms:
            return None
        options = self._options
        return jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=options.audience,
            issuer=self._keys.issuer,
            options=_REGISTERED,
        )

    def _accepted(self, claims: Mapping[str, Any]) -> Accepted | None:
        now_s = self._clock().timestamp()
        ends_s = _moment_s(claims.get("exp"))
        begins = [_moment_s(claims[name]) for name in ("nbf", "iat") if name in claims]
        if ends_s is None or now_s >= ends_s + LEEWAY_S:
            return None
        if any(begin is None or begin > now_s + LEEWAY_S for begin in begins):
            return None
        person, tenant = claims.get("sub"), self._tenant(claims)
        if tenant is None or not isinstance(person, str) or not is_name(person):
            return None
        caller = Caller(self._key_id(person), tenant, person, _scopes(claims))
        ends_s = min(ends_s + LEEWAY_S, now_s + _LONGEST_LIFE_S)
        return Accepted(caller, datetime.fromtimestamp(ends_s, UTC))

    def _tenant(self, claims: Mapping[str, Any]) -> str | None:
        """Return the tenant; a claim that is there and says nothing usable is never replaced by the default."""
        if self._options.tenant_claim not in claims:
            return self._options.default_tenant
        found = claims[self._options.tenant_claim]
        return found if isinstance(found, str) and is_name(found) else None

    def _key_id(self, person: str) -> str:
        """Return a name for logs that does not tell the subject, which may be a mail address."""
        digest = hashlib.sha256(f"{self._keys.issuer}\n{person}".encode("utf-8", "surrogatepass"))
        return f"oidc:{digest.hexdigest()[:16]}"


def _moment_s(found: object) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found)


def _scopes(claims: Mapping[str, Any]) -> frozenset[AccessScope]:
    """Return the scopes that are ours, of ``scope`` or else ``scp``, as a list or as words."""
    found = claims.get("scope", claims.get("scp"))
    words = found.split(" ") if isinstance(found, str) else found if isinstance(found, list) else []
    return frozenset(scope for scope in SCOPES if scope in words)
