"""Reads the bodies of recorded decisions again, as the declarations that held then have them."""

from pydantic import BaseModel, ValidationError

from credit_scoring.core.callers import Caller
from credit_scoring.core.errors import InvalidApplicationError
from credit_scoring.core.records import DecisionRecord
from credit_scoring.serving.http_errors import pointer
from credit_scoring.serving.schemas import Sender, application_body, to_application
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.assignment import RoleModel

_MOST_MODELS = 32


class ReceivedBodies:
    """Gives applications of recorded bodies; the model of each pair of declarations is made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], type[BaseModel]] = {}

    def read(self, record: DecisionRecord, champion: RoleModel, challenger: RoleModel) -> Application:
        """Return the application as it was decided.

        Raises:
            InvalidApplicationError: If the declarations refuse it; where, and never which value.
        """
        answer, model = record.answer, self._model(champion, challenger)
        caller = Caller(record.key_id or "", record.owner.tenant, "", frozenset())
        sender = Sender(caller, answer.request_id, record.idempotency_key)
        try:
            return to_application(model.model_validate(record.received), record.received, sender)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
            raise InvalidApplicationError(
                pointer(first["loc"]), first["type"], "The recorded body is not what its models declare."
            ) from None

    def _model(self, champion: RoleModel, challenger: RoleModel) -> type[BaseModel]:
        key = champion.ref.digest, challenger.ref.digest
        model = self._made.get(key)
        if model is None:
            if len(self._made) >= _MOST_MODELS:
                self._made = {}
            model = self._made[key] = application_body(champion.bundle.portfolio, challenger.bundle.portfolio)
        return model
