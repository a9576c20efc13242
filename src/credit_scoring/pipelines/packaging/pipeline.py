"""registration_summary -> staged_package -> the Bento: packaging_summary."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.packaging.nodes import build_bento, stage_bundles


def create_pipeline(**_: object) -> Pipeline:
    """Create the packaging pipeline."""
    return Pipeline(
        [
            Node(
                stage_bundles,
                inputs={
                    "portfolio": "portfolio",
                    "current_roles": "current_roles",
                    "registration_summary": "registration_summary",
                },
                outputs="staged_package",
                name="stage_bundles",
            ),
            Node(build_bento, inputs="staged_package", outputs="packaging_summary", name="build_bento"),
        ],
        tags="packaging",
    )
