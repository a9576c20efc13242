"""Where Kedro finds the configuration: a portfolio is an environment of the same name."""

from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf.resolvers import oc

from credit_scoring.core.errors import DeclarationError, nearest

DEFAULT_PORTFOLIO = "taiwan_cards"
DECLARATION = "portfolio.yml"


class PortfolioConfigLoader(OmegaConfigLoader):
    """Kedro's loader with two resolvers: ``${portfolio:name}``, and environment variables everywhere."""

    def __init__(
        self,
        conf_source: str | Path,
        env: str | None = None,
        runtime_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        portfolio = env or kwargs.get("default_run_env") or DEFAULT_PORTFOLIO
        require_portfolio(Path(conf_source), portfolio)
        resolvers = {"portfolio": {"name": portfolio}.__getitem__, "oc.env": oc.env}
        super().__init__(conf_source, env, runtime_params, custom_resolvers=resolvers, **kwargs)


def require_portfolio(conf: Path, portfolio: str) -> None:
    """Refuse an environment that declares no portfolio, before anything else can trip over it.

    Raises:
        DeclarationError: If ``conf/<portfolio>/portfolio.yml`` is absent.
    """
    declared = sorted(path.parent.name for path in conf.glob(f"*/{DECLARATION}"))
    if portfolio not in declared:
        raise DeclarationError(
            f"There is no portfolio '{portfolio}': '{conf / portfolio / DECLARATION}' is absent."
            f"{nearest(portfolio, declared)} Declared: {', '.join(declared) or 'none'}. "
            f"Choose one with --env, or write that file."
        )
