from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from sqlalchemy import Engine
from tenants import owned

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed_applicants import PushedApplicantRepository
from credit_scoring.adapters.database.stored_applicants import StoredApplicants
from credit_scoring.core.owners import Owner

OWNER = owned("p")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILED = [f"a{number}" for number in range(25)]
PUSHED = [f"b{number}" for number in range(7)] + FILED[:3]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Facts of files and pushed ones, which overlap, beside those of two other owners."""
    with opened(database_url) as found:
        for owner, ids in ((OWNER, FILED), (owned("q"), ["other-portfolio"])):
            FactsRepository(found).replace_all(owner, "1", pl.DataFrame({"applicant_id": ids, "income": 1.0}), {})
        for owner, ids in ((OWNER, PUSHED), (Owner("other", "p"), ["other-tenant"])):
            for one in ids:
                PushedApplicantRepository(found).put_applicant(owner, one, {"income": 2.0}, NOW)
        yield found


@pytest.mark.parametrize("page", [1, 4, 100])
def test_everybody_of_the_owner_is_given_once_whoever_brought_them_and_whatever_the_page(engine, page):
    stored = StoredApplicants(engine, OWNER, page)
    pages = [frame["applicant_id"].to_list() for frame in stored]
    assert sorted(one for ids in pages for one in ids) == sorted({*FILED, *PUSHED})
    assert max(map(len, pages)) <= page
    assert stored.count() == 32


def test_an_owner_of_whom_nothing_is_stored_has_nobody(engine):
    nobody = StoredApplicants(engine, owned("z"))
    assert (list(nobody), nobody.count()) == ([], 0)


def test_who_is_stored_while_the_pages_are_read_harms_nobody_else(engine):
    found = []
    for frame in StoredApplicants(engine, OWNER, page=5):
        found += frame["applicant_id"].to_list()
        PushedApplicantRepository(engine).put_applicant(OWNER, "a0a", {"income": 2.0}, NOW)
    assert len(found) == len(set(found))
    assert {*FILED, *PUSHED} <= set(found)
