"""Checks a portfolio's declaration and received data without training anything."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from kedro.io import DataCatalog, DatasetError

from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.contracts import CheckedRows, check_rows
from credit_scoring.core.errors import ContractError
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.splitting import assign_parts
from credit_scoring.core.tables import application_table, event_tables, midnight, outcome_table, with_as_of
from credit_scoring.pipelines.configuration import DECLARATION, PortfolioConfigLoader, require_portfolio

CONF = Path("conf")


def check_portfolio(name: str) -> str:
    """Return what the declaration says and what the received rows are worth under it, for people.

    Raises:
        DeclarationError: If the portfolio is not declared, or its declaration has faults.
        ContractError: If the received file is absent, unreadable or lacks declared columns.
    """
    require_portfolio(CONF, name)
    portfolio = read_portfolio(CONF / name / DECLARATION)
    raw = _received(name)
    checked = check_rows(raw, portfolio)
    lines = [*_declared(portfolio), *_rows(raw, checked), *_outcomes(checked, portfolio), *_parts(checked, portfolio)]
    return "\n".join([*lines, *_features(checked, portfolio)])


def _received(name: str) -> pl.DataFrame:
    loader = PortfolioConfigLoader(CONF, env=name, base_env="base", default_run_env=name)
    catalog = DataCatalog.from_config({"raw_applicants": loader["catalog"]["raw_applicants"]})
    try:
        received: pl.DataFrame = catalog.load("raw_applicants")
    except DatasetError as exc:
        reason = str(exc.__cause__ or exc).splitlines()[0]
        raise ContractError(
            f"The received rows of '{name}' cannot be read: {reason}. Put the file where 'raw_applicants' in "
            f"conf/*/catalog_*.yml says, or correct that entry."
        ) from exc
    return received


def _declared(portfolio: Portfolio) -> Iterator[str]:
    plan = FeatureSet.of(portfolio)
    events = ", ".join(portfolio.events) or "none"
    yield f"{portfolio.name}: the declaration is valid"
    yield f"  {len(plan.names)} scored features ({plan.version}), event tables: {events}"


def _rows(raw: pl.DataFrame, checked: CheckedRows) -> Iterator[str]:
    yield f"  {raw.height:,} rows received: {checked.valid.height:,} valid, {checked.quarantined.height:,} set aside"
    by_rule = checked.quarantined.group_by("column", "rule").len("rows").sort("rows", "column", descending=True)
    for column, rule, rows in by_rule.head(10).iter_rows():
        yield f"    {rows:,} by the rule '{rule}' on {column or 'the whole row'}"


def _outcomes(checked: CheckedRows, portfolio: Portfolio) -> Iterator[str]:
    is_bad = outcome_table(checked.valid, portfolio)["is_bad"]
    bads, known = int(is_bad.sum() or 0), len(is_bad) - is_bad.null_count()
    rate = f"{bads / known:.1%}" if known else "no"
    yield f"  {known - bads:,} good and {bads:,} bad outcomes ({rate} bad rate), {is_bad.null_count():,} neither"


def _parts(checked: CheckedRows, portfolio: Portfolio) -> Iterator[str]:
    parts = assign_parts(checked.valid["applicant_id"], portfolio.split)
    sizes = parts.group_by("part").len().sort("part").iter_rows()
    yield "  split: " + ", ".join(f"{part} {size:,}" for part, size in sizes)


def _features(checked: CheckedRows, portfolio: Portfolio) -> Iterator[str]:
    """Tell of features that cannot tell anybody apart; a clock's ``as_of`` is known only when a run is."""
    if portfolio.as_of.constant is None:
        yield "  features are not computed here: 'as_of' is the time of the run"
        return
    applicants = with_as_of(application_table(checked.valid, portfolio), midnight(portfolio.as_of.constant))
    features = FeatureSet.of(portfolio).compute(applicants, event_tables(checked.valid, portfolio))
    for name in features.columns[1:]:
        if features[name].null_count() == features.height:
            yield f"  {name} is missing for everybody"
        elif features[name].drop_nulls().n_unique() == 1 and not features[name].null_count():
            yield f"  {name} has the same value for everybody"
