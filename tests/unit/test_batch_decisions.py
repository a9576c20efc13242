from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from service_package import NOW, decider, facts

from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.core.pushed import LONGEST_ID
from credit_scoring.core.records import ApplicationKey
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.pipelines.batch_decisions.nodes import BatchOptions
from credit_scoring.usecases.batch_decisions import COLUMNS, BatchDecisions, application_id_of

OWNER = Owner("default", "taiwan_cards")

batch_ids = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
applicant_ids = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=LONGEST_ID)


@pytest.fixture
def models(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> dict[Any, ModelBundle]:
    return {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}


def rows(**columns: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def batch(models: Any, batch_id: str = "b", **changes: Any) -> BatchDecisions:
    stored = {Applicant(OWNER, one): facts(limit_twd=20_000 * len(one)) for one in ("a", "bb", "c" * LONGEST_ID)}
    return BatchDecisions(decider(models, facts=InMemoryFactsStore(stored)), OWNER, batch_id, **changes)


def test_an_application_is_made_of_the_batch_and_the_applicant_and_fits_the_records(models):
    deciding = batch(models)
    told = deciding.decided(rows(applicant_id=["a", "c" * LONGEST_ID]))
    assert told["application_id"][0] == "batch:b:a"
    assert len(told["application_id"][1]) <= LONGEST_ID
    assert told["problem"].is_null().all()
    assert told.schema == pl.Schema(COLUMNS)
    assert deciding.decided(rows(applicant_id=["a", "c" * LONGEST_ID])).equals(told)


@example("2026-11", "20-5", "2026-11-20", "5")
@given(batch_ids, applicant_ids, batch_ids, applicant_ids)
def test_two_batches_or_applicants_never_meet_in_one_application(one, applicant, other, another):
    made = [application_id_of(one, applicant), application_id_of(other, another)]
    assert (made[0] == made[1]) == ((one, applicant) == (other, another))


def test_a_moment_of_the_batch_holds_for_rows_without_their_own_and_is_no_part_of_the_body(models):
    deciding = batch(models, as_of=datetime(2005, 9, 1, tzinfo=UTC))
    told = deciding.decided(rows(applicant_id=["a", "bb"], as_of=[None, "2005-08-15T23:30:00-02:00"]))
    assert [day.date().isoformat() for day in told["as_of"]] == ["2005-09-01", "2005-08-16"]
    records = deciding.decider.decisions.held([ApplicationKey(OWNER, f"batch:b:{one}") for one in ("a", "bb")])
    assert ["as_of" in record.received for record in records if record] == [False, True]


@pytest.mark.parametrize(
    "given_as_of", ["2005-09-20", "2005-09-20T10:00:00", "soon", f"{NOW.year + 9}-01-01T00:00:00Z"]
)
def test_a_moment_that_is_none_without_doubt_is_a_problem_of_its_row_alone(models, given_as_of):
    told = batch(models).decided(rows(applicant_id=["a", "bb"], as_of=[given_as_of, ""]))
    assert told["problem"].to_list() == ["invalid_application", None]


@pytest.mark.parametrize(("given_id", "batch_id"), [("2026-10", "2026-10"), (202610, "202610"), (None, None)])
def test_a_batch_is_named_by_text_or_a_whole_number(given_id, batch_id):
    assert BatchOptions(batch_id=given_id).batch_id == batch_id


@pytest.mark.parametrize("given_id", [2026.10, "", "a:b", "a b", "x" * 65])
def test_a_name_that_could_be_another_batch_is_refused(given_id):
    with pytest.raises(ValueError, match="batch_id"):
        BatchOptions(batch_id=given_id)
