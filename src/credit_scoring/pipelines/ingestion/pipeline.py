"""raw_* -> checked_tables -> validated_* and quarantine_rows."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.ingestion.nodes import check_tables, split_tables, summarize_ingestion


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
                summarize_ingestion,
                inputs=["checked_tables", "previous_ingestion_summary", "portfolio"],
                outputs=["quarantine_rows", "ingestion_summary", "ingestion_metrics"],
                name="summarize_ingestion",
            ),
            Node(
                split_tables,
                inputs={
                    "checked_tables": "checked_tables",
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
