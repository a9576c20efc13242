import io
import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.adapters.sources import json_lines, text
from credit_scoring.adapters.sources.json_lines import read_json_lines
from credit_scoring.core.errors import ContractError
from credit_scoring.core.received import Batch

keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | keys
objects = st.dictionaries(keys, values, min_size=1, max_size=4)


def read(content: str | bytes) -> list[Batch]:
    return list(read_json_lines(io.BytesIO(content.encode() if isinstance(content, str) else content), "file.jsonl"))


def malformed(content: str | bytes) -> list[tuple[Any, ...]]:
    return pl.concat([batch.malformed for batch in read(content)]).rows()


def as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


@given(rows=st.lists(objects, min_size=1, max_size=9), block=st.sampled_from([512, 1, 30]))
def test_objects_are_read_back_with_numbers_as_they_were_written(rows: list[dict[str, Any]], block: int):
    content = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", block)
        batches = read(content)
    got = [row for batch in batches for row in batch.rows.to_dicts()]
    assert len(got) == len(rows)
    for found, row in zip(got, rows, strict=True):
        assert {name: found[name] for name in row} == {name: as_text(value) for name, value in row.items()}
        assert all(value is None for name, value in found.items() if name not in row)


@given(lines=st.lists(st.text(st.sampled_from('{}[]":,1 a\\u0'), min_size=1).filter(str.strip), min_size=1, max_size=9))
def test_every_line_is_a_row_or_malformed(lines: list[str]):
    (batch,) = read("\n".join(lines))
    taken = batch.row_numbers.to_list() + batch.malformed["row_number"].to_list()
    assert sorted(taken) == list(range(1, len(lines) + 1))


def test_columns_are_the_union_of_the_keys_of_a_batch():
    (batch,) = read('{"a": 1}\n\n{"b": "x", "a": null}\n')
    assert batch.rows.to_dicts() == [{"a": "1", "b": None}, {"a": None, "b": "x"}]
    assert batch.row_numbers.to_list() == [1, 2]


def test_numbers_keep_their_digits_and_nested_values_are_json():
    (batch,) = read('{"a": 1.50, "b": 12345678901234567890, "c": NaN, "d": -Infinity, "e": {"x": [1.0, "é", null]}}')
    assert batch.rows.row(0) == ("1.50", "12345678901234567890", "NaN", "-Infinity", '{"x":[1.0,"é",null]}')


@pytest.mark.parametrize(
    ("line", "rule", "told"),
    [
        (b'{"a": 1', "json", "not JSON"),
        (b"[1, 2]", "json", "not an object"),
        (b"{}", "json", "not an object"),
        (b'"a"', "json", "not an object"),
        (b'{"a": 1, "a": 2}', "json", "one key twice"),
        (b'{"a": {"b": 1, "b": 2}}', "json", "one key twice"),
        (b'{"a": "\\ud800"}', "json", "half a character"),
        (b'{"a": "\\u0000"}', "json", "NUL"),
        (b'{"a": ' + b"[" * 100_000, "json", "nested too deeply"),
        (b'{"a": "M\xfcller"}', "encoding", "latin-1"),
    ],
)
def test_a_line_that_is_no_row_is_kept_apart_and_the_others_stay(line: bytes, rule: str, told: str):
    (batch,) = read(b'{"a": "x"}\n' + line + b'\n{"a": "y"}\n')
    assert batch.rows["a"].to_list() == ["x", "y"]
    assert batch.row_numbers.to_list() == [1, 3]
    ((number, found, reason, received),) = batch.malformed.rows()
    assert (number, found) == (2, rule)
    assert told in reason
    assert json.loads(received) == line.decode("latin-1")


def test_objects_without_common_keys_are_cut_into_narrower_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_lines, "_MOST_CELLS", 6)
    batches = read("\n".join(f'{{"k{n}": {n}}}' for n in range(7)))
    assert [batch.row_numbers.to_list() for batch in batches] == [[1, 2, 3], [4, 5, 6], [7]]


def test_objects_that_are_no_table_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_lines, "_MOST_COLUMNS", 5)
    with pytest.raises(ContractError, match="no table"):
        read("\n".join(f'{{"k{n}": {n}}}' for n in range(7)))


def test_blank_lines_only_are_refused():
    with pytest.raises(ContractError, match="blank lines only"):
        read("\n \n")
