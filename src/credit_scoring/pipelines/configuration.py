"""Where Kedro finds the configuration: a portfolio is an environment of the same name."""

from collections.abc import Mapping
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

    def __getitem__(self, key: str) -> Any:
        """Return the configuration under ``key``. Raises DeclarationError for a group of parameters nobody reads."""
        found = super().__getitem__(key)
        if key == "parameters":
            shared = OmegaConfigLoader(self.conf_source, env=self.base_env, base_env=self.base_env)[key]
            _require_known_groups(found, shared)
        return found


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


def _require_known_groups(found: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """Refuse a group that base does not have: nothing reads it, so what it sets would be ignored in silence."""
    for group in found:
        if group not in shared:
            raise DeclarationError(
                f"There is no group of parameters '{group}'.{nearest(group, shared)} There are: "
                f"{', '.join(sorted(shared))}. Correct it in conf/*/parameters*.yml or --params."
            )
