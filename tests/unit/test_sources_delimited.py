import csv
import io
import json
from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_scoring.adapters.sources import text
from credit_scoring.adapters.sources.delimited import read_delimited
from credit_scoring.adapters.sources.delimited_options import DelimitedOptions
from credit_scoring.adapters.sources.options import checked
from credit_scoring.core.errors import ContractError
from credit_scoring.core.received import Batch

COLUMNS = ("a", "b", "c")
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
awkward = st.text(st.sampled_from("\"',;\t \r\n|xü1"), max_size=6)
tables = st.lists(st.tuples(*[texts | awkward] * 3), max_size=12)
block_sizes = st.sampled_from([512, 1, 7, 40])


def read(content: str | bytes, **options: Any) -> list[Batch]:
    raw = content.encode() if isinstance(content, str) else content
    return list(read_delimited(io.BytesIO(raw), "file.csv", DelimitedOptions(**options)))


def rows(batches: Iterable[Batch]) -> list[tuple[Any, ...]]:
    return pl.concat([batch.rows for batch in batches]).rows()


def malformed(batches: Iterable[Batch]) -> list[tuple[int, str]]:
    return pl.concat([batch.malformed for batch in batches]).select("row_number", "rule").rows()


def numbers(batches: Iterable[Batch]) -> list[int]:
    return pl.concat([batch.row_numbers for batch in batches]).to_list()


@given(table=tables, delimiter=st.sampled_from(",;\t|"), ends=st.sampled_from(["\n", "\r\n"]), block=block_sizes)
def test_what_a_csv_writer_wrote_is_read_back_exactly(table: Any, delimiter: str, ends: str, block: int):
    written = io.StringIO()
    lone_return = any("\r" in field for fields in table for field in fields)  # Python 3.11 writes it without quotes
    quoting = csv.QUOTE_ALL if lone_return else csv.QUOTE_MINIMAL
    writer = csv.writer(written, delimiter=delimiter, lineterminator=ends, quoting=quoting)
    writer.writerows([COLUMNS, *table])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", block)
        batches = read(written.getvalue(), delimiter=delimiter)
    assert rows(batches) == table
    assert numbers(batches) == list(range(1, len(table) + 1))
    assert malformed(batches) == []


@given(
    lines=st.lists(st.text(st.sampled_from('",x é'), min_size=1, max_size=9).filter(str.strip), max_size=30),
    block=block_sizes,
    part=st.sampled_from([1, 2, 500]),
)
def test_every_line_is_in_one_row_or_one_malformed(lines: list[str], block: int, part: int):
    content = "".join(f"{line}\n" for line in ["a,b,c", *lines])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", block)
        patch.setattr(text, "_PART_LINES", part)
        try:
            batches = read(content)
        except ContractError as never_closed:
            assert "quote" in str(never_closed)  # noqa: PT017 - refusing the file is the other right answer
            return
    taken, refused = numbers(batches), [number for number, _ in malformed(batches)]
    assert sorted(taken + refused) == list(range(1, len(taken + refused) + 1))
    received = [told for batch in batches for told in batch.malformed["received"]]
    inner = sum(str(fields).count("\\n") for fields in rows(batches)) + sum(told.count("\\n") for told in received)
    assert len(taken) + len(refused) + inner == len(lines)


@given(
    table=st.lists(st.lists(st.sampled_from(["1", "x y", "ü", ""]), min_size=2, max_size=4), min_size=1, max_size=30)
)
def test_rows_of_another_width_are_kept_apart_and_the_others_stay(table: list[list[str]]):
    batches = read("a,b,c\n" + "".join(",".join(fields) + "\n" for fields in table))
    assert rows(batches) == [tuple(fields) for fields in table if len(fields) == 3]
    assert malformed(batches) == [(at, "columns") for at, fields in enumerate(table, 1) if len(fields) != 3]


def test_a_ragged_row_says_what_was_expected_and_what_came():
    (batch,) = read("a,b\n1,2\n1,2,3\n")
    assert batch.malformed.row(0) == (2, "columns", "expected 2 fields, found 3", '["1", "2", "3"]')


def test_blank_lines_are_no_rows():
    batches = read("\n\na,b\n\n1,2\n   \n3\n\n4,5\n\n")
    assert rows(batches) == [("1", "2"), ("4", "5")]
    assert numbers(batches) == [1, 3]
    assert malformed(batches) == [(2, "columns")]


def test_a_blank_value_of_an_only_column_is_a_row():
    assert rows(read('a\n" "\n""\n  \nx\n')) == [(" ",), ("",), ("  ",), ("x",)]


def test_bytes_of_another_encoding_harm_their_row_only():
    batches = read(b"name,b\nM\xfcller,1\n" + "Müller,2\n".encode() + b"\xff,\xfe\n")
    assert rows(batches) == [("Müller", "2")]
    assert malformed(batches) == [(1, "encoding"), (3, "encoding")]
    received = [json.loads(told) for told in batches[0].malformed["received"]]
    assert received == [{"name": "Müller", "b": "1"}, {"name": "ÿ", "b": "þ"}]


