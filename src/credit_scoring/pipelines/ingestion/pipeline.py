"""raw_applicants -> validated_* and quarantine_applicants."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.ingestion.nodes import check_applicants, split_tables


def create_pipeline(**_: object) -> Pipeline:
    """Create the ingestion pipeline."""
    return Pipeline(
        [
            Node(
                check_applicants,
                inputs={"raw_applicants": "raw_applicants", "portfolio": "portfolio"},
                outputs=["checked_applicants", "quarantine_applicants", "ingestion_summary", "ingestion_metrics"],
                name="check_applicants",
            ),
            Node(
                split_tables,
                inputs={
                    "checked_applicants": "checked_applicants",
                    "ingestion_summary": "ingestion_summary",
                    "portfolio": "portfolio",
                    "options": "params:ingestion",
                },
                outputs=["validated_applicants", "validated_events", "validated_outcomes", "validated_protected"],
                name="split_tables",
            ),
        ],
        tags="ingestion",
    )
