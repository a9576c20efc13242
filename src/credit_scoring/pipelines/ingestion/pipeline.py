"""raw_*, pushed_events -> checked_tables, taken_pushed_events -> validated_* and quarantine_rows."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.ingestion.nodes import (
    check_tables,
    split_tables,
    summarize_ingestion,
    take_pushed_events,
)


def create_pipeline(**_: object) -> Pipeline:
    """Create the ingestion pipeline."""
    return Pipeline(
        [
            Node(
                check_tables,
                inputs={"raw_applicants": "raw_applicants", "raw_tables": "raw_tables", "portfolio": "portfolio"},
                outputs="checked_tables",
                name="check_tables",
            ),
            Node(
                take_pushed_events,
                inputs="pushed_events",
                outputs="taken_pushed_events",
                name="take_pushed_events",
            ),
            Node(
                summarize_ingestion,
                inputs={
                    "checked_tables": "checked_tables",
                    "taken_pushed_events": "taken_pushed_events",
                    "previous_ingestion_summary": "previous_ingestion_summary",
                    "portfolio": "portfolio",
                },
                outputs=["quarantine_rows", "ingestion_summary", "ingestion_metrics"],
                name="summarize_ingestion",
            ),
            Node(
                split_tables,
                inputs={
                    "checked_tables": "checked_tables",
                    "taken_pushed_events": "taken_pushed_events",
                    "ingestion_summary": "ingestion_summary",
                    "portfolio": "portfolio",
                    "options": "params:ingestion",
                },
                outputs=[
                    "validated_applicants@written",
                    "validated_events@written",
                    "validated_outcomes",
                    "validated_protected",
                ],
                name="split_tables",
            ),
        ],
        tags="ingestion",
    )
