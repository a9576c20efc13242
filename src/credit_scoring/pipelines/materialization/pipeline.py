"""stored_applicants, their facts, roles -> the feature cache: materialization_summary."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.materialization.nodes import fill_feature_cache


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that has the cache hold everybody's features before anybody asks."""
    fill = Node(
        fill_feature_cache,
        inputs={
            "portfolio": "portfolio",
            "stored_applicants": "stored_applicants",
            "options": "params:materialization",
        },
        outputs=["materialization_summary", "materialization_metrics"],
        name="fill_feature_cache",
    )
    return Pipeline([fill], tags="materialization")
