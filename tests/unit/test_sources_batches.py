import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.core.errors import ContractError
from credit_scoring.core.received import MALFORMED_SCHEMA, Batch, Received, batches, schema_drift

ROW = {"a": 1, "b": "x"}
EXPECTED = [("1", "x"), ("2", None), ("3", "z")]
FRAME = pl.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})


def texts(loaded: object, column: str = "a") -> list[str | None]:
    return [value for batch in batches(loaded, "source") for value in batch.rows[column]]


@pytest.mark.parametrize(
    "loaded",
    [
        FRAME,
        FRAME.lazy(),
        FRAME.to_pandas(),
        FRAME.to_arrow(),
        nw.from_native(FRAME),
        FRAME.to_dicts(),
        (row for row in FRAME.to_dicts()),
        [FRAME[:1], FRAME[1:]],
        [FRAME[:1].to_pandas(), FRAME[1:].lazy()],
    ],
    ids=["eager", "lazy", "pandas", "arrow", "narwhals", "dicts", "generator", "chunks", "mixed"],
)
@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_whatever_a_dataset_loads_becomes_numbered_rows_of_text(loaded: object, rows_at_once: int):
    if isinstance(loaded, Iterator):
        loaded = FRAME.iter_rows(named=True)
    found = list(batches(loaded, "source", rows_at_once))
    assert [row for batch in found for row in batch.rows.rows()] == EXPECTED
    assert [number for batch in found for number in batch.row_numbers] == [1, 2, 3]
    assert all(batch.rows.height <= rows_at_once for batch in found)
    assert {batch.source for batch in found} == {"source"}
    assert all(set(batch.rows.dtypes) == {pl.String} for batch in found)
    assert all(batch.malformed.schema == pl.Schema(MALFORMED_SCHEMA) for batch in found)


@pytest.mark.parametrize("empty", [FRAME.clear(), FRAME.clear().lazy(), FRAME.clear().to_pandas()])
def test_an_empty_table_gives_its_columns(empty: object):
    (batch,) = batches(empty, "source")
    assert batch.rows.schema == {"a": pl.String, "b": pl.String}
    assert batch.rows.height == 0


def test_several_tables_by_name_are_several_sources():
    found = list(batches({"first": FRAME, "second": FRAME.to_pandas}, "book.xlsx"))
    assert [(batch.source, batch.row_numbers.to_list()) for batch in found] == [
        ("book.xlsx/first", [1, 2, 3]),
        ("book.xlsx/second", [1, 2, 3]),
    ]


def test_batches_pass_as_they_are_and_are_read_as_often_as_asked_for():
    batch = Batch("own", FRAME, pl.Series([7, 8, 9]), pl.DataFrame(schema=MALFORMED_SCHEMA))
    received = Received(lambda: iter([batch, batch]))
    assert list(batches(received, "source")) == list(batches(received, "source")) == [batch, batch]


@given(value=st.floats(allow_nan=False), width=st.sampled_from([pl.Float64, pl.Float32]))
def test_floats_are_text_that_reads_back_as_the_same_number(value: float, width: Any):
    (given_value,) = pl.Series([value], dtype=pl.Float64).cast(width)
    (text,) = texts(pl.DataFrame({"a": [value]}).cast(width))
    assert text is not None
    (again,) = pl.Series([float(text)]).cast(width)
    assert again == given_value
    assert math.copysign(1, again) == math.copysign(1, given_value)


@given(
    value=st.floats(allow_nan=False)
    | st.integers()
    | st.booleans()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
def test_objects_of_python_are_text_that_reads_back(value: Any):
    for text in (*texts(pd.DataFrame({"a": pd.Series([value], dtype=object)})), *texts([{"a": value}])):
        assert text is not None
        assert (text == "true") == value if isinstance(value, bool) else type(value)(text) == value


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.5, -0.0, None, float("inf"), 1e300], ["1", "2.5", "-0.0", None, "inf", "1e+300"]),
        ([True, False, None], ["true", "false", None]),
        ([date(2026, 1, 31)], ["2026-01-31"]),
        ([time(9, 30)], ["09:30:00"]),
        ([datetime(2026, 1, 31, 9, 30)], ["2026-01-31T09:30:00+00:00"]),
        ([datetime(2026, 1, 31, 9, 30, tzinfo=UTC)], ["2026-01-31T09:30:00+00:00"]),
        ([Decimal("1.50"), None], ["1.50", None]),
        ([[1, None], []], ["[1,null]", "[]"]),
        ([{"x": 1.5, "y": "é"}], ['{"x":1.5,"y":"é"}']),
        ([2**62, -1], [str(2**62), "-1"]),
        ([None], [None]),
        ([" ", ""], [" ", ""]),
    ],
)
def test_types_of_polars_have_one_text(values: list[Any], expected: list[str | None]):
    assert texts(pl.DataFrame({"a": values})) == expected
    assert texts([{"a": value} for value in values]) == expected


