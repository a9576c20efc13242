"""features, parts, champion's bundle -> stability, metrics, Evidently report."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.monitoring.evidently_report import build_evidently_report
from credit_scoring.pipelines.monitoring.nodes import measure_stability


def create_pipeline(**_: object) -> Pipeline:
    """Create the monitoring pipeline; it looks at the features and points of the champion's own plan."""
    watched = {
        "features": "features_applicants",
        "parts": "features_parts",
        "champion": "champion_bundle",
        "options": "params:monitoring",
    }
    return Pipeline(
        [
            Node(
                measure_stability,
                inputs=watched | {"portfolio": "portfolio", "features_description": "features_description"},
                outputs=["monitoring_stability", "monitoring_scores"],
                name="measure_stability",
            ),
            Node(
                build_evidently_report,
                inputs=watched | {"stability": "monitoring_stability"},
                outputs=["monitoring_evidently_html", "monitoring_evidently_json"],
                name="build_evidently_report",
            ),
        ]
    )
