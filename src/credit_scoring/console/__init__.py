"""The console script ``credit-scoring``."""

from credit_scoring.console.app import app

__all__ = ["app"]
