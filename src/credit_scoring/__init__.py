"""Credit scoring: declared portfolios, rival models, one decision service."""

__version__ = "0.1.0"
