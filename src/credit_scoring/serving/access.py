"""Puts together who may call: keys, tokens of an issuer, the development key, and rate limits."""

import logging
import secrets

from sqlalchemy import Engine

from credit_scoring.adapters.database.development_key import development_key_file, ensure_development_key
from credit_scoring.adapters.database.keys import KeyRepository
from credit_scoring.adapters.oidc import TokenCheck, oidc_options
from credit_scoring.adapters.oidc_keys import IssuerKeys
from credit_scoring.adapters.rate_limits import RateLimiter, RedisCounts, route_limits
from credit_scoring.core.clocks import utc_now
from credit_scoring.environment import Environment
from credit_scoring.serving.admission import Guard
from credit_scoring.usecases.admission import KeyCheck

logger = logging.getLogger(__name__)


def guard_of(engine: Engine, environment: Environment) -> Guard:
    """Return the guard that the environment asks for; an embedded database without an issuer has a development key.

    Raises:
        RecordsError: If the development key cannot be written.
        SettingsError: If an environment variable says something that cannot be.
    """
    limiter = RateLimiter(
        route_limits(environment.rate_limits), RedisCounts(environment.redis_url) if environment.redis_url else None
    )
    file = None if environment.oidc_issuer else development_key_file(environment.database_url)
    if file is not None:
        ensure_development_key(engine, file, utc_now, secrets.token_bytes, tenant=environment.tenant)
        logger.info("development_key_ready")
    keys = KeyCheck(KeyRepository(engine), utc_now, development=file is not None)
    return Guard(keys, limiter, utc_now, tokens=_tokens(environment))


def _tokens(environment: Environment) -> TokenCheck | None:
    if environment.oidc_issuer is None:
        return None
    options = oidc_options(environment.oidc_audience, environment.oidc_tenant_claim, environment.oidc_default_tenant)
    return TokenCheck(IssuerKeys(environment.oidc_issuer), options, utc_now)
