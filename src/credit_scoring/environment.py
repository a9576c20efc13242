"""Where this process runs, read from environment variables and an optional ``.env`` file."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from credit_scoring.core.owners import DEFAULT_TENANT, Owner

EMBEDDED_DATABASE_URL = "sqlite:///data/credit_scoring.db"
"""The database when none is named: a file below the working directory."""


def _printable(tenant: str) -> str:
    if not tenant.isprintable():
        raise ValueError("must consist of printable characters")
    return tenant


Tenant = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)]


class Environment(BaseSettings):
    """Settings of this process; each is the environment variable ``CREDIT_<NAME>``, unset when empty.

    ``database_url`` is an SQLAlchemy URL and holds facts, records and roles; a relative file lies below the
    working directory. ``redis_url`` names the server on which events are pushed; without it none are.
    ``tenant`` is the lender whose facts and decisions pipelines and the console read and write; in the service, a
    caller's key names it. ``rate_limits`` says where limits differ from the defaults (``adapters.rate_limits``).
    ``oidc_issuer`` has the service accept its tokens, made out for ``oidc_audience``.
    ``feature_ttl_s`` is how many seconds computed features are kept.
    ``workers`` is how many processes answer requests.
    """

    model_config = SettingsConfigDict(
        env_prefix="CREDIT_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: str = EMBEDDED_DATABASE_URL
    redis_url: str | None = None
    tenant: Tenant = DEFAULT_TENANT
    rate_limits: str = ""
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_tenant_claim: str = "tenant"
    oidc_default_tenant: str | None = None
    feature_ttl_s: Annotated[float, Field(gt=0, le=86_400)] = 3600.0
    workers: Annotated[int, Field(ge=1, le=256)] = 1

    def owner(self, portfolio: str) -> Owner:
        """Return whose rows of ``portfolio`` this process reads and writes."""
        return Owner(self.tenant, portfolio)
