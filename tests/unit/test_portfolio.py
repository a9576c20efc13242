from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from factories import build_portfolio
from pydantic import ValidationError

from credit_scoring.core.declaration_checks import declaration_problems
from credit_scoring.core.portfolio import AsOf, Column

NOW = datetime(2024, 3, 5, 17, 45, 12, 999_999, tzinfo=UTC)
TAIPEI = timezone(timedelta(hours=8))


@pytest.mark.parametrize(
    ("granularity", "moment"),
    [
        ("day", datetime(2024, 3, 5, tzinfo=UTC)),
        ("hour", datetime(2024, 3, 5, 17, tzinfo=UTC)),
        ("second", datetime(2024, 3, 5, 17, 45, 12, tzinfo=UTC)),
    ],
)
def test_a_decision_moment_is_truncated_never_rounded_up(granularity: str, moment: datetime):
    assert AsOf(granularity=granularity).moment(None, NOW) == moment


def test_a_requested_moment_wins_over_the_constant_and_the_constant_over_the_clock():
    constant = AsOf(constant=date(2005, 10, 1))
    assert constant.moment(NOW, NOW) == datetime(2024, 3, 5, tzinfo=UTC)
    assert constant.moment(None, NOW) == datetime(2005, 10, 1, tzinfo=UTC)


def test_a_requested_moment_is_truncated_in_utc_wherever_it_was_written():
    early_in_taipei = datetime(2024, 3, 6, 1, 0, tzinfo=TAIPEI)
    assert AsOf().moment(early_in_taipei, NOW) == datetime(2024, 3, 5, tzinfo=UTC)


def test_bounds_default_to_the_exact_integers():
    assert Column(type="number").bounds == (-(2.0**53), 2.0**53)
    assert Column(type="number", min=0).bounds == (0, 2.0**53)


def test_codes_are_text_and_several_may_name_one_category():
    column = Column(type="category", values={1: "owner", "2": "tenant", 3: "owner"})
    assert column.values == {"1": "owner", "2": "tenant", "3": "owner"}
    assert column.categories == ("owner", "tenant")


def test_a_declaration_cannot_be_changed_after_reading():
    portfolio = build_portfolio()
    with pytest.raises(ValidationError, match="frozen"):
        portfolio.policy.approve_from = 1


def test_protected_and_later_columns_are_no_application_columns():
    portfolio = build_portfolio()
    assert set(portfolio.application_columns) == {"income_eur", "dependants", "housing"}
    assert set(portfolio.protected_columns) == {"sex"}


def test_the_made_up_portfolio_has_no_problem_and_every_problem_has_a_place():
    assert declaration_problems(build_portfolio()) == []
    for problem in declaration_problems(build_portfolio(outcome__column="x", policy__approve_from=1, split__stream=0)):
        assert problem.path
        assert problem.message.endswith(".")
