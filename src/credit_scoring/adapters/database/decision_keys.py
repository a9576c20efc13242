"""``Idempotency-Key``s under which decisions were asked for, beside the applications' own ids."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, select

from credit_scoring.adapters.database.direct import Direct, Prepared, PreparedInsert, Step
from credit_scoring.adapters.database.lists import asked_for, list_of
from credit_scoring.adapters.database.schema import idempotency_keys as kept
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import KEY_LIFETIME, ApplicationKey, DecisionRecord

ROUTE = "/v1/decisions"
_DECIDED = 200


class DecisionKeys:
    """Keys that named decisions; written by ``kept``'s steps, in the transaction that adds the decisions."""

    def __init__(self, direct: Direct) -> None:
        dialect = direct.dialect
        asked = asked_for(dialect.name)
        alive = and_(_of_owner(), kept.c.key == asked.c.value, kept.c.claimed_at > bindparam("since"))
        outlived = and_(_of_owner(), kept.c.key == bindparam("named"), kept.c.claimed_at <= bindparam("until"))
        self._direct = direct
        self._decided = Prepared(select(kept.c.key, kept.c.answer).select_from(asked).join(kept, alive), dialect)
        self._forget = Prepared(delete(kept).where(outlived), dialect)
        self._insert = PreparedInsert(kept, dialect)

    def decided(self, keys: Sequence[ApplicationKey], since: datetime) -> Mapping[ApplicationKey, str]:
        """Return the ids of decisions that were asked for with these keys after ``since``."""
        by_owner: dict[Owner, list[str]] = defaultdict(list)
        for key in keys:
            by_owner[key.owner].append(str(key.idempotency_key))
        found: dict[tuple[Owner, str], str] = {}
        for owner, names in by_owner.items():
            asked = {"ids": list_of(self._direct.dialect.name, names), "since": self._direct.moment(since)}
            rows = self._direct.rows(self._decided.step(owner._asdict() | asked))
            found |= {(owner, name): answer.decode() for name, answer in rows}
        named = {key: found.get((key.owner, str(key.idempotency_key))) for key in keys}
        return {key: decision_id for key, decision_id in named.items() if decision_id is not None}

    def kept(self, records: Sequence[DecisionRecord]) -> list[Step]:
        """Return what keeps the keys that ``records`` were asked for with; one that outlived its time makes room."""
        with_key = [record for record in records if record.idempotency_key is not None]
        if not with_key:
            return []
        return [
            *(self._forget.step(self._outlived(record)) for record in with_key),
            self._insert.step([self._row(record) for record in with_key]),
        ]

    def _outlived(self, record: DecisionRecord) -> dict[str, Any]:
        until = self._direct.moment(record.decided_at - KEY_LIFETIME)
        return record.owner._asdict() | {"named": record.idempotency_key, "until": until}

    def _row(self, record: DecisionRecord) -> tuple[Any, ...]:
        answer = record.answer.decision_id
        key = *record.owner, ROUTE, record.idempotency_key
        at = self._direct.moment(record.decided_at)
        return *key, record.received_digest, answer, at, _DECIDED, answer.encode()


def _of_owner() -> ColumnElement[bool]:
    whose = and_(kept.c.tenant == bindparam("tenant"), kept.c.portfolio == bindparam("portfolio"))
    return and_(whose, kept.c.route == ROUTE)
