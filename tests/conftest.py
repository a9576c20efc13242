"""Shared by all tests: Hypothesis profile, the real portfolio and data, and bundles fitted once a session."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from databases import database_url
from hypothesis import HealthCheck, settings
from servers import postgres_url, redis_url, s3_server

from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.features.engines import with_as_of
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.scoring import Matrix, ModelBundle
from credit_scoring.core.splitting import assign_parts
from credit_scoring.core.table_checks import CheckedTables, check_rows
from credit_scoring.core.tables import application_table, event_tables, midnight, outcome_table
from credit_scoring.core.training.candidates import fit_candidate
from credit_scoring.core.training.development import Development, development_part
from credit_scoring.core.training.options import BoostedTreesOptions, CandidateOptions, ScorecardOptions

__all__ = ["database_url", "postgres_url", "redis_url", "s3_server"]  # fixtures that every test may ask for

ROOT = Path(__file__).parents[1]
SAMPLE = 3_000

settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-golden", action="store_true", help="rewrite the files in tests/golden")
    parser.addoption("--update-readme", action="store_true", help="write what the README's commands print into it")


@pytest.fixture(scope="session")
def taiwan() -> Portfolio:
    return read_portfolio(ROOT / "conf" / "taiwan_cards" / "portfolio.yml")


@pytest.fixture(scope="session")
def taiwan_raw() -> pl.DataFrame:
    return pl.read_csv(ROOT / "data" / "1_raw" / "taiwan_cards" / "applicants.csv.gz", infer_schema=False)


@pytest.fixture(scope="session")
def taiwan_checked(taiwan_raw: pl.DataFrame, taiwan: Portfolio) -> CheckedTables:
    return check_rows({"applicants": taiwan_raw}, taiwan)


@pytest.fixture(scope="session")
def taiwan_tables(taiwan_checked: CheckedTables, taiwan: Portfolio) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Applicants with ``as_of``, and events, of everybody."""
    assert taiwan.as_of.constant is not None
    moment = midnight(taiwan.as_of.constant)
    applicants = with_as_of(application_table(taiwan_checked.valid, taiwan).collect(), moment)
    return applicants, {table: rows.collect() for table, rows in event_tables(taiwan_checked.valid, taiwan).items()}


@pytest.fixture(scope="session")
def taiwan_features(taiwan_tables: tuple[pl.DataFrame, dict[str, pl.DataFrame]], taiwan: Portfolio) -> pl.DataFrame:
    applicants, events = taiwan_tables
    return FeatureSet.of(taiwan).compute(applicants, events)


@pytest.fixture(scope="session")
def development(taiwan_features: pl.DataFrame, taiwan_checked: CheckedTables, taiwan: Portfolio) -> Development:
    """A small development part: the first ``SAMPLE`` applicants of the real one."""
    parts = assign_parts(taiwan_features.select("applicant_id"), taiwan.split)
    whole = development_part(taiwan, taiwan_features, outcome_table(taiwan_checked.valid, taiwan).collect(), parts)
    return whole.rows(np.arange(SAMPLE))


@pytest.fixture(scope="session")
def scorecard_bundle(development: Development) -> ModelBundle:
    options = CandidateOptions(fit=ScorecardOptions(algorithm="scorecard"), calibration={"folds": 2})
    return fit_candidate("scorecard", development, options).bundle


@pytest.fixture(scope="session")
def boosted_trees_bundle(development: Development) -> ModelBundle:
    fit = BoostedTreesOptions(algorithm="boosted_trees", rounds=40, max_depth=4, learning_rate=0.15)
    options = CandidateOptions(fit=fit, calibration={"folds": 2})
    return fit_candidate("boosted_trees", development, options).bundle


@pytest.fixture(scope="session", params=["scorecard", "boosted_trees"])
def bundle(request: pytest.FixtureRequest) -> ModelBundle:
    """Each of the two fitted bundles in turn."""
    found: ModelBundle = request.getfixturevalue(f"{request.param}_bundle")
    return found


@pytest.fixture(scope="session")
def matrix(development: Development) -> Matrix:
    """Feature rows with missing values and special states sprinkled in, ``(400, p)``."""
    rows = development.features[:400].copy()
    generator = np.random.default_rng(7)
    rows[generator.random(rows.shape) < 0.1] = np.nan
    return rows
