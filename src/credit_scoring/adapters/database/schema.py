"""The tables, as the newest migration leaves them."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

ID_LENGTH = 128
DIGEST_LENGTH = 64


class UtcMoment(TypeDecorator[datetime]):
    """A moment in UTC, aware on the way in and out also where the database knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC, as the database holds it."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment, aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


metadata = MetaData()

roles = Table(
    "roles",
    metadata,
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("recorded_at", UtcMoment, nullable=False),
    Column("cause", String(ID_LENGTH), nullable=False),
    Column("roles", JSON, nullable=False),
)
"""Append-only: the row with the highest ``sequence`` (from 1) of a portfolio holds now."""

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), nullable=False),
    Column("application_id", String(ID_LENGTH), nullable=False),
    Column("applicant_id", String(ID_LENGTH), nullable=False),
    Column("decided_at", UtcMoment, nullable=False),
    Column("received_digest", String(DIGEST_LENGTH), nullable=False),
    Column("received", JSON, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("feature_values", JSON, nullable=False),
    Column("scores", JSON, nullable=False),
    UniqueConstraint("portfolio", "application_id", name="one_decision_per_application"),
    Index("decisions_by_applicant", "portfolio", "applicant_id", "decided_at"),
)
"""Append-only: what was received, what was answered, and what the answer was made of."""

applicants = Table(
    "applicants",
    metadata,
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("applicant_id", String(ID_LENGTH), primary_key=True),
    Column("facts", JSON, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("applicant_id", String(ID_LENGTH), primary_key=True),
    Column("event_table", String(ID_LENGTH), primary_key=True),
    Column("occurred_at", UtcMoment, primary_key=True),
    Column("event_number", Integer, primary_key=True, autoincrement=False),
    Column("known_at", UtcMoment),
    Column("event_id", String(ID_LENGTH)),
    Column("facts", JSON, nullable=False),
    Index("one_event_per_id", "portfolio", "event_table", "event_id", unique=True),
    sqlite_with_rowid=False,
)
"""What files brought, replaced as a whole by the next load.

An event's applicant need not be there: applicants come late, and rows of theirs are set aside.
"""

pushed_events = Table(
    "pushed_events",
    metadata,
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("event_table", String(ID_LENGTH), primary_key=True),
    Column("event_id", String(ID_LENGTH), primary_key=True),
    Column("applicant_id", String(ID_LENGTH), nullable=False),
    Column("occurred_at", UtcMoment, nullable=False),
    Column("known_at", UtcMoment),
    Column("facts", JSON, nullable=False),
    Column("source", String(ID_LENGTH), nullable=False),
    Column("message_id", String(ID_LENGTH), nullable=False),
    Column("sent_ms", BigInteger, nullable=False),
    Column("sent_number", BigInteger, nullable=False),
    Column("received_at", UtcMoment, nullable=False),
    Index("pushed_events_by_applicant", "portfolio", "applicant_id"),
    sqlite_with_rowid=False,
)
"""What was pushed: apart from what files brought, so that no load can delete it.

``sent_ms`` and ``sent_number`` are the message's id, and with it the order of receipt. An event that files bring too
counts once, as the files have it.
"""

quarantine = Table(
    "quarantine",
    metadata,
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("event_table", String(ID_LENGTH), primary_key=True),
    Column("event_id", String(ID_LENGTH), primary_key=True),
    Column("digest", String(DIGEST_LENGTH), primary_key=True),
    Column("source", String(ID_LENGTH), nullable=False),
    Column("message_id", String(ID_LENGTH), nullable=False),
    Column("sent_ms", BigInteger, nullable=False),
    Column("sent_number", BigInteger, nullable=False),
    Column("column", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received", Text, nullable=False),
    Column("received_at", UtcMoment, nullable=False),
    Column("readmitted_at", UtcMoment),
)
"""Pushed messages that broke their contract; never deleted, and marked once a retry has re-admitted them.

``digest`` is that of ``received``: the same event, sent again as it was, is set aside once.
"""

loads = Table(
    "loads",
    metadata,
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("content_hash", String(DIGEST_LENGTH), nullable=False),
    Column("loaded_at", UtcMoment, nullable=False),
)
"""Which content of a portfolio the facts tables hold."""
