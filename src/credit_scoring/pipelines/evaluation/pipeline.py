"""features, parts, outcomes, two bundles -> metrics, plots, report."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.evaluation.nodes import draw_plots, evaluate_candidates, render_report, take_holdout


def create_pipeline(**_: object) -> Pipeline:
    """Create the evaluation pipeline; everything in it sees the holdout part alone."""
    candidates = {"scorecard": "scorecard.model_bundle", "boosted_trees": "boosted_trees.model_bundle"}
    judged = candidates | {"holdout": "evaluation_holdout", "options": "params:evaluation"}
    return Pipeline(
        [
            Node(
                take_holdout,
                inputs=candidates
                | {
                    "features": "features_applicants",
                    "features_description": "features_description",
                    "parts": "features_parts",
                    "outcomes": "validated_outcomes",
                },
                outputs="evaluation_holdout",
                name="take_holdout",
            ),
            Node(
                evaluate_candidates,
                inputs=judged,
                outputs=["evaluation_results", "evaluation_metrics", "evaluation_scores"],
                name="evaluate_candidates",
            ),
            Node(draw_plots, inputs=judged, outputs="evaluation_images", name="draw_plots"),
            Node(
                render_report,
                inputs=candidates
                | {"portfolio": "portfolio", "evaluation": "evaluation_results", "drawn": "evaluation_images"},
                # Stored plots would come back as functions that load them, one per file.
                outputs=["evaluation_report", "evaluation_plots"],
                name="render_report",
            ),
        ]
    )
