from collections import Counter

import polars as pl
import pytest
from factories import build_portfolio
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.hashing import salted_draw
from credit_scoring.core.splitting import assign_parts, part_of

NAMES = [str(number) for number in range(20_000)]


@given(salt=st.text(min_size=1), name=st.text())
def test_a_draw_lies_in_zero_to_below_one_and_repeats(salt: str, name: str):
    draw = salted_draw("split", salt, name)
    assert 0 <= draw < 1
    assert draw == salted_draw("split", salt, name)


@pytest.mark.parametrize(
    ("salt", "name", "draw"),
    [
        ("taiwan_cards", "1", 0.6501307842001215),
        ("taiwan_cards", "30000", 0.28773318090480127),
        ("other", "1", 0.5336387893794468),
        ("taiwan_cards", "größe", 0.9277291436960658),
    ],
)
def test_draws_are_the_same_for_ever(salt: str, name: str, draw: float):
    assert salted_draw("split", salt, name) == draw


def test_draws_are_uniform():
    counts = Counter(int(salted_draw("split", "s", name) * 20) for name in NAMES)
    expected = len(NAMES) / 20
    chi_squared = sum((counts[cell] - expected) ** 2 / expected for cell in range(20))
    assert chi_squared < 43.8  # 99.9 % point with 19 degrees of freedom


def test_another_salt_draws_independently():
    both = sum(salted_draw("split", "s", n) < 0.5 and salted_draw("split", "t", n) < 0.5 for n in NAMES) / len(NAMES)
    assert both == pytest.approx(0.25, abs=0.015)


def test_one_salt_draws_independently_for_split_and_experiment():
    both = sum(salted_draw("split", "s", n) < 0.5 and salted_draw("experiment", "s", n) < 0.5 for n in NAMES)
    assert both / len(NAMES) == pytest.approx(0.25, abs=0.015)


def test_salt_and_name_do_not_run_into_each_other():
    assert salted_draw("split", "a:b", "c") != salted_draw("split", "a", "b:c")


def test_parts_have_the_declared_shares():
    split = build_portfolio().split
    counts = Counter(part_of(name, split) for name in NAMES)
    for part in ("development", "holdout", "stream"):
        assert counts[part] / len(NAMES) == pytest.approx(getattr(split, part), abs=0.012)


@given(ids=st.lists(st.text(), unique=True))
def test_the_part_depends_on_the_applicant_alone(ids: list[str]):
    split = build_portfolio().split
    assigned = assign_parts(pl.DataFrame({"applicant_id": pl.Series(ids, dtype=pl.String)}), split)
    assert assigned["applicant_id"].to_list() == ids
    assert assigned["part"].to_list() == [part_of(name, split) for name in ids]


def test_a_larger_development_share_keeps_its_applicants():
    small = build_portfolio().split
    large = small.model_copy(update={"development": 0.7, "holdout": 0.1})
    for name in NAMES[:2000]:
        if part_of(name, small) == "development":
            assert part_of(name, large) == "development"


def test_the_first_applicants_of_taiwan_keep_their_parts(taiwan):
    parts = [part_of(str(number), taiwan.split)[0] for number in range(1, 41)]
    assert "".join(parts) == "shsdssssddshsddddsdsdddddshssddsdddsssdd"


def test_the_parts_of_taiwan_keep_their_sizes(taiwan):
    sizes = Counter(part_of(str(number), taiwan.split) for number in range(1, 30_001))
    assert sizes == {"development": 15020, "holdout": 4427, "stream": 10553}
