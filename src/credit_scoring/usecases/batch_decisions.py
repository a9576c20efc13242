"""Decides applicants whose facts are stored by the thousand, and tells of each as a row of a table."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from credit_scoring.api.decisions import Decision
from credit_scoring.core.errors import CreditScoringError, InvalidApplicationError
from credit_scoring.core.owners import Owner
from credit_scoring.core.pushed import LONGEST_ID
from credit_scoring.usecases.applications import Application
from credit_scoring.usecases.decide_applications import Answer, Decider

COLUMNS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "application_id": pl.String,
    "applicant_id": pl.String,
    "decision_id": pl.String,
    "points": pl.Int32,
    "points_exact": pl.Float64,
    "prob_default": pl.Float64,
    "band": pl.String,
    "recommendation": pl.String,
    "reason_codes": pl.List(pl.String),
    "arm": pl.String,
    "arm_probability": pl.Float64,
    "decider": pl.String,
    "fallback": pl.Boolean,
    "model": pl.String,
    "model_version": pl.Int32,
    "policy_version": pl.String,
    "feature_set": pl.String,
    "scorer_version": pl.String,
    "as_of": pl.Datetime("us", "UTC"),
    "request_id": pl.String,
    "problem": pl.String,
}
"""One row per application. ``request_id`` names the batch, or the request, that decided it first; ``problem`` is the
code of the error that kept it from being decided, and all but the ids are null then."""

_SAME_NAMES = tuple(name for name in COLUMNS if name not in {"reason_codes", "model", "model_version", "problem"})


@dataclass(frozen=True, slots=True)
class BatchDecisions:
    """Decides rows of applications on the facts that are stored, under the name of a batch.

    ``as_of`` is that of rows without one; None leaves it to the declaration and the clock.
    """

    decider: Decider
    owner: Owner
    batch_id: str
    as_of: datetime | None = None

    def decided(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return ``COLUMNS`` of each row, durable by then, in the order of ``rows``; one harms no other.

        Args:
            rows: Text: ``applicant_id``; where there is one ``application_id``, else it is made from the batch and the
                applicant, so that the batch decides each applicant once, however often it is run; and where there is
                one ``as_of``, ISO 8601 with offset, null or empty where the row has none.

        Raises:
            RecordsError: If the database cannot be read or written; none of ``rows`` was decided then.
        """
        asked = [self._asked(row) for row in rows.iter_rows(named=True)]
        answers = iter(self.decider.decide_many([one for one in asked if isinstance(one, Application)]))
        found = [next(answers) if isinstance(one, Application) else one for one in asked]
        told = [_told(row, one, answer) for row, one, answer in zip(rows.to_dicts(), asked, found, strict=True)]
        return pl.DataFrame(told, schema=COLUMNS)

    def _asked(self, row: Mapping[str, str | None]) -> Application | CreditScoringError:
        try:
            return self._application(row)
        except InvalidApplicationError as exc:
            return exc

    def _application(self, row: Mapping[str, str | None]) -> Application:
        applicant_id = _checked_id("applicant_id", row["applicant_id"])
        given = row["application_id"] if "application_id" in row else application_id_of(self.batch_id, applicant_id)
        received = {"application_id": _checked_id("application_id", given), "applicant_id": applicant_id}
        own = _moment(row.get("as_of"))
        return Application(
            application_id=received["application_id"],
            applicant_id=applicant_id,
            # A body that the API would take, so that the record is read and replayed like any other.
            received=received if own is None else received | {"as_of": own.isoformat()},
            request_id=f"batch:{self.batch_id}",
            as_of=own or self.as_of,
            tenant=self.owner.tenant,
        )


def application_id_of(batch_id: str, applicant_id: str) -> str:
    """Return the application of an applicant in a batch; a batch's name has no colon, so no two meet in one id."""
    named = f"batch:{batch_id}:{applicant_id}"
    if len(named) <= LONGEST_ID:
        return named
    return f"batch:{batch_id}:{hashlib.sha256(applicant_id.encode()).hexdigest()[:40]}"


def _checked_id(name: str, text: str | None) -> str:
    if not text or len(text) > LONGEST_ID or not text.isprintable():
        detail = f"'{name}' must be 1 to {LONGEST_ID} printable characters."
        raise InvalidApplicationError(f"/{name}", "string", detail)
    return text


def _moment(text: str | None) -> datetime | None:
    """Return a row's own ``as_of``, if any; without an offset it would be another moment on each machine."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidApplicationError("/as_of", "moment", "'as_of' must be ISO 8601 with its offset.")


def _told(row: Mapping[str, Any], asked: Application | CreditScoringError, answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Decision):
        reasons = [reason.code for reason in answer.reasons]
        named = {name: getattr(answer, name) for name in _SAME_NAMES}
        return named | {"reason_codes": reasons, "model": answer.model.name, "model_version": answer.model.version}
    ids: dict[str, Any] = {name: row.get(name) for name in ("application_id", "applicant_id")}
    if isinstance(asked, Application):
        ids["application_id"] = asked.application_id
    return ids | {"problem": answer.code}