@given(content=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_with_a_reason(content: bytes):
    try:
        batches = read(b"a,b\n" + content)
    except ContractError:
        return
    assert len(numbers(batches)) == len(rows(batches))


def test_rows_with_nul_are_kept_apart():
    batches = read("a,b\n1,\0\n2,3\n")
    assert rows(batches) == [("2", "3")]
    assert malformed(batches) == [(1, "encoding")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "shift_jis"])
def test_encodings(encoding: str):
    value = "日本" if encoding == "shift_jis" else "Müller"
    declared = {} if encoding in ("utf-8-sig", "utf-16", "utf-32") else {"encoding": encoding}
    assert rows(read(f"a,b\n{value},1\n".encode(encoding), **declared)) == [(value, "1")]


@pytest.mark.parametrize(
    ("delimiter", "line"),
    [
        (";", 'x;"y;z";1,5'),
        ("\\t", 'x\t"y\tz"\t1,5'),
        ("||", 'x||"y||z"||1,5'),
        ("whitespace", '  x   "y z"\t 1,5  '),
        ("¦", 'x¦"y¦z"¦1,5'),
    ],
)
def test_delimiters(delimiter: str, line: str):
    separator = {"\\t": "\t", "whitespace": "  "}.get(delimiter, delimiter)
    inner = {"\\t": "y\tz", "whitespace": "y z"}.get(delimiter, f"y{delimiter}z")
    header = separator.join(COLUMNS)
    assert rows(read(f"{header}\n{line}\n", delimiter=delimiter)) == [("x", inner, "1,5")]


def test_quotes_other_than_the_usual_and_none():
    assert rows(read("a,b\n'x,y',\"z\n", quote="'")) == [("x,y", '"z')]
    assert rows(read('a,b\n"x,6"\n', quote=None)) == [('"x', '6"')]


def test_a_quote_inside_a_field_is_text():
    assert rows(read('a,b\n6" pipe,"say ""yes"""\n')) == [('6" pipe', 'say "yes"')]


def test_a_field_whose_quotes_do_not_fit_takes_no_other_row_along():
    batches = read('a,b\n"x"y,1\n"open,2\n"p","q"\n3,4\n')
    assert rows(batches) == [("p", "q"), ("3", "4")]
    assert malformed(batches) == [(1, "quotes"), (2, "quotes")]
    assert json.loads(batches[0].malformed["received"][0]) == '"x"y,1'


def test_a_quote_that_is_never_closed_is_refused_by_its_line():
    with pytest.raises(ContractError, match="opens a quote in line 4 "):
        read('a,b\n1,2\n\n"3,4\n5,6\n')


@pytest.mark.parametrize("block", [64, 8_000_000])
def test_a_quote_that_is_not_closed_for_ages_is_refused_by_its_line(block: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", block)
    with pytest.raises(ContractError, match="opens a quote in line 3 "):
        read('a,b\n1,2\n"3,4\n' + "5,6\n" * 40_000 + '"7",8\n')


def test_a_file_without_header():
    assert rows(read("1,2\n3,4\n", header=False, columns=["a", "b"])) == [("1", "2"), ("3", "4")]


def test_a_header_alone_gives_its_columns():
    (batch,) = read("a,b")
    assert batch.rows.columns == ["a", "b"]
    assert batch.rows.height == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("17,20000,2\n18,30000,1\n", "looks like values, not names: 3 of 3"),
        ("a,b,a\n", "gives columns 1, 3 the same name"),
        ("a,,b,\n", r"no name for column\(s\) 2, 4"),
        ("a;b\n1;2\n", "looks split by ';'"),
        ("\n \n", "blank lines only"),
        (b"M\xfc,b\n1,2\n", "cannot be read as utf-8"),
    ],
)
def test_headers_that_cannot_be_one(content: str | bytes, told: str):
    with pytest.raises(ContractError, match=told) as refused:
        read(content)
    assert "20000" not in str(refused.value)


def test_inf_and_nan_pass_as_text():
    assert rows(read("a,b\ninf,NaN\n")) == [("inf", "NaN")]


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 10)
    monkeypatch.setattr(text, "_LONGEST_LINE", 40)
    with pytest.raises(ContractError, match="line of more than 40 characters"):
        read("a,b\n" + "x" * 100)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"delimeter": ";"}, "Did you mean 'delimiter'"),
        ({"encoding": "utf8x"}, "Did you mean 'utf-8'"),
        ({"delimiter": ""}, "'delimiter'"),
        ({"header": False}, "needs 'columns"),
        ({"columns": ["a"]}, "header: false"),
        ({"header": False, "columns": ["a", "a"]}, "twice"),
        ({"max_bytes": 0}, "'max_bytes'"),
    ],
)
def test_options_that_cannot_be(given: dict[str, Any], told: str):
    with pytest.raises(ContractError, match=told):
        checked(DelimitedOptions, given, "'load_args'")
