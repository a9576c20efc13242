"""Holds a period of applications against the development part."""

from credit_scoring.pipelines.monitoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
