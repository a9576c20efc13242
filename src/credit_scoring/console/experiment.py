"""Shows who decides, and puts the routing that conf declares in force."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import ValidationError

from credit_scoring.adapters.database.engine import opened
from credit_scoring.adapters.database.roles import RoleRepository
from credit_scoring.core.errors import DeclarationError, ExperimentError, RegistryError
from credit_scoring.core.roles import ROLES, FirstRoles, RolesRow, Routing
from credit_scoring.core.routing import challenger_share, first_lower_day, routing_in_words
from credit_scoring.environment import Environment

CONF = Path("conf")
ROUTED = "routing"
ROUTED_BACK = "routing, forced"
"""Causes of the rows that ``applied`` adds."""


def shown(portfolio: str, *, as_json: bool) -> str:
    """Return the row of the roles' history that holds, for people or as JSON; the salt is not told.

    Raises:
        RegistryError: If nobody holds a role yet.
        RecordsError: If the database cannot be opened or read.
    """
    with opened(Environment().database_url) as engine:
        row = _held(RoleRepository(engine), portfolio)
    return _as_json(portfolio, row) if as_json else _as_text(portfolio, row)


def applied(portfolio: str, *, force: bool) -> str:
    """Put the routing of conf in force by a new row, with the same models, experiment and salt; return what was done.

    Raises:
        ExperimentError: If a share would be lower than under the row that holds, unless ``force``.
        DeclarationError: If conf declares no such portfolio, or no routing that makes sense.
        RegistryError: If nobody holds a role yet.
        StaleRolesError: If another row came in between.
        RecordsError: If the database cannot be opened, read or written.
    """
    declared = _declared_routing(portfolio)
    with opened(Environment().database_url) as engine:
        book = RoleRepository(engine)
        row = _held(book, portfolio)
        held = row.roles.experiment
        if held.routing == declared:
            return f"Nothing to do: {routing_in_words(declared)} is in force since {_moment(row.recorded_at)}."
        today = datetime.now(UTC).date()
        lower = first_lower_day(held.routing, declared, today)
        if lower is not None and not force:
            raise ExperimentError(_moves_back(portfolio, held.routing, declared, lower))
        experiment = held.model_copy(update={"routing": declared})
        roles = row.roles.model_copy(update={"experiment": experiment})
        added = book.append(portfolio, row.sequence, roles, ROUTED if lower is None else ROUTED_BACK)
    return (
        f"Row {added.sequence}: {routing_in_words(declared)} is in force instead of {routing_in_words(held.routing)}, "
        f"with the same models and experiment '{held.id}'. Every worker follows within 5 seconds."
    )


def _held(book: RoleRepository, portfolio: str) -> RolesRow:
    row = book.current(portfolio)
    if row is None:
        raise RegistryError(
            f"Portfolio '{portfolio}' has no champion and challenger yet. Run 'kedro run --env={portfolio}' first."
        )
    return row


def _declared_routing(portfolio: str) -> Routing:
    from credit_scoring.pipelines.configuration import (  # noqa: PLC0415 - Kedro, which 'show' does without
        PortfolioConfigLoader,
        require_portfolio,
    )

    require_portfolio(CONF, portfolio)
    loader = PortfolioConfigLoader(CONF, env=portfolio, base_env="base", merge_strategy={"parameters": "soft"})
    try:
        return FirstRoles.model_validate(loader["parameters"]["registration"]).routing
    except ValidationError as exc:
        fault = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("registration", *fault["loc"]))
        raise DeclarationError(
            f"'{where}' in conf/*/parameters*.yml: {fault['msg'].removeprefix('Value error, ')}. Correct it there."
        ) from exc


def _moves_back(portfolio: str, held: Routing, declared: Routing, day: date) -> str:
    before, after = challenger_share(held, day), challenger_share(declared, day)
    return (
        f"From {day} on the challenger of '{portfolio}' would decide {after:.4g} of applicants instead of "
        f"{before:.4g}: some of those whom it decided would go back to the champion and have been in both arms, which "
        f"spoils the evidence. Raise the share in conf/*/parameters*.yml ('registration.routing'), or say --force."
    )


def _as_text(portfolio: str, row: RolesRow) -> str:
    experiment = row.roles.experiment
    lines = [f"{portfolio}: row {row.sequence} ({row.cause}), since {_moment(row.recorded_at)}"]
    for role in ROLES:
        ref = row.roles.holder(role)
        lines.append(f"  {role:<11}version {ref.version:<4} {ref.algorithm:<14} {ref.digest[:12]}")
    lines.append(f"  {'experiment':<11}{experiment.id}")
    today = challenger_share(experiment.routing, datetime.now(UTC).date())
    lines.append(f"  {'routing':<11}{routing_in_words(experiment.routing)}; the challenger decides {today:.4g} today")
    return "\n".join(lines)


def _as_json(portfolio: str, row: RolesRow) -> str:
    experiment = row.roles.experiment
    told: dict[str, object] = {
        "portfolio": portfolio,
        "sequence": row.sequence,
        "since": row.recorded_at.isoformat(),
        "cause": row.cause,
        **{role: row.roles.holder(role).model_dump(mode="json") for role in ROLES},
        "experiment": {"id": experiment.id, "routing": experiment.routing.model_dump(mode="json", by_alias=True)},
    }
    return json.dumps(told)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
