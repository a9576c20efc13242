"""validated_applicants, validated_events on the engine of their entries -> features_applicants, features_parts."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.features.nodes import assign_applicants, compute_features


def create_pipeline(**_: object) -> Pipeline:
    """Create the features pipeline."""
    return Pipeline(
        [
            Node(
                compute_features,
                inputs={
                    "portfolio": "portfolio",
                    "validated_applicants": "validated_applicants@features",
                    "validated_events": "validated_events@features",
                    "ingestion_summary": "ingestion_summary",
                    "options": "params:features",
                },
                outputs=["features_applicants", "features_description", "features_metrics"],
                name="compute_features",
            ),
            Node(
                assign_applicants,
                inputs=["validated_applicants@features", "portfolio"],
                outputs="features_parts",
                name="assign_applicants",
            ),
        ],
        tags="features",
    )
