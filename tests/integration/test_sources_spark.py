"""PySpark frames are taken by ``batches``, instants as instants whatever the zone of Spark or of this process."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credit_scoring.core.received import batches

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")

QUERY = """
select cast(id as bigint) as id, '007' as code, timestamp'2026-01-31T09:30:00Z' as at, date'2026-01-31' as day,
       cast(1.5 as decimal(5, 2)) as amount, if(id = 0, null, 0.1D) as rate, array('é', null) as tags
from range(5)
"""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - seconds that a skipped test need not spend

    warehouse = str(tmp_path_factory.mktemp("spark"))
    options = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "Asia/Tokyo",
        "spark.sql.warehouse.dir": warehouse,
    }
    session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    yield session
    session.stop()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_spark_frame(zone: str, spark: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    found = list(batches(spark.sql(QUERY), "source", rows_at_once=2))
    monkeypatch.undo()
    time.tzset()
    rows = [row for batch in found for row in batch.rows.to_dicts()]
    expected = {
        "code": "007",
        "at": "2026-01-31T09:30:00+00:00",
        "day": "2026-01-31",
        "amount": "1.50",
        "rate": "0.1",
        "tags": '["é",null]',
    }
    assert rows == [{"id": str(n)} | expected | ({"rate": None} if n == 0 else {}) for n in range(5)]
    assert [number for batch in found for number in batch.row_numbers] == [1, 2, 3, 4, 5]
    assert all(batch.rows.height <= 2 for batch in found)


def test_an_empty_spark_frame_gives_its_columns(spark: Any):
    (batch,) = batches(spark.sql(QUERY).limit(0), "source")
    assert batch.rows.columns == ["id", "code", "at", "day", "amount", "rate", "tags"]


def test_spark_through_the_catalog(spark: Any, tmp_path: Path):
    from kedro.io import DataCatalog  # noqa: PLC0415

    spark.sql(QUERY).write.parquet(str(tmp_path / "x.parquet"))
    entry = {"type": "spark.SparkDatasetV2", "filepath": str(tmp_path / "x.parquet"), "file_format": "parquet"}
    loaded = DataCatalog.from_config({"raw": entry})["raw"].load()
    assert sorted(value for batch in batches(loaded, "raw") for value in batch.rows["id"]) == list("01234")
