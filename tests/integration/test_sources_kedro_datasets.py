"""What Kedro's own datasets load, from the real thing, is taken by ``batches``."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import openpyxl
import polars as pl
import pytest
import sqlalchemy as sa
from kedro.io import DataCatalog
from servers import S3Server

from credit_scoring.core.received import Batch, batches

TABLE = sa.Table(
    "loans",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("code", sa.Text),
    sa.Column("amount", sa.Numeric(20, 2)),
    sa.Column("rate", sa.Double),
    sa.Column("opened_on", sa.Date),
    sa.Column("decided_at", sa.DateTime(timezone=True)),
    sa.Column("is_bad", sa.Boolean),
    sa.Column("reference", sa.Uuid),
    sa.Column("extra", sa.JSON),
)
EXACT = {
    "id": "9007199254740993",
    "code": "007",
    "amount": "12345678901234567.89",
    "rate": "0.1",
    "opened_on": "2026-01-31",
    "decided_at": "2026-01-31T09:30:00+00:00",
    "is_bad": "true",
    "reference": str(UUID(int=7)),
    "extra": '{"k":[1,null]}',
}


def loaded(entry: dict[str, Any], credentials: dict[str, Any] | None = None) -> list[Batch]:
    config = {"raw": entry | ({"credentials": "given"} if credentials else {})}
    dataset = DataCatalog.from_config(config, {"given": credentials} if credentials else None)["raw"]
    return list(batches(dataset.load(), "raw"))


def dicts(found: list[Batch]) -> list[dict[str, Any]]:
    return [row for batch in found for row in batch.rows.to_dicts()]


@pytest.fixture(scope="module")
def loans(postgres_url: str) -> Iterator[str]:
    engine = sa.create_engine(postgres_url)
    row = {
        "id": 2**53 + 1,
        "code": "007",
        "amount": Decimal("12345678901234567.89"),
        "rate": 0.1,
        "opened_on": date(2026, 1, 31),
        "decided_at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
        "is_bad": True,
        "reference": UUID(int=7),
        "extra": {"k": [1, None]},
    }
    TABLE.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(TABLE.insert(), [row, dict.fromkeys(row) | {"id": 2**53 + 2}])
    yield postgres_url
    TABLE.metadata.drop_all(engine)
    engine.dispose()


@pytest.mark.parametrize("chunks", [{}, {"chunksize": 1}], ids=["whole", "chunks"])
def test_a_query_of_postgresql_is_exact(chunks: dict[str, int], loans: str):
    args = {"coerce_float": False} | chunks
    entry = {"type": "pandas.SQLQueryDataset", "sql": "select * from loans order by id", "load_args": args}
    assert dicts(loaded(entry, {"con": loans})) == [EXACT, dict.fromkeys(EXACT) | {"id": str(2**53 + 2)}]


def test_a_table_of_postgresql_has_numbers_and_dates_as_pandas_knows_them(loans: str):
    entry = {"type": "pandas.SQLTableDataset", "table_name": "loans"}
    of_pandas = {"amount": "1.2345678901234568e+16", "opened_on": "2026-01-31T00:00:00+00:00"}
    assert dicts(loaded(entry, {"con": loans})) == [EXACT | of_pandas, dict.fromkeys(EXACT) | {"id": str(2**53 + 2)}]


def test_excel_keeps_ids_leading_zeros_dates_and_gaps(tmp_path: Path):
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (
        ["id", "code", "amount", "opened", "note"],
        [1, "007", 1.5, datetime(2026, 1, 31), "x"],
        [2, "010", 2, None, "NA"],
        [None, None, None, datetime(2026, 2, 1), " y "],
    ):
        sheet.append(row)
    book.save(tmp_path / "loans.xlsx")
    as_typed = {"dtype": "object", "keep_default_na": False, "na_values": [""]}  # else pandas makes 7 of the text 007
    entry = {"type": "pandas.ExcelDataset", "filepath": str(tmp_path / "loans.xlsx"), "load_args": as_typed}
    assert dicts(loaded(entry)) == [
        {"id": "1", "code": "007", "amount": "1.5", "opened": "2026-01-31T00:00:00+00:00", "note": "x"},
        {"id": "2", "code": "010", "amount": "2", "opened": None, "note": "NA"},
        {"id": None, "code": None, "amount": None, "opened": "2026-02-01T00:00:00+00:00", "note": " y "},
    ]


def test_all_sheets_of_a_workbook_are_sources_of_their_own(tmp_path: Path):
    book = openpyxl.Workbook()
    for name in ("north", "south"):
        sheet = book.create_sheet(name)
        sheet.append(["id"])
        sheet.append([name])
    book.remove(book["Sheet"])
    book.save(tmp_path / "loans.xlsx")
    entry = {"type": "pandas.ExcelDataset", "filepath": str(tmp_path / "loans.xlsx"), "load_args": {"sheet_name": None}}
    assert [(batch.source, batch.rows["id"].to_list()) for batch in loaded(entry)] == [
        ("raw/north", ["north"]),
        ("raw/south", ["south"]),
    ]


FRAME = pl.DataFrame(
    {
        "id": [2**53 + 1, 2],
        "amount": [0.1, None],
        "at": [datetime(2026, 1, 31, 9, 30, tzinfo=UTC), None],
        "tags": [["é"], None],
    }
)
FRAME_AS_TEXT = [
    {"id": str(2**53 + 1), "amount": "0.1", "at": "2026-01-31T09:30:00+00:00", "tags": '["é"]'},
    {"id": "2", "amount": None, "at": None, "tags": None},
]


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "pandas.ParquetDataset"},
        {"type": "polars.EagerPolarsDataset", "file_format": "parquet"},
        {"type": "polars.LazyPolarsDataset", "file_format": "parquet"},
    ],
    ids=["pandas", "eager", "lazy"],
)
def test_parquet_on_disk_and_in_a_bucket(entry: dict[str, Any], s3_server: S3Server, tmp_path: Path):
    path = tmp_path / "x.parquet"
    FRAME.write_parquet(path)
    assert dicts(loaded(entry | {"filepath": str(path)})) == FRAME_AS_TEXT
    s3_server.files().put(str(path), f"{s3_server.bucket}/kedro/x.parquet")
    in_bucket = entry | {"filepath": f"s3://{s3_server.bucket}/kedro/x.parquet"}
    assert dicts(loaded(in_bucket, s3_server.credentials)) == FRAME_AS_TEXT


def test_csv_by_pandas_in_chunks(tmp_path: Path):
    (tmp_path / "x.csv").write_text("id,code\n" + "".join(f"{n},00{n}\n" for n in range(10)))
    args = {"dtype": "str", "chunksize": 4, "keep_default_na": False}
    found = loaded({"type": "pandas.CSVDataset", "filepath": str(tmp_path / "x.csv"), "load_args": args})
    assert [batch.row_numbers.to_list() for batch in found] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert dicts(found) == [{"id": str(n), "code": f"00{n}"} for n in range(10)]


def test_json_arrays_and_partitions(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps([{"id": name, "n": 1.5}]))
    assert dicts(loaded({"type": "json.JSONDataset", "filepath": str(tmp_path / "a.json")})) == [
        {"id": "a", "n": "1.5"}
    ]
    entry = {"type": "partitions.PartitionedDataset", "path": str(tmp_path), "dataset": "json.JSONDataset"}
    assert [(b.source, b.rows["id"].to_list()) for b in loaded(entry)] == [("raw/a.json", ["a"]), ("raw/b.json", ["b"])]


def test_a_file_on_an_http_server(tmp_path: Path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    FRAME.write_parquet(tmp_path / "x.parquet")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/x.parquet"
        entry = {"type": "polars.EagerPolarsDataset", "file_format": "parquet", "filepath": url}
        assert dicts(loaded(entry)) == FRAME_AS_TEXT
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
