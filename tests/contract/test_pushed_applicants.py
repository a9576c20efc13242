from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from databases import KINDS, empty_database
from tenants import facts_of, owned

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed_applicants import PushedApplicantRepository
from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.core.facts import Facts
from credit_scoring.core.owners import Applicant, Owner
from credit_scoring.ports import FactsStore, PushedApplicants

P, Q, OTHER = owned("p"), owned("q"), Owner("other lender", "p")
NOON = datetime(2020, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Stores:
    """What is known of applicants, who may be pushed, and a loader that has a clock."""

    facts: FactsStore
    pushed: PushedApplicants
    loaded_at: datetime = NOON

    def load(self, content: str, at: datetime, incomes: Mapping[str, int]) -> None:
        self.loaded_at = at
        if isinstance(self.facts, InMemoryFactsStore):
            facts = {Applicant(P, name): Facts({"income": income}) for name, income in incomes.items()}
            self.facts.load(facts, content, at)
            return
        rows = {"applicant_id": list(incomes), "income": list(incomes.values())}
        frame = pl.DataFrame(rows, schema={"applicant_id": pl.String, "income": pl.Int64})
        assert isinstance(self.facts, FactsRepository)
        self.facts.replace_all(P, content, frame, {})

    def put(self, applicant_id: str, income: int, at: datetime = NOON) -> bool:
        return self.pushed.put_applicant(P, applicant_id, {"income": income}, at)

    def income(self, applicant_id: str = "a", owner: Owner = P) -> Any:
        found = facts_of(self.facts, owner, applicant_id)
        return None if found is None else found.fields["income"]

    def revision(self, applicant_id: str = "a") -> str | None:
        return self.facts.revisions([Applicant(P, applicant_id)])[0]


@pytest.fixture(params=["memory", *KINDS])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        both = InMemoryFactsStore()
        yield Stores(both, both)
        return
    with empty_database(request.param, request) as url:
        engine = open_database(url)
        found = Stores(FactsRepository(engine, clock=lambda: found.loaded_at), PushedApplicantRepository(engine))
        yield found
        engine.dispose()


def test_a_pushed_applicant_is_known_from_then_on(stores):
    assert (stores.income(), stores.revision()) == (None, None)
    assert stores.put("a", 5)
    assert (stores.income(), stores.income("b"), stores.income(owner=Q)) == (5, None, None)
    assert stores.revision() is not None


def test_an_applicant_is_new_once(stores):
    stores.load("1", NOON - MINUTE, {"filed": 1})
    assert stores.put("a", 5)
    assert not stores.put("a", 6, NOON + MINUTE)
    assert not stores.put("filed", 6)
    assert (stores.income(), stores.income("filed")) == (6, 6)


def test_an_applicant_who_is_pushed_for_another_tenant_is_never_seen(stores):
    stores.put("a", 5)
    stores.load("1", NOON, {"b": 1})
    before = stores.revision()
    for applicant_id in ("a", "b"):
        assert stores.pushed.put_applicant(OTHER, applicant_id, {"income": 6}, NOON + MINUTE)
        assert not stores.pushed.put_applicant(OTHER, applicant_id, {"income": 7}, NOON + MINUTE)
    assert (stores.income("a"), stores.income("b"), stores.revision()) == (5, 1, before)
    assert stores.income(owner=OTHER) == 7


def test_what_was_received_last_holds(stores):
    stores.load("1", NOON, {"a": 1})
    assert stores.income() == 1
    stores.put("a", 2, NOON + MINUTE)
    assert stores.income() == 2
    stores.load("2", NOON + 2 * MINUTE, {"a": 3})
    assert stores.income() == 3
    stores.put("a", 4, NOON + 3 * MINUTE)
    assert stores.income() == 4


def test_a_push_that_was_received_before_the_load_changes_nothing_that_files_say(stores):
    stores.load("1", NOON, {"a": 1})
    stores.put("a", 2, NOON)
    stores.put("b", 2, NOON)
    assert (stores.income("a"), stores.income("b")) == (1, 2)


def test_a_load_that_does_not_bring_an_applicant_leaves_the_pushed_one(stores):
    stores.put("a", 5)
    stores.load("1", NOON + MINUTE, {"b": 1})
    assert stores.income() == 5
    stores.load("2", NOON + 2 * MINUTE, {"a": 1})
    stores.load("3", NOON + 3 * MINUTE, {})
    assert stores.income() == 5


def test_a_push_that_comes_late_does_not_undo_a_later_one(stores):
    stores.put("a", 5, NOON + MINUTE)
    before = stores.revision()
    assert not stores.put("a", 4, NOON)
    assert (stores.income(), stores.revision()) == (5, before)


def test_no_two_states_of_an_applicants_fields_have_one_revision(stores):
    states = []

    def seen() -> None:
        states.append((stores.revision(), stores.income()))

    stores.put("a", 1)
    seen()
    stores.load("x", NOON, {"a": 2})
    seen()
    stores.put("a", 3, NOON + MINUTE)
    seen()
    stores.load("y", NOON + 2 * MINUTE, {"a": 4})
    seen()
    stores.load("x", NOON + 3 * MINUTE, {"a": 2})  # the same files again, and now they are the later ones
    seen()
    assert [income for _, income in states] == [1, 2, 3, 4, 2]
    assert len({revision for revision, _ in states}) == 5


def test_loading_the_same_content_again_brings_no_older_fields_back(stores):
    stores.load("1", NOON, {"a": 1})
    stores.put("a", 2, NOON + MINUTE)
    stores.load("1", NOON + 2 * MINUTE, {"a": 1})
    assert stores.income() == 2


def test_of_pushes_at_once_one_is_the_first_and_all_raise_the_revision(stores):
    with ThreadPoolExecutor(6) as pool:
        new = list(pool.map(lambda number: stores.put("a", number), range(24)))
    assert sum(new) == 1
    assert str(stores.revision()).removesuffix("p").endswith(".24")
