"""{candidate}.model_bundle, evaluation_metrics -> registered versions and roles: registration_summary."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.registration.nodes import register_candidates
from credit_scoring.pipelines.training import CANDIDATES


def create_pipeline(**_: object) -> Pipeline:
    """Create the registration pipeline."""
    trained = {f"{name}_bundle": f"{name}.model_bundle" for name in CANDIDATES}
    summaries = {f"{name}_summary": f"{name}.training_summary" for name in CANDIDATES}
    register = Node(
        register_candidates,
        inputs={
            "portfolio": "portfolio",
            "evaluation_metrics": "evaluation_metrics",
            "evaluation_report": "evaluation_report",
            "first_roles": "params:registration",
            **trained,
            **summaries,
        },
        outputs="registration_summary",
        name="register_candidates",
    )
    return Pipeline([register], tags="registration")
