import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from service_package import FixedArm, application, bundle_ref, decider, roles_of

from credit_scoring.adapters.memory_facts import InMemoryFactsStore
from credit_scoring.adapters.memory_roles import InMemoryRoleBook
from credit_scoring.core.errors import RecordsError, RegistryError
from credit_scoring.core.roles import BundleRef, Roles
from credit_scoring.core.scoring import ModelBundle
from credit_scoring.usecases.follow_roles import RolesFollower, Swap

PORTFOLIO = "taiwan_cards"


class Bundles:
    """Gives bundles by reference; a version may be refused, or held up until it is let go."""

    def __init__(self, *bundles: ModelBundle) -> None:
        self._bundles = {bundle_ref(bundle, 1).digest: bundle for bundle in bundles}
        self.asked: list[int] = []
        self.refused: dict[int, Exception] = {}
        self.held_up: dict[int, threading.Event] = {}

    def __call__(self, ref: BundleRef) -> ModelBundle:
        self.asked.append(ref.version)
        if ref.version in self.held_up:
            assert self.held_up[ref.version].wait(30)
        if ref.version in self.refused:
            raise self.refused[ref.version]
        return self._bundles[ref.digest]


class UnreadableBook(InMemoryRoleBook):
    """A book that may be told to fail."""

    failure: Exception | None = None

    def current(self, portfolio: str):
        if self.failure:
            raise self.failure
        return super().current(portfolio)


