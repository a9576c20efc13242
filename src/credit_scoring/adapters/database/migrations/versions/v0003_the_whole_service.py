"""Tenants on every row; decisions as chained records; keys, idempotency, and what issue by issue follows a decision."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from credit_scoring.core.chains import GENESIS, link

revision = "0003"
down_revision = "0002"

APPEND_ONLY = ("roles", "decisions", "final_actions", "outcomes", "promotions")
TENANT = "default"
WRITER = "migration-0003"
_AT_ONCE = 500

ID = sa.String(128)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Rebuild the tables of facts with a tenant, chain the decisions, and create what is new."""
    for trigger in ("roles_no_update", "roles_no_delete", "decisions_no_update", "decisions_no_delete"):
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER {trigger}")
    for table, indexes in _FACTS.items():
        _with_tenant(table, indexes)
    _create_facts()
    _chain_decisions()
    _create_records()
    _create_access()
    for table in APPEND_ONLY:
        _make_append_only(table)


_FACTS: Mapping[str, Sequence[tuple[str, Sequence[str], bool]]] = {
    "applicants": (),
    "events": (("one_event_per_id", ("portfolio", "event_table", "event_id"), True),),
    "pushed_events": (("pushed_events_by_applicant", ("portfolio", "applicant_id"), False),),
    "quarantine": (),
    "loads": (),
}
"""Tables of facts with their indexes: name, columns, whether unique."""


def _with_tenant(table: str, indexes: Sequence[tuple[str, Sequence[str], bool]]) -> None:
    """Copy a table into one whose key begins with the tenant; neither database can widen a key in place alike."""
    connection = op.get_bind()
    inspector = sa.inspect(connection)
    key = inspector.get_pk_constraint(table)["constrained_columns"]
    columns = [
        sa.Column(c["name"], c["type"], primary_key=c["name"] in key, nullable=c["nullable"], autoincrement=False)
        for c in inspector.get_columns(table)
    ]
    without_rowid = connection.dialect.name == "sqlite" and table in ("events", "pushed_events")
    op.create_table(
        f"{table}_of_tenants",
        sa.Column("tenant", ID, primary_key=True),
        *columns,
        **({"sqlite_with_rowid": False} if without_rowid else {}),
    )
    names = ", ".join(f'"{column.name}"' for column in columns)
    op.execute(f"INSERT INTO {table}_of_tenants (tenant, {names}) SELECT '{TENANT}', {names} FROM {table}")  # noqa: S608 - names of this schema
    op.drop_table(table)
    op.rename_table(f"{table}_of_tenants", table)
    for name, indexed, unique in indexes:
        op.create_index(name, table, ["tenant", *indexed], unique=unique)


def _create_facts() -> None:
    owner = [sa.Column(name, ID, primary_key=True) for name in ("tenant", "portfolio", "applicant_id")]
    op.create_table(
        "pushed_applicants",
        *owner,
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
    )
    owner = [sa.Column(name, ID, primary_key=True) for name in ("tenant", "portfolio", "applicant_id")]
    op.create_table("facts_revisions", *owner, sa.Column("revision", sa.BigInteger, nullable=False))


def _chain_decisions() -> None:
    op.create_table(
        "chained_decisions",
        sa.Column("decision_id", ID, primary_key=True),
        *(sa.Column(n, ID, nullable=False) for n in ("tenant", "portfolio", "application_id", "applicant_id")),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.Column("writer", ID, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.UniqueConstraint("writer", "sequence", name="one_record_per_link"),
    )
    _copy_decisions()
    op.drop_table("decisions")
    op.rename_table("chained_decisions", "decisions")
    owner = ["tenant", "portfolio"]
    with op.batch_alter_table("decisions") as batch:
        batch.create_unique_constraint("one_decision_per_application", [*owner, "application_id"])
    op.create_index("decisions_by_applicant", "decisions", [*owner, "applicant_id", "decided_at", "decision_id"])
    op.create_index("decisions_by_time", "decisions", [*owner, "decided_at", "decision_id"])


def _copy_decisions() -> None:
    """Chain what was decided before there were chains, in order of decision, as one writer's records."""
    connection = op.get_bind()
    old = sa.Table("decisions", sa.MetaData(), autoload_with=connection)
    new = sa.Table("chained_decisions", sa.MetaData(), autoload_with=connection)
    ordered = sa.select(old).order_by(old.c.decided_at, old.c.decision_id)
    rows = connection.execute(ordered, execution_options={"yield_per": _AT_ONCE})
    sequence, previous = 0, GENESIS
    for some in rows.partitions():
        values = []
        for row in some:
            sequence += 1
            content = _content(row._asdict())
            made = link(WRITER, sequence, previous, content)
            previous = made.hash
            told = {name: getattr(row, name) for name in ("decision_id", "portfolio", "application_id", "applicant_id")}
            chain = {"writer": WRITER, "sequence": sequence, "previous_hash": made.previous_hash, "hash": made.hash}
            values.append(told | chain | {"tenant": TENANT, "decided_at": row.decided_at, "content": content})
        connection.execute(sa.insert(new), values)


def _content(row: Mapping[str, Any]) -> str:
    """Return an old record in the form of today's; when its features were read was not kept."""
    decided_at: datetime = row["decided_at"]
    moment = decided_at.replace(tzinfo=UTC) if decided_at.tzinfo is None else decided_at.astimezone(UTC)
    answer = row["answer"]
    features = {
        name: {"source": answer["features_from"], "observed_at": None, "values": values}
        for name, values in row["feature_values"].items()
    }
    content = {
        "tenant": TENANT,
        "portfolio": row["portfolio"],
        "decided_at": moment.isoformat(),
        "answer": answer,
        "received": row["received"],
        "received_digest": row["received_digest"],
        "features": features,
        "scores": row["scores"],
        "roles_sequence": None,
        "idempotency_key": None,
        "key_id": None,
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _create_records() -> None:
    owner = ("tenant", "portfolio")
    recorded = ("recorded_at", MOMENT), ("recorded_by", ID)
    op.create_table(
        "final_actions",
        sa.Column("decision_id", ID, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        *(sa.Column(name, ID, nullable=False) for name in owner),
        *(sa.Column(name, kind, nullable=False) for name, kind in recorded),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "outcomes",
        *(sa.Column(name, ID, primary_key=True) for name in (*owner, "application_id")),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("recorded_by", ID, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "promotions",
        sa.Column("promotion_id", ID, primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("portfolio", ID, nullable=False),
        *(sa.Column(name, kind, nullable=False) for name, kind in recorded),
        sa.Column("step", ID, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )


def _create_access() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", ID, primary_key=True),
        *(sa.Column(name, ID, nullable=False) for name in ("tenant", "name", "person")),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("secret_digest", sa.String(64), nullable=False),
        sa.Column("development", sa.Boolean, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
    )
    op.create_table(
        "idempotency_keys",
        *(sa.Column(name, ID, primary_key=True) for name in ("tenant", "portfolio", "route", "key")),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column("claim", ID, nullable=False),
        sa.Column("claimed_at", MOMENT, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("answer", sa.LargeBinary),
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["claimed_at"])


def _make_append_only(table: str) -> None:
    told = f"{table} is append-only"
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{told}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{told}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()"
    )
