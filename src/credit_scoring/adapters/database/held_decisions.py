"""Which applications were decided before: asked in every turn, and nearly always answered by nothing."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnClause, and_, bindparam, literal_column, select

from credit_scoring.adapters.database.decision_keys import DecisionKeys
from credit_scoring.adapters.database.direct import Direct, Prepared
from credit_scoring.adapters.database.lists import asked_for, list_of
from credit_scoring.adapters.database.schema import decisions
from credit_scoring.core.owners import Owner
from credit_scoring.core.records import ApplicationKey, DecisionRecord, record_of

_ONE: ColumnClause[int] = literal_column("1")  # not a parameter: a server plans for what it knows


class HeldDecisions:
    """Records by application or ``Idempotency-Key``, with one question for each owner, and one more for keys."""

    def __init__(self, direct: Direct) -> None:
        rows, dialect = decisions.c, direct.dialect
        asked = asked_for(dialect.name)
        of_owner = and_(rows.tenant == bindparam("tenant"), rows.portfolio == bindparam("portfolio"))
        # One look-up for each id. PostgreSQL must do it by the index that is in the order asked for: while nobody has
        # counted the rows, it takes a plain equality, or a join, for the work of any index that begins with the owner.
        this = rows.application_id.between(asked.c.value, asked.c.value)
        decided = select(rows.content).where(of_owner, this).order_by(rows.application_id).limit(_ONE).scalar_subquery()
        named = select(rows.content).where(rows.decision_id == asked.c.value).scalar_subquery()
        self.keys = DecisionKeys(direct)
        self._direct = direct
        self._by_application = Prepared(select(asked.c.value, decided).select_from(asked), dialect)
        self._by_id = Prepared(select(asked.c.value, named).select_from(asked), dialect)

    def of(self, keys: Sequence[ApplicationKey], keys_since: datetime) -> list[DecisionRecord | None]:
        """Return the record that each key names, where a key of ``Idempotency-Key`` was kept after ``keys_since``."""
        by_application = self._decided(keys)
        with_key = [key for key in keys if key.idempotency_key is not None]
        if not with_key:
            return [by_application.get((key.owner, key.application_id)) for key in keys]
        by_key = self.keys.decided(with_key, keys_since)
        named = self._records(self._by_id, list(by_key.values()))
        return [
            named[by_key[key]] if key in by_key else by_application.get((key.owner, key.application_id)) for key in keys
        ]

    def _decided(self, keys: Sequence[ApplicationKey]) -> dict[tuple[Owner, str], DecisionRecord]:
        by_owner: dict[Owner, list[str]] = defaultdict(list)
        for key in keys:
            by_owner[key.owner].append(key.application_id)
        return {
            (owner, application_id): record
            for owner, ids in by_owner.items()
            for application_id, record in self._records(self._by_application, ids, owner).items()
        }

    def _records(self, question: Prepared, ids: Sequence[str], owner: Owner | None = None) -> dict[str, DecisionRecord]:
        if not ids:
            return {}
        whose = {} if owner is None else {"tenant": owner.tenant, "portfolio": owner.portfolio}
        asked = question.step({**whose, "ids": list_of(self._direct.dialect.name, ids)})
        return {name: record_of(content) for name, content in self._direct.rows(asked) if content is not None}
