"""Ports on plain dictionaries: for tests and notebooks; nothing outlives the process."""

from threading import Lock

from credit_scoring.core.records import DecisionRecord


class InMemoryDecisionBook:
    """``DecisionBook`` without a disk."""

    def __init__(self) -> None:
        self._by_application: dict[tuple[str, str], DecisionRecord] = {}
        self._lock = Lock()

    def add(self, record: DecisionRecord) -> DecisionRecord:
        """See ``DecisionBook.add``."""
        with self._lock:
            return self._by_application.setdefault((record.portfolio, record.answer.application_id), record)

    def get(self, portfolio: str, decision_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.get``."""
        own = (record for (name, _), record in self._by_application.items() if name == portfolio)
        return next((record for record in own if record.answer.decision_id == decision_id), None)

    def by_application(self, portfolio: str, application_id: str) -> DecisionRecord | None:
        """See ``DecisionBook.by_application``."""
        return self._by_application.get((portfolio, application_id))
