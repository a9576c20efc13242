"""Stored applicants -> recorded decisions."""

from credit_scoring.pipelines.batch_decisions.pipeline import create_pipeline

__all__ = ["create_pipeline"]
