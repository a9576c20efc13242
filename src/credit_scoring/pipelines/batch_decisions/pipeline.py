"""raw_batch_applications, stored facts, roles -> records: decisions_batch, decisions_summary."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.batch_decisions.nodes import decide_applications, summarize_decisions


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that decides as the service does, without a request for each application."""
    return Pipeline(
        [
            Node(
                decide_applications,
                inputs={
                    "portfolio": "portfolio",
                    "raw_batch_applications": "raw_batch_applications",
                    "options": "params:batch_decisions",
                },
                outputs="decisions_batch",
                name="decide_applications",
            ),
            Node(
                summarize_decisions,
                inputs="decisions_batch",
                outputs=["decisions_summary", "decisions_metrics"],
                name="summarize_decisions",
            ),
        ],
        tags="batch_decisions",
    )
