"""Bundles -> registered versions, and the first roles."""

from credit_scoring.pipelines.registration.pipeline import create_pipeline

__all__ = ["create_pipeline"]
