"""``Idempotency-Key``s under which decisions were asked for, beside the applications' own ids."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from credit_scoring.adapters.database.schema import idempotency_keys as kept
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import KEY_LIFETIME, ApplicationKey, DecisionRecord

ROUTE = "/v1/decisions"
_DECIDED = 200


def decisions_by_key(
    connection: Connection, keys: Sequence[ApplicationKey], since: datetime
) -> Mapping[ApplicationKey, str]:
    """Return the ids of decisions that were asked for with these keys after ``since``."""
    by_owner: dict[Owner, list[str]] = defaultdict(list)
    for key in keys:
        by_owner[key.owner].append(str(key.idempotency_key))
    found: dict[tuple[Owner, str], str] = {}
    for owner, names in by_owner.items():
        alive = kept.c.claimed_at > since
        query = select(kept.c.key, kept.c.answer).where(*_of(owner), kept.c.key.in_(names), alive)
        found |= {(owner, row.key): row.answer.decode() for row in connection.execute(query)}
    named = {key: found.get((key.owner, str(key.idempotency_key))) for key in keys}
    return {key: decision_id for key, decision_id in named.items() if decision_id is not None}


def keep_keys(connection: Connection, records: Sequence[DecisionRecord]) -> None:
    """Keep the keys that ``records`` were asked for with; a key that has outlived its time makes room."""
    rows = [_row(record) for record in records if record.idempotency_key is not None]
    for row in rows:
        old = kept.c.claimed_at <= row["claimed_at"] - KEY_LIFETIME
        owner = Owner(row["tenant"], row["portfolio"])
        connection.execute(delete(kept).where(*_of(owner), kept.c.key == row["key"], old))
    if rows:
        connection.execute(insert(kept), rows)


def _of(owner: Owner) -> tuple[ColumnElement[bool], ...]:
    return kept.c.tenant == owner.tenant, kept.c.portfolio == owner.portfolio, kept.c.route == ROUTE


def _row(record: DecisionRecord) -> dict[str, Any]:
    return {
        "tenant": record.owner.tenant,
        "portfolio": record.owner.portfolio,
        "route": ROUTE,
        "key": record.idempotency_key,
        "body_digest": record.received_digest,
        "claim": record.answer.decision_id,
        "claimed_at": record.decided_at,
        "status": _DECIDED,
        "answer": record.answer.decision_id.encode(),
    }
