"""Received rows -> validated tables, and quarantine."""

from credit_scoring.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
