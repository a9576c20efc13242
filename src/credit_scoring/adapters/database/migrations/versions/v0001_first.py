"""Roles, decisions and facts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

APPEND_ONLY = ("roles", "decisions")


def upgrade() -> None:
    """Create every table; on SQLite, refuse to change or delete records."""
    op.create_table(
        "roles",
        sa.Column("portfolio", sa.String(128), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.String(128), nullable=False),
        sa.Column("roles", sa.JSON, nullable=False),
    )
    _create_decisions()
    _create_facts()
    if op.get_bind().dialect.name == "sqlite":
        for table in APPEND_ONLY:
            for action in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )


def _create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.String(128), primary_key=True),
        sa.Column("portfolio", sa.String(128), nullable=False),
        sa.Column("application_id", sa.String(128), nullable=False),
        sa.Column("applicant_id", sa.String(128), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_digest", sa.String(64), nullable=False),
        sa.Column("received", sa.JSON, nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("feature_values", sa.JSON, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.UniqueConstraint("portfolio", "application_id", name="one_decision_per_application"),
    )
    op.create_index("decisions_by_applicant", "decisions", ["portfolio", "applicant_id", "decided_at"])


def _create_facts() -> None:
    op.create_table(
        "applicants",
        sa.Column("portfolio", sa.String(128), primary_key=True),
        sa.Column("applicant_id", sa.String(128), primary_key=True),
        sa.Column("facts", sa.JSON, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("portfolio", sa.String(128), primary_key=True),
        sa.Column("applicant_id", sa.String(128), primary_key=True),
        sa.Column("event_table", sa.String(128), primary_key=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), primary_key=True),
        sa.Column("event_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(["portfolio", "applicant_id"], ["applicants.portfolio", "applicants.applicant_id"]),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "loads",
        sa.Column("portfolio", sa.String(128), primary_key=True),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
    )
