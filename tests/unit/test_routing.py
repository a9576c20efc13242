from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.roles import Experiment
from credit_scoring.core.routing import StickySplit

shares = st.floats(0, 1)
applicants = st.text(min_size=1, max_size=40)


def split(share: float, salt: str = "salt") -> StickySplit:
    return StickySplit(Experiment(id="e", salt=salt, challenger_share=share))


@given(applicants, shares, shares)
def test_widening_the_split_never_moves_anyone_back_to_the_champion(applicant, one, other):
    narrow, wide = sorted((one, other))
    if split(narrow).route(applicant).arm == "challenger":
        assert split(wide).route(applicant).arm == "challenger"


@given(applicants, shares)
def test_an_applicant_stays_in_one_arm(applicant, share):
    assert split(share).route(applicant) == split(share).route(applicant)


@given(applicants, shares)
def test_the_arm_comes_with_its_probability(applicant, share):
    route = split(share).route(applicant)
    assert route.arm_probability == (share if route.arm == "challenger" else 1 - share)


@given(applicants)
def test_a_share_of_nothing_or_everything_leaves_no_choice(applicant):
    assert split(0).route(applicant).arm == "champion"
    assert split(1).route(applicant).arm == "challenger"


def test_the_share_is_kept_within_chance():
    challengers = sum(split(0.1).route(str(n)).arm == "challenger" for n in range(20_000))
    assert abs(challengers - 2_000) < 4 * (20_000 * 0.1 * 0.9) ** 0.5


def test_another_salt_draws_anew():
    arms = [[split(0.5, salt).route(str(n)).arm for n in range(1000)] for salt in ("a", "b")]
    assert 400 < sum(one == other for one, other in zip(*arms, strict=True)) < 600