def test_zones_are_kept_as_offsets():
    zone = timezone(timedelta(hours=-5))
    assert texts([{"a": datetime(2026, 1, 1, tzinfo=zone)}]) == ["2026-01-01T00:00:00-05:00"]
    frame = pl.DataFrame({"a": [datetime(2026, 7, 1, 1, tzinfo=UTC)]})
    assert texts(frame.select(pl.col("a").dt.convert_time_zone("Europe/Paris"))) == ["2026-07-01T03:00:00+02:00"]


def test_what_pandas_calls_missing_is_null():
    frame = pd.DataFrame(
        {
            "object": pd.Series([None, np.nan, pd.NA, pd.NaT, "x"], dtype=object),
            "float": [np.nan, 1.0, 2.5, np.inf, np.nan],
            "nullable": pd.array([1, None, 3, None, 5], dtype="Int64"),
            "time": pd.to_datetime(["2026-01-01", None, None, None, None]),
            "category": pd.Categorical(["a", None, "b", None, "a"]),
        }
    )
    (batch,) = batches(frame, "source")
    assert batch.rows["object"].to_list() == [None, None, None, None, "x"]
    assert batch.rows["float"].to_list() == [None, "1", "2.5", "inf", None]
    assert batch.rows["nullable"].to_list() == ["1", None, "3", None, "5"]
    assert batch.rows["time"].to_list() == ["2026-01-01T00:00:00+00:00", None, None, None, None]
    assert batch.rows["category"].to_list() == ["a", None, "b", None, "a"]


def test_columns_of_mixed_objects_keep_each_value():
    values = [
        1,
        "007",
        2.0,
        True,
        Decimal("0.10"),
        date(2026, 1, 1),
        UUID(int=1),
        {"k": [1]},
        np.int64(5),
        np.bool_(True),
        np.array(["x"]),
    ]
    expected = ["1", "007", "2", "true", "0.10", "2026-01-01", str(UUID(int=1)), '{"k":[1]}', "5", "true", '["x"]']
    assert texts(pd.DataFrame({"a": pd.Series(values, dtype=object)})) == expected


def test_an_index_with_a_name_came_with_the_rows():
    frame = pd.DataFrame({"b": ["x"]}, index=pd.Index([17], name="a"))
    assert texts(frame) == ["17"]


def test_names_that_are_no_text_become_text():
    (batch,) = batches(pd.DataFrame([[1, 2]]), "source")
    assert batch.rows.columns == ["0", "1"]


@pytest.mark.parametrize(
    ("loaded", "told"),
    [
        (pl.DataFrame({"a": [b"x"]}), "Column 'a' is of type Binary"),
        (pd.DataFrame({"a": pd.Series([b"x", "y"], dtype=object)}), "Column 'a' is of type bytes"),
        ([{"a": np.datetime64("2026-01-01", "ns")}], "Column 'a' is of type datetime64"),
        ([{"a": b"x"}], "Column 'a' is of type bytes"),
        (pl.DataFrame({"a": [timedelta(1)]}), "Column 'a' is of type Duration"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "same name"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "same name"),
        ("a,b", "gives str"),
        (b"a,b", "gives bytes"),
        (7, "gives int"),
        ([1, 2], "gives int"),
    ],
)
def test_what_has_no_rows_of_text_is_refused(loaded: object, told: str):
    with pytest.raises(ContractError, match=told):
        list(batches(loaded, "source"))


@given(
    nested=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
    )
)
def test_nested_values_are_json(nested: Any):
    (text,) = texts([{"a": [nested]}])
    assert text is not None
    assert json.loads(text) == [nested]


@given(previous=st.lists(st.text(max_size=1), unique=True), received=st.lists(st.text(max_size=1), unique=True))
def test_drift_is_what_came_and_what_went(previous: list[str], received: list[str]):
    drift = schema_drift(previous, received)
    assert set(drift.added) == set(received) - set(previous)
    assert set(drift.absent) == set(previous) - set(received)
    assert bool(drift) == (set(previous) != set(received))
