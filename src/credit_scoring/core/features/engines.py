"""Tables of any engine made ready for one plan: Polars (eager and lazy), pandas, PySpark."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import narwhals as nw
import polars as pl

from credit_scoring.core.errors import FeatureTablesError, MissingInputsError
from credit_scoring.core.features.past import APPLICANT

Frame = Any
"""A table of any engine: a Polars DataFrame or LazyFrame, a pandas DataFrame or a PySpark DataFrame."""

_PYSPARK = (nw.Implementation.PYSPARK, nw.Implementation.PYSPARK_CONNECT)
_ENGINES = "Polars, pandas and PySpark"


def with_as_of(applicants: Frame, moment: datetime) -> Frame:
    """Return ``applicants``, of any engine, with ``moment`` as every row's ``as_of`` unless rows have their own."""
    frame = nw.from_native(applicants)
    if "as_of" in frame.collect_schema().names():
        return applicants
    if frame.implementation in _PYSPARK:  # whose moments are in the session's time zone, whatever that is
        since_1970 = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return applicants.selectExpr("*", f"timestamp_micros({since_1970}) AS as_of")
    return frame.with_columns(as_of=nw.lit(moment).cast(nw.Datetime("us", "UTC"))).to_native()


def on_one_engine(tables: Mapping[str, Frame]) -> dict[str, Frame]:
    """Return ``tables`` as frames of one engine: as they are, or in Polars where frames in memory are mixed.

    Raises:
        FeatureTablesError: If only some are PySpark's, or one is of an engine that features are not computed on.
    """
    engines = {table: nw.from_native(frame).implementation for table, frame in tables.items()}
    for table, engine in engines.items():
        if not (engine.is_polars() or engine.is_pandas() or engine in _PYSPARK):
            raise FeatureTablesError(
                f"Table '{table}' is a frame of {engine.name.lower()}; features are computed on {_ENGINES}. Choose "
                f"another dataset type for it in the catalog."
            )
    if len(set(engines.values())) == 1:
        return dict(tables)
    spark = sorted(table for table, engine in engines.items() if engine in _PYSPARK)
    if spark:
        others = sorted(engines.keys() - set(spark))
        raise FeatureTablesError(
            f"Table(s) {spark} are PySpark frames and {others} are not. Choose 'spark.SparkDatasetV2' in the catalog "
            f"for all tables that features read, or for none."
        )
    return {table: _lazy_polars(frame) for table, frame in tables.items()}


def frame_of(table: str, native: Frame, required: set[str]) -> nw.LazyFrame[Any]:
    """Return a native frame for a plan.

    Raises:
        MissingInputsError: If it lacks a required column.
    """
    frame = nw.from_native(native)
    missing = required - set(frame.collect_schema().names())
    if missing:
        raise MissingInputsError(table, missing)
    frame = frame.select(*sorted(required))
    if frame.implementation.is_pandas():
        # Only so does pandas tell missing from false, as every other engine does.
        frame = nw.from_native(frame.to_native().convert_dtypes(dtype_backend="pyarrow"))
    lazy: nw.LazyFrame[Any] = frame.lazy()
    return lazy


def numbered(applicants: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return applicants with ``_applicant``, by which events are grouped: a number is grouped by faster than a text."""
    if applicants.implementation.is_polars():
        native: pl.LazyFrame = applicants.to_native()
        return nw.from_native(native.with_row_index(APPLICANT))
    return applicants.with_columns(**{APPLICANT: nw.col("applicant_id")})


def in_microseconds(table: str, frame: nw.LazyFrame[Any], moments: Mapping[str, str]) -> nw.LazyFrame[Any]:
    """Return ``frame`` with moments as microseconds since 1970 too: ``moments`` are their columns by new name.

    Raises:
        FeatureTablesError: If a column holds no moments, or moments without a time zone.
    """
    schema = frame.collect_schema()
    for column in moments.values():
        kind = schema[column]
        if not isinstance(kind, nw.Datetime) or kind.time_zone is None:
            raise FeatureTablesError(
                f"Column '{column}' of table '{table}' is of type {kind}; moments are timestamps with a time zone. "
                f"Run the ingestion pipeline again, or have the dataset keep the type."
            )
    if frame.implementation in _PYSPARK:
        added = [f"unix_micros(`{column}`) AS `{name}`" for name, column in moments.items()]
        selected: nw.LazyFrame[Any] = nw.from_native(frame.to_native().selectExpr("*", *added))
        return selected
    return frame.with_columns(**{name: nw.col(column).dt.timestamp("us") for name, column in moments.items()})


def beside(rows: nw.LazyFrame[Any], found: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return applicants' ``rows``, in their order, with what was found of each, missing where nothing was."""
    if rows.implementation.is_polars():
        left: pl.LazyFrame = rows.to_native()
        return nw.from_native(left.join(found.to_native(), on=APPLICANT, how="left", maintain_order="left"))
    return rows.join(found, on=APPLICANT, how="left")


def in_order(computed: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return rows in the order of the applicants table; PySpark's have none and go by ``applicant_id``."""
    return computed.sort("applicant_id") if computed.implementation in _PYSPARK else computed


def collected(computed: nw.LazyFrame[Any]) -> pl.DataFrame:
    """Return a plan's result in Polars, what is not a number missing."""
    if computed.implementation.is_polars():
        # The streaming engine adds partial sums in any order; a value must not depend on that.
        return pl.DataFrame(computed.to_native().collect(engine="in-memory"))
    found: pl.DataFrame = computed.collect("polars").to_native()
    return found.with_columns(pl.col(pl.Float64).fill_nan(None))


def in_polars(frame: Frame, columns: Collection[str]) -> pl.DataFrame:
    """Return those of ``columns`` that a frame of any engine has, moments in UTC."""
    native = nw.from_native(frame)
    found = [column for column in native.collect_schema().names() if column in columns]
    moments = pl.selectors.datetime(time_zone="*")
    return collected(native.select(*found).lazy()).with_columns(moments.dt.convert_time_zone("UTC"))


def _lazy_polars(frame: Frame) -> pl.LazyFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame
    converted: pl.DataFrame = nw.from_native(frame, eager_only=True).to_polars()
    return converted.lazy()
