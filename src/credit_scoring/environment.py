"""Where this process runs, read from environment variables and an optional ``.env`` file."""

from pydantic_settings import BaseSettings, SettingsConfigDict

EMBEDDED_DATABASE_URL = "sqlite:///data/credit_scoring.db"
"""The database when none is named: a file below the working directory."""


class Environment(BaseSettings):
    """Settings of this process; each is the environment variable ``CREDIT_<NAME>``, unset when empty.

    ``database_url`` is an SQLAlchemy URL and holds facts, records and roles; a relative file lies below the
    working directory. ``redis_url`` names the server on which events are pushed; without it none are.
    """

    model_config = SettingsConfigDict(
        env_prefix="CREDIT_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: str = EMBEDDED_DATABASE_URL
    redis_url: str | None = None
