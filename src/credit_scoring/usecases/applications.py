"""An application as it is decided."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from credit_scoring.api.decisions import Json
from credit_scoring.core.facts import Facts
from credit_scoring.core.owners import DEFAULT_TENANT, Applicant, Owner
from credit_scoring.core.records import ApplicationKey

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Application:
    """A checked application: ``received`` is its body as it came, ``inline`` the facts it brought, if any.

    ``idempotency_key`` is None when the application's own id is all that names the request.
    """

    application_id: str
    applicant_id: str
    received: Json
    request_id: str
    as_of: datetime | None = None
    inline: Facts | None = None
    tenant: str = DEFAULT_TENANT
    idempotency_key: str | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """An application with what names its request, and the digest of its body."""

    application: Application
    key: ApplicationKey
    digest: str

    @classmethod
    def of(cls, application: Application, portfolio: str) -> "Asked":
        """Return what is asked for by ``application`` of a portfolio."""
        given = application.idempotency_key
        key = None if given == application.application_id else given
        owner = Owner(application.tenant, portfolio)
        named = ApplicationKey(owner, application.application_id, key)
        return cls(application, named, body_digest(application.received))

    @property
    def applicant(self) -> Applicant:
        """Who applies."""
        return Applicant(self.key.owner, self.application.applicant_id)


def body_digest(received: Json) -> str:
    """Return the SHA-256 of a body, the same whatever the order of its keys and its white space."""
    return hashlib.sha256(_CANONICAL.encode(received).encode()).hexdigest()
