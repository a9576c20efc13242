"""Kedro settings."""

import warnings

from credit_scoring.hooks import TrackingHooks
from credit_scoring.pipelines.configuration import DEFAULT_PORTFOLIO, PortfolioConfigLoader

HOOKS = (TrackingHooks(),)
CONFIG_LOADER_CLASS = PortfolioConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": DEFAULT_PORTFOLIO,
    # A portfolio overrides single parameters, not whole groups of them.
    "merge_strategy": {"parameters": "soft"},
}

# Evaluation and registration stand outside the candidates' namespaces and read what both have made.
warnings.filterwarnings("ignore", message="One or more dataset names contain '.' characters", category=UserWarning)
