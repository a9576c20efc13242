"""The catalog decides the engine: the features pipeline on Polars, pandas and PySpark entries of the same files."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from spark_session import spark

from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.table_checks import CheckedTables
from credit_scoring.core.tables import application_table, event_tables
from credit_scoring.pipelines import features
from credit_scoring.pipelines.features.nodes import FeatureOptions

__all__ = ["spark"]  # a fixture that one engine asks for

APPLICANTS = 300
FEATURES = (
    *("limit_twd", "education", "status_now", "status_trend", "worst_delay_3m", "months_since_arrears"),
    *("bill_now", "utilisation_now", "share_late_1m", "paid_sum_3m"),
)
"""One of each kind: PySpark takes a while for each."""

ENGINES = {
    "lazy Polars": {"type": "polars.LazyPolarsDataset", "file_format": "parquet"},
    "eager Polars": {"type": "polars.EagerPolarsDataset", "file_format": "parquet"},
    "pandas": {"type": "pandas.ParquetDataset"},
    "PySpark": {"type": "spark.SparkDatasetV2", "file_format": "parquet"},
}


@pytest.fixture(scope="module")
def validated(taiwan: Portfolio, taiwan_checked: CheckedTables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a few applicants as the ingestion writes them."""
    folder = tmp_path_factory.mktemp("validated")
    applicants = application_table(taiwan_checked.valid, taiwan).collect().head(APPLICANTS)
    applicants.write_parquet(folder / "applicants.parquet")
    for table, rows in event_tables(taiwan_checked.valid, taiwan).items():
        rows.collect().join(applicants, on="applicant_id", how="semi").write_parquet(folder / f"{table}.parquet")
    return folder


def computed(taiwan: Portfolio, validated: Path, engine: dict[str, Any]) -> dict[str, Any]:
    tables = "credit_scoring.adapters.table_datasets.TablesDataset"
    config = {
        "validated_applicants@features": engine | {"filepath": str(validated / "applicants.parquet")},
        "validated_events@features": {
            "type": tables,
            "dataset": engine | {"filepath": f"{validated}/{{table}}.parquet"},
        },
    }
    catalog = DataCatalog.from_config(config)
    few = taiwan.model_copy(update={"features": {name: taiwan.features[name] for name in FEATURES}})
    given = {"portfolio": few, "ingestion_summary": {"dataset_version": "1"}, "params:features": FeatureOptions()}
    for name, value in given.items():
        catalog[name] = MemoryDataset(value, copy_mode="assign")
    return {name: saved.load() for name, saved in SequentialRunner().run(features.create_pipeline(), catalog).items()}


@pytest.fixture(scope="module")
def expected(taiwan_features: pl.DataFrame) -> pl.DataFrame:
    return taiwan_features.head(APPLICANTS).select("applicant_id", *FEATURES)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_features_pipeline_runs_on_the_engine_of_its_entries(
    engine: str, taiwan: Portfolio, validated: Path, expected: pl.DataFrame, request: pytest.FixtureRequest
):
    if engine == "PySpark":
        request.getfixturevalue("spark")  # the session that the dataset then finds
    found = computed(taiwan, validated, ENGINES[engine])
    features, parts = found["features_applicants"].sort("applicant_id"), found["features_parts"]
    right = expected.sort("applicant_id")
    assert features.schema == right.schema
    for name in right.columns[1:]:
        both = pl.DataFrame({"found": features[name], "right": right[name]})
        assert both.filter(~pl.col("found").eq_missing(pl.col("right"))).rows() == [], name
    assert sorted(parts["applicant_id"]) == right["applicant_id"].to_list()
    assert found["features_metrics"]["applicants"] == APPLICANTS
    assert found["features_description"]["as_of"] == "2005-10-01T00:00:00+00:00"
