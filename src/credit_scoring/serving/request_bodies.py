"""The bodies of requests as the models in role declare them; made anew only when the roles change."""

from collections.abc import Callable, Mapping

from pydantic import BaseModel

from credit_scoring.core.portfolio import Portfolio
from credit_scoring.serving.applicant_bodies import ApplicantBodies, applicant_bodies
from credit_scoring.serving.schemas import application_body
from credit_scoring.usecases.assignment import Assignment


class RequestBodies:
    """Bodies under the assignment that holds: the union of what both declarations take."""

    def __init__(self, assignment: Callable[[], Assignment]) -> None:
        self._assignment = assignment
        self._made: tuple[tuple[str, str], type[BaseModel], ApplicantBodies] | None = None

    @property
    def declared(self) -> tuple[Portfolio, Portfolio]:
        """The declarations of champion and challenger."""
        models = self._assignment().models
        return models["champion"].bundle.portfolio, models["challenger"].bundle.portfolio

    @property
    def application(self) -> type[BaseModel]:
        """The body of one application."""
        return self._all[1]

    @property
    def applicant(self) -> ApplicantBodies:
        """The bodies of an applicant's facts."""
        return self._all[2]

    @property
    def described(self) -> Mapping[str, type[BaseModel]]:
        """Bodies by their names in the API's description."""
        _, application, applicant = self._all
        return {
            application.__name__: application,
            "ApplicantFields": applicant.fields,
            "ApplicantEvents": applicant.events,
        }

    @property
    def _all(self) -> tuple[tuple[str, str], type[BaseModel], ApplicantBodies]:
        models = self._assignment().models
        champion, challenger = models["champion"], models["challenger"]
        key = champion.ref.digest, challenger.ref.digest
        made = self._made
        if made is None or made[0] != key:
            declared = champion.bundle.portfolio, challenger.bundle.portfolio
            made = self._made = key, application_body(*declared), applicant_bodies(*declared)
        return made
