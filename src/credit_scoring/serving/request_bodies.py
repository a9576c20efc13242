"""The bodies of requests as the models in role declare them; made anew only when the roles change."""

from collections.abc import Callable, Mapping

from pydantic import BaseModel

from credit_scoring.core.portfolio import Portfolio
from credit_scoring.serving.schemas import application_body
from credit_scoring.usecases.assignment import Assignment


class RequestBodies:
    """Bodies under the assignment that holds: the union of what both declarations take."""

    def __init__(self, assignment: Callable[[], Assignment]) -> None:
        self._assignment = assignment
        self._made: tuple[tuple[str, str], type[BaseModel]] | None = None

    @property
    def declared(self) -> tuple[Portfolio, Portfolio]:
        """The declarations of champion and challenger."""
        models = self._assignment().models
        return models["champion"].bundle.portfolio, models["challenger"].bundle.portfolio

    @property
    def application(self) -> type[BaseModel]:
        """The body of one application."""
        models = self._assignment().models
        key = models["champion"].ref.digest, models["challenger"].ref.digest
        if self._made is None or self._made[0] != key:
            self._made = key, application_body(*self.declared)
        return self._made[1]

    @property
    def described(self) -> Mapping[str, type[BaseModel]]:
        """Bodies by their names in the API's description."""
        return {self.application.__name__: self.application}
