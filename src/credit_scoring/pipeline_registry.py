"""Kedro's entry point to the pipelines."""

from kedro.pipeline import Pipeline

from credit_scoring.pipelines import (
    batch_decisions,
    evaluation,
    features,
    ingestion,
    materialization,
    monitoring,
    packaging,
    registration,
    training,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name; ``__default__`` goes from received rows to the built Bento."""
    steps = {
        "ingestion": ingestion.create_pipeline(),
        "features": features.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "registration": registration.create_pipeline(),
        "packaging": packaging.create_pipeline(),
    }
    afterwards = {
        "materialization": materialization.create_pipeline(),
        "batch_decisions": batch_decisions.create_pipeline(),
        "monitoring": monitoring.create_pipeline(),
    }
    return {"__default__": sum(steps.values(), Pipeline([])), **steps, **afterwards}
