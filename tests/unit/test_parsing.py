from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.parsing import parsed
from credit_scoring.core.portfolio import Column


def read(texts: list[str | None], **declared: object) -> list[object]:
    column = Column.model_validate(declared)
    frame = pl.DataFrame({"x": texts}, schema={"x": pl.String})
    return frame.select(x=parsed(pl.col("x"), column))["x"].to_list()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2005-10-01", datetime(2005, 10, 1, tzinfo=UTC)),
        ("2005-10-01T10:30", datetime(2005, 10, 1, 10, 30, tzinfo=UTC)),
        ("2005-10-01 10:30:15", datetime(2005, 10, 1, 10, 30, 15, tzinfo=UTC)),
        ("2005-10-01T10:30:15Z", datetime(2005, 10, 1, 10, 30, 15, tzinfo=UTC)),
        ("2005-10-01T10:30:15.25+02:00", datetime(2005, 10, 1, 8, 30, 15, 250_000, tzinfo=UTC)),
        ("2005-02-30", None),
        ("2005-13-01", None),
        ("20051001", None),
        ("01/10/2005", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_a_date_is_iso_8601_unless_declared_otherwise(text: str | None, moment: datetime | None):
    assert read([text], type="date") == [moment]


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_every_rfc_3339_moment_is_read_as_the_same_instant(moment: datetime, minutes: int):
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert read([aware.isoformat()], type="date") == [aware.astimezone(UTC)]


def test_each_row_may_be_written_in_another_of_the_declared_formats():
    formats = ["%d.%m.%Y", "%y%m%d"]
    days = [datetime(1993, 7, 5, tzinfo=UTC)] * 2
    assert read(["05.07.1993", "930705", "1993-07-05"], type="date", formats=formats) == [*days, None]


def test_a_date_that_two_formats_read_differently_is_not_believed():
    formats = ["%d/%m/%Y", "%m/%d/%Y"]
    same = datetime(2005, 4, 4, tzinfo=UTC)
    assert read(["03/04/2005", "04/04/2005"], type="date", formats=formats) == [None, same]


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.234,5", 1234.5), ("1234,5", 1234.5), ("-1.000.000", -1e6), ("1.23", None), ("12.34,5", None), (",5", 0.5)],
)
def test_a_number_with_declared_marks_is_read_and_one_with_others_is_not(text: str, number: float | None):
    assert read([text], type="number", decimal=",", thousands=".") == [number]


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f", "\u2009"])
def test_a_declared_space_is_any_that_spreadsheets_group_thousands_by(space: str):
    texts = [f"1{space}234,5", f"-1{space}000{space}000", f"1{space}23", "1.234"]
    assert read(texts, type="number", decimal=",", thousands=" ") == [1234.5, -1e6, None, None]
    assert read([f"1{space}234"], type="number", decimal=",", thousands=".") == [None]


@pytest.mark.parametrize(("text", "category"), [("1", "one"), ("1.0", "one"), ("1.5", None), ("01", "o"), ("11", None)])
def test_a_code_is_read_as_declared_also_where_a_spreadsheet_made_a_number_of_it(text: str, category: str | None):
    assert read([text], type="category", values={"1": "one", "01": "o"}) == [category]


@given(st.integers(-(2**53), 2**53), st.sampled_from([",", ".", " ", "'"]))
def test_an_integer_survives_its_grouping(value: int, mark: str):
    decimal = "," if mark == "." else "."
    grouped = f"{value:,}".replace(",", mark)
    assert read([grouped, str(value)], type="integer", thousands=mark, decimal=decimal) == [value, value]


@given(st.dates(date(1970, 1, 1), date(2060, 1, 1)))
def test_a_day_is_read_in_the_format_it_was_written_in(day: date):
    expected = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for form in ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "%d-%b-%Y"):
        assert read([day.strftime(form)], type="date", formats=[form]) == [expected]
