"""Validated tables -> features of each applicant, and the part each belongs to."""

from credit_scoring.pipelines.features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
