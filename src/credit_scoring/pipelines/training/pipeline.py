"""features_applicants, validated_outcomes, features_parts -> {candidate}.model_bundle."""

from kedro.pipeline import Node, Pipeline

from credit_scoring.pipelines.training.nodes import choose_fit_options, fit_model, take_development_part

CANDIDATES = ("scorecard", "boosted_trees")


def create_pipeline(**_: object) -> Pipeline:
    """Create the training pipeline: the development part once, then one fit per candidate."""
    shared = Node(
        take_development_part,
        inputs={
            "portfolio": "portfolio",
            "features_applicants": "features_applicants",
            "features_description": "features_description",
            "validated_outcomes": "validated_outcomes",
            "features_parts": "features_parts",
            "options": "params:development",
        },
        outputs="development",
        name="take_development_part",
    )
    candidates = [
        Pipeline(
            _fit_one_candidate(),
            namespace=candidate,
            inputs={"development", "features_description"},
            parameters={"params:candidate": f"params:{candidate}"},
        )
        for candidate in CANDIDATES
    ]
    return Pipeline(sum(candidates, Pipeline([shared])), tags="training")


def _fit_one_candidate() -> list[Node]:
    return [
        Node(
            choose_fit_options,
            inputs=["development", "params:candidate"],
            outputs="fit_options",
            name="choose_fit_options",
        ),
        Node(
            fit_model,
            inputs={
                "development": "development",
                "features_description": "features_description",
                "fit_options": "fit_options",
                "candidate": "params:candidate",
            },
            outputs=["model_bundle", "training_summary", "training_metrics"],
            name="fit_model",
        ),
    ]
