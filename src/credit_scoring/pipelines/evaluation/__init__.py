"""Judges the two candidates on the holdout part."""

from credit_scoring.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
