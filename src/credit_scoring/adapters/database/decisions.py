"""Decision records as rows that are only ever added."""

from typing import Any

from sqlalchemy import Engine, Row, Select, insert, select
from sqlalchemy.exc import IntegrityError

from credit_scoring.adapters.database.engine import writing
from credit_scoring.adapters.database.failures import told_as_records_error
from credit_scoring.adapters.database.schema import decisions
from credit_scoring.core.errors import RecordsError
from credit_scoring.core.records import Decision, DecisionRecord, ModelOutput


class DecisionRepository:
    """``DecisionBook`` in the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, record: DecisionRecord) -> DecisionRecord:
        """See ``DecisionBook.add``."""
        with told_as_records_error("recording a decision"):
            try:
                with writing(self._engine).begin() as connection:
                    connection.execute(insert(decisions).values(_row(record)))
            except IntegrityError as exc:
                earlier = self.by_application(record.portfolio, record.answer.application_id)
                if earlier is None:
                    raise RecordsError("The decision's id is taken. Send the application again.") from exc
                return earlier
        return record

    def get(self, portfolio: str, decision_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.get``."""
        return self._one(_of(portfolio).where(decisions.c.decision_id == decision_id))

    def by_application(self, portfolio: str, application_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.by_application``."""
        return self._one(_of(portfolio).where(decisions.c.application_id == application_id))

    def _one(self, query: Select[Any]) -> DecisionRecord | None:
        with told_as_records_error("reading a decision"), self._engine.begin() as connection:
            found = connection.execute(query).one_or_none()
        return None if found is None else _record(found)


def _of(portfolio: str) -> Select[Any]:
    return select(decisions).where(decisions.c.portfolio == portfolio)


def _row(record: DecisionRecord) -> dict[str, Any]:
    answer = record.answer
    return {
        "decision_id": answer.decision_id,
        "portfolio": record.portfolio,
        "application_id": answer.application_id,
        "applicant_id": answer.applicant_id,
        "decided_at": record.decided_at,
        "received_digest": record.received_digest,
        "received": record.received,
        "answer": answer.model_dump(mode="json"),
        "feature_values": {name: dict(values) for name, values in record.feature_values.items()},
        "scores": {role: output.model_dump(mode="json") for role, output in record.scores.items()},
    }


def _record(row: Row[Any]) -> DecisionRecord:
    return DecisionRecord(
        portfolio=row.portfolio,
        decided_at=row.decided_at,
        answer=Decision.model_validate(row.answer),
        received=row.received,
        received_digest=row.received_digest,
        feature_values=row.feature_values,
        scores={role: ModelOutput.model_validate(output) for role, output in row.scores.items()},
    )
