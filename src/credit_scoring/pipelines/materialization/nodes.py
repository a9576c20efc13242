"""Nodes of the materialization pipeline."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.stored_applicants import StoredApplicants
from credit_scoring.adapters.feature_cache import RedisCacheOptions, redis_feature_cache
from credit_scoring.core.cached_features import Lifetime
from credit_scoring.core.clocks import utc_now
from credit_scoring.core.errors import ContractError, DeclarationError, FeatureCacheError, SettingsError
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.roles import ROLES
from credit_scoring.environment import Environment
from credit_scoring.pipelines.present_roles import present_assignment
from credit_scoring.ports import FeatureCache
from credit_scoring.usecases.assignment import Assignment
from credit_scoring.usecases.materialization import Materialization, Materialized

logger = logging.getLogger(__name__)

_PATIENT = RedisCacheOptions(connect_timeout_s=5, answer_timeout_s=30, max_connections=1)
"""Nobody waits for this run as for a decision."""


class MaterializationOptions(BaseModel):
    """How many applicants are read, computed and kept together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_once: int = Field(default=1_000, gt=0, le=10_000)


def fill_feature_cache(
    portfolio: Portfolio, stored_applicants: StoredApplicants, options: MaterializationOptions
) -> tuple[dict[str, Any], dict[str, float]]:
    """Have Redis hold the features that a decision would read now, and return what was done, also as metrics.

    Raises:
        SettingsError: If no Redis is configured.
        DeclarationError: If a decision's ``as_of`` is another one each second, so that none would be read.
        ContractError: If no applicant is stored.
        FeatureCacheError: If Redis fails, or does not hold what it took; what it holds by then is sound.
        RecordsError: If facts or roles cannot be read.
        RegistryError: If nobody holds the roles yet.
    """
    environment = Environment()
    started, began_at, done = time.monotonic(), utc_now(), Materialized()
    with opened(environment.database_url) as engine, _shared_cache(environment) as cache:
        assignment = present_assignment(portfolio.name, engine)
        plans = {model.bundle.plan.version: model.bundle.plan for model in map(assignment.models.__getitem__, ROLES)}
        _require_lasting(assignment)
        as_of = assignment.portfolio.as_of.moment(None, began_at)
        filling = Materialization(list(plans.values()), FactsRepository(engine), cache, as_of, utc_now)
        applicants = _fill(filling, stored_applicants, environment.owner(portfolio.name), options.at_once, done)
    if not applicants:
        raise ContractError(_nobody(portfolio.name))
    seconds = round(time.monotonic() - started, 3)
    counts = {"applicants": applicants, "rows_written": done.written, "rows_newer": done.newer}
    counts |= {"applicants_removed": done.removed, "rows_failed": done.failed.total()}
    logger.info("Materialized %s rows of %s applicants in %.1f s.", f"{done.written:,}", f"{applicants:,}", seconds)
    told: dict[str, Any] = {"as_of": as_of.isoformat(), "feature_sets": list(plans), "began_at": began_at.isoformat()}
    told |= {"seconds_kept": environment.feature_ttl_s, "seconds": seconds, "failures": dict(done.failed)}
    return counts | told, {name: float(count) for name, count in counts.items()} | {"seconds": seconds}


@contextmanager
def _shared_cache(environment: Environment) -> Iterator[FeatureCache]:
    """Give the cache without its breaker: here a failure is told, and not worked around."""
    if environment.redis_url is None:
        raise SettingsError(
            "CREDIT_REDIS_URL is not set, so each process of the service keeps features in its own memory, which no "
            "other process can fill. Set it here and for the service, or leave the service to fill its own cache."
        )
    lifetime = Lifetime(timedelta(seconds=environment.feature_ttl_s))
    cache = redis_feature_cache(environment.redis_url, lifetime, utc_now, options=_PATIENT)
    try:
        yield cache
    finally:
        cache.close()


def _fill(filling: Materialization, stored: StoredApplicants, owner: Owner, at_once: int, done: Materialized) -> int:
    applicants = 0
    with tqdm(total=stored.count(), desc="materializing", unit=" applicants", disable=None) as bar:
        for ids in _parts(stored, at_once):
            try:
                filling.put([Applicant(owner, one) for one in ids], done)
            except FeatureCacheError as exc:
                raise _interrupted(exc, done) from exc
            applicants += len(ids)
            bar.update(len(ids))
    return applicants


def _parts(stored: Iterable[pl.DataFrame], at_once: int) -> Iterator[list[str]]:
    return (some["applicant_id"].to_list() for page in stored for some in page.iter_slices(at_once))


def _require_lasting(assignment: Assignment) -> None:
    declared = assignment.portfolio.as_of
    if declared.constant is None and declared.granularity == "second":
        raise DeclarationError(
            f"Portfolio '{assignment.portfolio.name}' decides as of the present second, so cached features are of one "
            f"second and would never be read. Declare 'as_of: {{granularity: hour}}' or 'day', or do without this run."
        )


def _interrupted(exc: FeatureCacheError, done: Materialized) -> FeatureCacheError:
    return FeatureCacheError(
        f"{exc} Until then {done.written:,} rows were written, which stay valid; run it again for all of them."
    )


def _nobody(portfolio: str) -> str:
    return (
        f"No facts of '{portfolio}' are stored for this tenant (CREDIT_TENANT). Load them with 'credit-scoring ingest "
        f"--portfolio {portfolio}'."
    )
