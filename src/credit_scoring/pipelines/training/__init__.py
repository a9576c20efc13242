"""Features and outcomes -> one bundle per candidate."""

from credit_scoring.pipelines.training.pipeline import CANDIDATES, create_pipeline

__all__ = ["CANDIDATES", "create_pipeline"]
