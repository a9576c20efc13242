"""Events known later than they occurred, events with ids, pushed events, quarantine of what was pushed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEPT = "portfolio, applicant_id, event_table, occurred_at, event_number, facts"


def upgrade() -> None:
    """Widen the events, which no longer need their applicant, and create the tables of what is pushed."""
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_events()
    else:
        _alter_events()
    op.create_index("one_event_per_id", "events", ["portfolio", "event_table", "event_id"], unique=True)
    _create_pushed_events()
    _create_quarantine()


def _rebuild_events() -> None:
    """SQLite cannot drop a constraint; the rows are copied."""
    op.create_table(
        "events_with_ids",
        sa.Column("portfolio", sa.String(128), primary_key=True),
        sa.Column("applicant_id", sa.String(128), primary_key=True),
        sa.Column("event_table", sa.String(128), primary_key=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("event_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("known_at", sa.DateTime(timezone=True)),
        sa.Column("event_id", sa.String(128)),
        sa.Column("facts", sa.JSON, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(f"INSERT INTO events_with_ids ({_KEPT}) SELECT {_KEPT} FROM events")  # noqa: S608 - a constant
    op.drop_table("events")
    op.rename_table("events_with_ids", "events")


def _alter_events() -> None:
    for key in sa.inspect(op.get_bind()).get_foreign_keys("events"):
        op.drop_constraint(str(key["name"]), "events", type_="foreignkey")
    op.add_column("events", sa.Column("known_at", sa.DateTime(timezone=True)))
    op.add_column("events", sa.Column("event_id", sa.String(128)))


def _create_pushed_events() -> None:
    op.create_table(
        "pushed_events",
        sa.Column("portfolio", sa.String(128), primary_key=True),
        sa.Column("event_table", sa.String(128), primary_key=True),
        sa.Column("event_id", sa.String(128), primary_key=True),
        sa.Column("applicant_id", sa.String(128), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_at", sa.DateTime(timezone=True)),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("sent_ms", sa.BigInteger, nullable=False),
        sa.Column("sent_number", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("pushed_events_by_applicant", "pushed_events", ["portfolio", "applicant_id"])


def _create_quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("portfolio", sa.String(128), primary_key=True),
        sa.Column("event_table", sa.String(128), primary_key=True),
        sa.Column("event_id", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("sent_ms", sa.BigInteger, nullable=False),
        sa.Column("sent_number", sa.BigInteger, nullable=False),
        sa.Column("column", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("received", sa.Text, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("readmitted_at", sa.DateTime(timezone=True)),
    )
