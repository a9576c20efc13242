"""The tables, as the newest migration leaves them."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
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
    Column("tenant", String(ID_LENGTH), nullable=False),
    Column("portfolio", String(ID_LENGTH), nullable=False),
    Column("application_id", String(ID_LENGTH), nullable=False),
    Column("applicant_id", String(ID_LENGTH), nullable=False),
    Column("decided_at", UtcMoment, nullable=False),
    Column("writer", String(ID_LENGTH), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("previous_hash", String(DIGEST_LENGTH), nullable=False),
    Column("hash", String(DIGEST_LENGTH), nullable=False),
    Column("content", Text, nullable=False),
    UniqueConstraint("tenant", "portfolio", "application_id", name="one_decision_per_application"),
    UniqueConstraint("writer", "sequence", name="one_record_per_link"),
    Index("decisions_by_applicant", "tenant", "portfolio", "applicant_id", "decided_at", "decision_id"),
    Index("decisions_by_time", "tenant", "portfolio", "decided_at", "decision_id"),
)
"""Append-only: ``content`` is the record as JSON text, chained by ``hash`` (``core.chains``); what else is told of it
here repeats what stands in the content, for looking it up."""

final_actions = Table(
    "final_actions",
    metadata,
    Column("decision_id", String(ID_LENGTH), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("tenant", String(ID_LENGTH), nullable=False),
    Column("portfolio", String(ID_LENGTH), nullable=False),
    Column("recorded_at", UtcMoment, nullable=False),
    Column("recorded_by", String(ID_LENGTH), nullable=False),
    Column("content", Text, nullable=False),
)
"""Append-only: what a human did with a decision; the highest ``sequence`` holds."""

outcomes = Table(
    "outcomes",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("application_id", String(ID_LENGTH), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("received_at", UtcMoment, nullable=False),
    Column("recorded_by", String(ID_LENGTH), nullable=False),
    Column("content", Text, nullable=False),
)
"""Append-only: what became of a loan, as it was reported; a correction has a higher ``sequence``."""

promotions = Table(
    "promotions",
    metadata,
    Column("promotion_id", String(ID_LENGTH), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("portfolio", String(ID_LENGTH), nullable=False),
    Column("recorded_at", UtcMoment, nullable=False),
    Column("recorded_by", String(ID_LENGTH), nullable=False),
    Column("step", String(ID_LENGTH), nullable=False),
    Column("content", Text, nullable=False),
)
"""Append-only: each step of a promotion, from its proposal (``sequence`` 1) to its approval, withdrawal or undoing."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(ID_LENGTH), primary_key=True),
    Column("tenant", String(ID_LENGTH), nullable=False),
    Column("name", String(ID_LENGTH), nullable=False),
    Column("person", String(ID_LENGTH), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("secret_digest", String(DIGEST_LENGTH), nullable=False),
    Column("development", Boolean, nullable=False),
    Column("created_at", UtcMoment, nullable=False),
    Column("expires_at", UtcMoment),
    Column("revoked_at", UtcMoment),
)
"""Keys of the API; of a key's secret only the digest is kept."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("route", String(ID_LENGTH), primary_key=True),
    Column("key", String(ID_LENGTH), primary_key=True),
    Column("body_digest", String(DIGEST_LENGTH), nullable=False),
    Column("claim", String(ID_LENGTH), nullable=False),
    Column("claimed_at", UtcMoment, nullable=False),
    Column("status", Integer),
    Column("answer", LargeBinary),
    Index("idempotency_keys_by_age", "claimed_at"),
)
"""What was answered under an ``Idempotency-Key``; without a ``status`` the request is still in progress."""

applicants = Table(
    "applicants",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("applicant_id", String(ID_LENGTH), primary_key=True),
    Column("facts", JSON, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("applicant_id", String(ID_LENGTH), primary_key=True),
    Column("event_table", String(ID_LENGTH), primary_key=True),
    Column("occurred_at", UtcMoment, primary_key=True),
    Column("event_number", Integer, primary_key=True, autoincrement=False),
    Column("known_at", UtcMoment),
    Column("event_id", String(ID_LENGTH)),
    Column("facts", JSON, nullable=False),
    Index("one_event_per_id", "tenant", "portfolio", "event_table", "event_id", unique=True),
    sqlite_with_rowid=False,
)
"""What files brought, replaced as a whole by the next load.

An event's applicant need not be there: applicants come late, and rows of theirs are set aside.
"""

pushed_events = Table(
    "pushed_events",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
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
    Index("pushed_events_by_applicant", "tenant", "portfolio", "applicant_id"),
    sqlite_with_rowid=False,
)
"""What was pushed: apart from what files brought, so that no load can delete it.

``sent_ms`` and ``sent_number`` are the message's id, and with it the order of receipt. An event that files bring too
counts once, as the files have it.
"""

pushed_applicants = Table(
    "pushed_applicants",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("applicant_id", String(ID_LENGTH), primary_key=True),
    Column("received_at", UtcMoment, nullable=False),
    Column("facts", JSON, nullable=False),
)
"""Applicants' fields that were pushed; they hold until a later load brings the applicant."""

facts_revisions = Table(
    "facts_revisions",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("applicant_id", String(ID_LENGTH), primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
"""How often an applicant's facts were pushed: with the loaded content's hash it names the state of the facts."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("tenant", String(ID_LENGTH), primary_key=True),
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
    Column("tenant", String(ID_LENGTH), primary_key=True),
    Column("portfolio", String(ID_LENGTH), primary_key=True),
    Column("content_hash", String(DIGEST_LENGTH), nullable=False),
    Column("loaded_at", UtcMoment, nullable=False),
)
"""Which content of a portfolio the facts tables hold."""
