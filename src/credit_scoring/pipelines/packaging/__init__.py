"""Bundles that hold roles -> the Bento."""

from credit_scoring.pipelines.packaging.pipeline import create_pipeline

__all__ = ["create_pipeline"]