@pytest.fixture
def first(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> Roles:
    return roles_of(scorecard_bundle, boosted_trees_bundle)


@pytest.fixture
def swapped(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> Roles:
    """The roles the other way round, as versions 3 and 4."""
    return Roles(
        champion=bundle_ref(boosted_trees_bundle, 3),
        challenger=bundle_ref(scorecard_bundle, 4),
        experiment=roles_of(scorecard_bundle, boosted_trees_bundle).experiment,
    )


@pytest.fixture
def bundles(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> Bundles:
    return Bundles(scorecard_bundle, boosted_trees_bundle)


@pytest.fixture
def book() -> UnreadableBook:
    return UnreadableBook()


@pytest.fixture
def told() -> list[Swap]:
    return []


Follow = Callable[..., RolesFollower]


@pytest.fixture
def follow(book, bundles, told, first) -> Iterator[Follow]:
    """Opens followers that look when a test says so, or ``every`` so many seconds, and closes them."""
    opened = []

    def open_follower(every: float = 3600.0) -> RolesFollower:
        opened.append(RolesFollower(PORTFOLIO, book, bundles, told.append, every))
        opened[-1].open(first)
        return opened[-1]

    yield open_follower
    for follower in opened:
        follower.close()


def test_what_decides_is_swapped_as_a_whole_and_told(follow, book, swapped, told):
    follower = follow()
    before = follower.assignment()
    book.append(PORTFOLIO, 1, swapped, "promotion")
    follower.look()
    after = follower.assignment()
    assert (before.sequence, before.versions) == (1, {"champion": 1, "challenger": 2})
    assert (after.sequence, after.versions) == (2, {"champion": 3, "challenger": 4})
    assert after.challenger_thread is not before.challenger_thread
    assert told == [Swap(2, {"champion": 3, "challenger": 4})]


def test_a_row_that_is_followed_already_asks_for_no_bundle(follow, bundles):
    follower = follow()
    for _ in range(3):
        follower.look()
    assert bundles.asked == [1, 2]


def test_every_follower_follows_by_itself(follow, book, swapped):
    followers = [follow(every=0.01) for _ in range(4)]
    book.append(PORTFOLIO, 1, swapped, "promotion")
    deadline = threading.Event()
    for _ in range(500):
        if all(follower.assignment().sequence == 2 for follower in followers):
            break
        deadline.wait(0.01)
    assert [follower.assignment().sequence for follower in followers] == [2] * 4


def test_a_failing_load_keeps_what_decides_is_told_once_and_tried_again(follow, book, bundles, swapped, told, caplog):
    follower = follow()
    bundles.refused[3] = RegistryError("The registry is away.")
    book.append(PORTFOLIO, 1, swapped, "promotion")
    for _ in range(3):
        follower.look()
    assert follower.assignment().sequence == 1
    assert told == [Swap(2, failure="registry")]
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    assert "roles_not_swapped sequence=2 code=registry" in caplog.text
    del bundles.refused[3]
    follower.look()
    assert follower.assignment().sequence == 2
    assert told[1:] == [Swap(2, {"champion": 3, "challenger": 4})]


def test_a_slow_load_does_not_hold_up_the_row_that_takes_it_back(follow, book, bundles, first, swapped, told):
    follower = follow(every=0.01)
    bundles.held_up[3] = threading.Event()
    book.append(PORTFOLIO, 1, swapped, "promotion")
    while 3 not in bundles.asked:
        threading.Event().wait(0.001)
    book.append(PORTFOLIO, 2, first, "rollback")
    for _ in range(1000):
        if follower.assignment().sequence == 3:
            break
        threading.Event().wait(0.01)
    assert follower.assignment().sequence == 3
    while not told:  # it is told after it decides
        threading.Event().wait(0.001)
    bundles.held_up[3].set()
    follower.look()
    assert follower.assignment().sequence == 3
    assert told == [Swap(3, {"champion": 1, "challenger": 2})]


def test_rows_that_cannot_be_read_are_complained_of_once_and_followed_later(follow, book, swapped, caplog):
    follower = follow()
    book.failure = RecordsError("The database is away.")
    for _ in range(3):
        follower.look()
    assert caplog.text.count("roles_unread code=records_unavailable") == 1
    book.failure = None
    book.append(PORTFOLIO, 1, swapped, "promotion")
    follower.look()
    assert follower.assignment().sequence == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_by_an_unforeseen_error_is_seen_and_told(follow, book, caplog):
    follower = follow(every=0.01)
    assert follower.is_following
    book.failure = ZeroDivisionError()
    for _ in range(1000):
        if not follower.is_following:
            break
        threading.Event().wait(0.01)
    assert not follower.is_following
    assert "roles_not_followed portfolio=taiwan_cards" in caplog.text
    assert follower.assignment().sequence == 1


def test_a_follower_that_is_closed_complains_of_nothing(follow, caplog):
    follower = follow(every=0.001)
    follower.close()
    follower._thread.join(10)
    assert not follower.is_following
    assert not caplog.records


def test_roles_that_cannot_be_taken_up_at_the_start_are_an_error(follow, bundles):
    bundles.refused[2] = RegistryError("The registry is away.")
    with pytest.raises(RegistryError, match="away"):
        follow()


def test_before_it_is_opened_nothing_decides(book, bundles):
    with pytest.raises(RegistryError, match="not taken up yet"):
        RolesFollower(PORTFOLIO, book, bundles).assignment()


def test_recorded_roles_win_over_those_to_begin_with(follow, book, swapped):
    book.seed(PORTFOLIO, swapped)
    assert follow().assignment().versions == {"champion": 3, "challenger": 4}


class SwapsMeanwhile(InMemoryFactsStore):
    """Has the roles swapped while a turn is reading facts."""

    meanwhile: Callable[[], None]

    def revisions(self, applicants):
        self.meanwhile()
        return super().revisions(applicants)


def test_a_turn_ends_under_the_assignment_it_began_with(follow, book, swapped, scorecard_bundle, boosted_trees_bundle):
    follower = follow()

    def swap() -> None:
        book.append(PORTFOLIO, 1, swapped, "promotion")
        follower.look()

    store = SwapsMeanwhile()
    store.meanwhile = swap
    models = {"champion": scorecard_bundle, "challenger": boosted_trees_bundle}
    made = decider(models, facts=store, routing=FixedArm("champion"))
    made = replace(made, assignment=follower.assignment)
    unknown = application("a0", inline=None)  # makes the turn read the store
    answers = made.decide_many([unknown, application("a1")])
    later = made.decide(application("a2"))
    assert follower.assignment().sequence == 2
    assert answers[1].model.version in (1, 2)
    assert later.model.version in (3, 4)


@pytest.mark.parametrize("change", [{"model": "nonsense"}, {"algorithm": "boosted_trees"}], ids=str)
def test_a_row_that_calls_a_bundle_something_else_is_not_followed(follow, book, first, told, change):
    follower = follow()
    misnamed = first.model_copy(update={"champion": first.champion.model_copy(update=change)})
    book.append(PORTFOLIO, 1, misnamed, "by hand")
    follower.look()
    assert follower.assignment().sequence == 1
    assert told[-1].failure == "bundle"
