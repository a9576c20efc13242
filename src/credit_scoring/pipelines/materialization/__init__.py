"""Facts of stored applicants -> the feature cache."""

from credit_scoring.pipelines.materialization.pipeline import create_pipeline

__all__ = ["create_pipeline"]
