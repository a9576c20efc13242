"""Where Kedro finds the configuration: a portfolio is an environment of the same name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
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
            shared = self._of_environment(self.base_env)
            _require_known_groups(found, shared)
            _drop_other_strategys(
                found, shared, self._of_environment(self.env or self.default_run_env), self.runtime_params or {}
            )
        return found

    def _of_environment(self, env: str | None) -> dict[str, Any]:
        """Return the parameters that one environment sets; none where it has no such file."""
        try:
            return dict(OmegaConfigLoader(self.conf_source, env=env, base_env=env)["parameters"])
        except MissingConfigException:
            return {}


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


def _drop_other_strategys(found: dict[str, Any], shared: Mapping[str, Any], *given: Mapping[str, Any]) -> None:
    """Keep of the routing what was given for its strategy; merged, it would have the options of base's strategy too."""
    routing, of_base = _routing(found), _routing(shared)
    if routing.get("strategy") == of_base.get("strategy"):
        return
    named = {option for group in given for option in _routing(group)}
    found["registration"]["routing"] = {option: value for option, value in routing.items() if option in named}


def _routing(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``registration.routing``; nothing where it is not given, or given as what it cannot be."""
    group = parameters.get("registration")
    routing = group.get("routing") if isinstance(group, Mapping) else None
    return routing if isinstance(routing, Mapping) else {}


def _require_known_groups(found: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """Refuse a group that base does not have: nothing reads it, so what it sets would be ignored in silence."""
    for group in found:
        if group not in shared:
            raise DeclarationError(
                f"There is no group of parameters '{group}'.{nearest(group, shared)} There are: "
                f"{', '.join(sorted(shared))}. Correct it in conf/*/parameters*.yml or --params."
            )
