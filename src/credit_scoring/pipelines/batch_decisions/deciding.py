"""Puts together what decides a batch, and has it decide part after part while the table is written."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl
from tqdm import tqdm

from credit_scoring.adapters.database.decisions import DecisionRepository
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.stored_applicants import StoredApplicants
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import ContractError, RecordsError
from credit_scoring.core.received import batches
from credit_scoring.environment import Environment
from credit_scoring.pipelines.present_roles import present_assignment
from credit_scoring.usecases.batch_decisions import BatchDecisions
from credit_scoring.usecases.decide_applications import Decider
from credit_scoring.usecases.feature_rows import FeatureRows

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 30.0
"""How long a part waits for the lock of a service that decides meanwhile; nobody waits for a batch."""

_ASKED = ("application_id", "applicant_id", "as_of")


@dataclass(frozen=True, slots=True)
class DecidedParts:
    """Decisions on the rows of ``applications``, in frames of ``at_once``; iterating is what decides and records them.

    A batch without a name is called after the day of its run, in UTC.
    """

    portfolio: str
    applications: Any
    batch_id: str | None
    at_once: int
    challenger_budget_s: float

    def __iter__(self) -> Iterator[pl.DataFrame]:
        batch_id = self.batch_id or utc_now().date().isoformat()
        done = 0
        with _deciding(self.portfolio, batch_id, self.challenger_budget_s) as batch, self._progress() as bar:
            for rows in self._rows():
                try:
                    told = batch.decided(rows)
                except RecordsError as exc:
                    raise _interrupted(exc, batch_id, done) from exc
                done += told.height
                bar.update(told.height)
                yield told
        if not done:
            raise ContractError(_nobody(self.portfolio))
        logger.info("Decided batch '%s': %s applications, each on record once.", batch_id, f"{done:,}")

    def _rows(self) -> Iterator[pl.DataFrame]:
        for part in batches(self.applications, "raw_batch_applications", self.at_once):
            if "applicant_id" not in part.rows.columns:
                raise ContractError(
                    "'raw_batch_applications' has no column 'applicant_id'. It takes that column, and 'application_id' "
                    "and 'as_of' where they are known; correct the table or its entry in conf/*/catalog*.yml."
                )
            rows = part.rows.select(name for name in _ASKED if name in part.rows.columns)
            yield from (some for some in rows.iter_slices(self.at_once) if some.height)

    def _progress(self) -> Any:
        stored = self.applications
        total = stored.count() if isinstance(stored, StoredApplicants) else None
        return tqdm(total=total, desc="deciding", unit=" applications", disable=None)  # a file of logs needs no bar


@contextmanager
def _deciding(portfolio: str, batch_id: str, challenger_budget_s: float) -> Iterator[BatchDecisions]:
    environment = Environment()
    engine = open_database(environment.database_url, busy_timeout_s=BUSY_TIMEOUT_S)
    try:
        assignment = present_assignment(portfolio, engine)
        decider = Decider(
            lambda: assignment,
            FeatureRows(FactsRepository(engine)),  # without a cache: only the facts say what is decided
            DecisionRepository(engine),
            challenger_budget_s=lambda _applications: challenger_budget_s,
        )
        declared = assignment.portfolio.as_of
        # One moment for all, also when midnight passes meanwhile.
        as_of = declared.moment(None, utc_now()) if declared.constant is None else None
        yield BatchDecisions(decider, environment.owner(portfolio), batch_id, as_of)
    finally:
        engine.dispose()


def _interrupted(exc: RecordsError, batch_id: str, done: int) -> RecordsError:
    return RecordsError(
        f"{exc} Batch '{batch_id}' had decided {done:,} applications by then, which are on record. Once that is "
        f"mended, run it again with --params=batch_decisions.batch_id={batch_id}: they keep their answers, and the "
        f"rest is decided."
    )


def _nobody(portfolio: str) -> str:
    return (
        f"There is nobody to decide: no facts of '{portfolio}' are stored for this tenant (CREDIT_TENANT), or "
        f"'raw_batch_applications' has no rows. 'credit-scoring ingest --portfolio {portfolio}' loads the facts."
    )
