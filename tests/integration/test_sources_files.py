import bz2
import gzip
import io
import lzma
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from kedro.io import DataCatalog, DatasetError
from servers import S3Server

from credit_scoring.adapters.sources import DelimitedDataset, JsonLinesDataset, compression
from credit_scoring.core.errors import ContractError

CONTENT = b"a,b\n1,2\n"
ROWS = [("1", "2")]


def rows(dataset: Any) -> list[tuple[Any, ...]]:
    return [row for batch in dataset.load() for row in batch.rows.rows()]


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "csv": bytes,
    "csv.gz": gzip.compress,
    "csv.bz2": bz2.compress,
    "csv.xz": lzma.compress,
    "csv.zip": lambda content: zipped(table=content),
}


def put(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_compression_is_told_by_the_name(suffix: str, tmp_path: Path):
    assert rows(DelimitedDataset(put(tmp_path / f"x.{suffix}", PACKERS[suffix](CONTENT)))) == ROWS


def test_zstd(tmp_path: Path):
    path = tmp_path / "x.csv.zst"
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
        stream.write(CONTENT)
    assert rows(DelimitedDataset(str(path))) == ROWS


def test_compression_may_be_declared(tmp_path: Path):
    path = put(tmp_path / "x.dat", gzip.compress(CONTENT))
    assert rows(DelimitedDataset(path, load_args={"compression": "gzip"})) == ROWS


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.bz2", "csv.xz", "csv.zip", "csv.zst"])
def test_a_file_that_is_cut_off_is_refused(suffix: str, tmp_path: Path):
    content = "".join(f"{n},{n * 7919 % 10007}\n" for n in range(50_000)).encode()
    path = tmp_path / f"x.{suffix}"
    if suffix == "csv.zst":
        with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
            stream.write(b"a,b\n" + content)
    else:
        path.write_bytes(PACKERS[suffix](b"a,b\n" + content))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ContractError, match=f"'x.{suffix}' (is cut off|cannot be read|is not)"):
        rows(DelimitedDataset(str(path)))


def test_a_damaged_archive_is_refused(tmp_path: Path):
    packed = bytearray(gzip.compress(CONTENT * 1000))
    packed[-6] ^= 0xFF
    with pytest.raises(ContractError, match=r"'x\.csv\.gz'"):
        rows(DelimitedDataset(put(tmp_path / "x.csv.gz", bytes(packed))))


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.bz2", "csv.xz", "csv.zip"])
def test_a_decompression_bomb_is_refused_before_it_is_whole(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(compression, "_RATIO_FROM", 1_000_000)
    bomb = b"a,b\n" + b"1,2\n" * 5_000_000
    with pytest.raises(ContractError, match="decompression bomb"):
        rows(DelimitedDataset(put(tmp_path / f"x.{suffix}", PACKERS[suffix](bomb))))


def test_content_that_shrinks_as_tables_do_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compression, "_RATIO_FROM", 100_000)
    content = "a,b\n" + "".join(f"{n},{n * 7919 % 10007}\n" for n in range(50_000))
    assert len(rows(DelimitedDataset(put(tmp_path / "x.csv.gz", gzip.compress(content.encode()))))) == 50_000


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_content_beyond_max_bytes_is_refused(suffix: str, tmp_path: Path):
    path = put(tmp_path / f"x.{suffix}", PACKERS[suffix](CONTENT * 100))
    with pytest.raises(ContractError, match=r"more than 500 bytes, the 'max_bytes'"):
        rows(DelimitedDataset(path, load_args={"max_bytes": 500}))


def _excel() -> bytes:
    made = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_excel(made, index=False)
    return made.getvalue()


def _parquet() -> bytes:
    made = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(made)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n<!DOCTYPE HTML><html><body>Sign in</body></html>", "a web page"),
        (b"<html>", "a web page"),
        (b'<?xml version="1.0"?><Workbook/>', "an XML document"),
        (_excel(), "an Excel workbook or a ZIP archive"),
        (_parquet(), "a Parquet file"),
        (gzip.compress(CONTENT), "compressed by gzip"),
        (zipped(table=CONTENT), "ZIP archive"),
        (b"%PDF-1.7", "a PDF"),
    ],
    ids=["empty", "html", "html_short", "xml", "excel", "parquet", "gzip", "zip", "pdf"],
)
@pytest.mark.parametrize("dataset", [DelimitedDataset, JsonLinesDataset])
def test_a_file_of_another_kind_is_told_as_what_it_is(dataset: Any, content: bytes, told: str, tmp_path: Path):
    with pytest.raises(ContractError, match=f"'x.csv' is.*{told}" if told != "is empty" else told):
        rows(dataset(put(tmp_path / "x.csv", content)))


def test_plain_text_under_the_name_of_an_archive_is_refused(tmp_path: Path):
    for suffix in ("gz", "bz2", "xz", "zip"):
        with pytest.raises(ContractError, match=f"'x.csv.{suffix}'"):
            rows(DelimitedDataset(put(tmp_path / f"x.csv.{suffix}", CONTENT * 50)))


@pytest.mark.parametrize(
    ("content", "told"), [(zipped(a=CONTENT, b=CONTENT), "2 files instead of one"), (zipped(), "0 files")]
)
def test_an_archive_holds_one_file(content: bytes, told: str, tmp_path: Path):
    with pytest.raises(ContractError, match=told):
        rows(DelimitedDataset(put(tmp_path / "x.zip", content)))


def test_an_absent_file_is_named(tmp_path: Path):
    dataset = DelimitedDataset(str(tmp_path / "absent.csv"))
    assert not dataset.exists()
    with pytest.raises(ContractError, match=re.escape(f"'{tmp_path}/absent.csv' is absent")):
        rows(dataset)


def test_rows_can_be_read_again(tmp_path: Path):
    received = DelimitedDataset(put(tmp_path / "x.csv", CONTENT)).load()
    assert [batch.rows.rows() for batch in received] == [batch.rows.rows() for batch in received] == [ROWS]


def test_received_files_are_never_written(tmp_path: Path):
    with pytest.raises(DatasetError, match="never written"):
        DelimitedDataset(put(tmp_path / "x.csv", CONTENT)).save(CONTENT)


def test_memory_and_other_filesystems_of_fsspec():
    with fsspec.open("memory://received/x.jsonl", "wb") as file:
        file.write(b'{"a": 1, "b": 2}\n')
    assert rows(JsonLinesDataset("memory://received/x.jsonl")) == ROWS


def test_a_bucket_through_the_catalog(s3_server: S3Server):
    s3_server.files().pipe(f"{s3_server.bucket}/files/x.csv.gz", gzip.compress(CONTENT))
    path = f"s3://{s3_server.bucket}/files/x.csv.gz"
    entry = {"type": "credit_scoring.adapters.sources.DelimitedDataset", "filepath": path, "credentials": "bucket"}
    dataset = DataCatalog.from_config({"raw": entry}, {"bucket": s3_server.credentials})["raw"]
    assert dataset.exists()
    assert rows(dataset) == ROWS
    assert s3_server.secret not in str(dataset)
    wrong = s3_server.credentials | {"secret": "wrong"}
    with pytest.raises(ContractError, match="may not be read") as refused:
        rows(DataCatalog.from_config({"raw": entry}, {"bucket": wrong})["raw"])
    assert "wrong" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes(CONTENT)
    path.chmod(0)
    with pytest.raises(ContractError, match="may not be read"):
        rows(DelimitedDataset(str(path)))
