"""Checks a portfolio's declaration and received data without training anything."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.contracts import received_tables
from credit_scoring.core.features.engines import with_as_of
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.leaks import leak_in
from credit_scoring.core.portfolio import Column, Portfolio
from credit_scoring.core.repeats import COPY
from credit_scoring.core.splitting import assign_parts
from credit_scoring.core.table_checks import CheckedTables
from credit_scoring.core.tables import application_table, event_tables, midnight, outcome_table
from credit_scoring.pipelines.configuration import DECLARATION, PortfolioConfigLoader, require_portfolio
from credit_scoring.pipelines.ingestion.nodes import IngestionOptions
from credit_scoring.pipelines.received_rows import checked_rows

CONF = Path("conf")
_RULES_SHOWN = 10


def check_portfolio(name: str) -> str:
    """Return what the declaration says and what the received rows are worth under it, for people.

    Raises:
        DeclarationError: If the portfolio is not declared, or its declaration has faults.
        ContractError: If a received table is absent, unreadable or lacks declared columns.
    """
    require_portfolio(CONF, name)
    portfolio = read_portfolio(CONF / name / DECLARATION)
    with checked_rows(portfolio, CONF) as checked:
        applicants = application_table(checked.valid, portfolio).collect()
        lines = [*_declared(portfolio), *_rows(checked, portfolio, _limit(name)), *_outcomes(checked, portfolio)]
        lines += [*_parts(applicants, portfolio), *_features(applicants, checked, portfolio)]
    return "\n".join(lines)


def _limit(name: str) -> float:
    """Return the share of rows that may be set aside before a run stops."""
    loader = PortfolioConfigLoader(CONF, env=name, base_env="base", merge_strategy={"parameters": "soft"})
    return IngestionOptions.model_validate(loader["parameters"]["ingestion"]).max_quarantined_share


def _declared(portfolio: Portfolio) -> Iterator[str]:
    plan = FeatureSet.of(portfolio)
    events = ", ".join(portfolio.events) or "none"
    yield f"{portfolio.name}: the declaration is valid"
    yield f"  {len(plan.names)} scored features ({plan.version}), event tables: {events}"


def _rows(checked: CheckedTables, portfolio: Portfolio, limit: float) -> Iterator[str]:
    for table, received in checked.received.items():
        set_aside = checked.quarantined.filter(table=table)
        valid = checked.valid[table].select(pl.len()).collect().item()
        yield f"  {table}: {received.rows:,} rows received: {valid:,} valid, {set_aside.height:,} set aside"
        by_rule = set_aside.group_by("column", "rule").len("rows").sort("rows", "column", descending=True)
        for column, rule, rows in by_rule.head(_RULES_SHOWN).iter_rows():
            yield f"    {rows:,} by the rule '{rule}' on {column or 'the whole row'}"
        if by_rule.height > _RULES_SHOWN:
            yield f"    and by {by_rule.height - _RULES_SHOWN} more; 'quarantine list' shows all after a run"
        if set_aside.filter(pl.col("rule") != COPY).height > limit * received.rows:
            yield f"    LOOK: a run stops here, as more than {limit:.1%} (ingestion.max_quarantined_share) are broken"
        declared = {column.source for column in received_tables(portfolio)[table].columns}
        if undeclared := [name for name in received.columns if name not in declared]:
            yield f"    received and not declared, so left out: {', '.join(undeclared)}"


def _outcomes(checked: CheckedTables, portfolio: Portfolio) -> Iterator[str]:
    labels = outcome_table(checked.valid, portfolio).group_by("label").len("rows").collect()
    counts: dict[str | None, int] = dict(labels.iter_rows())
    bads, goods = counts.pop("bad", 0), counts.pop("good", 0)
    rate = f"{bads / (bads + goods):.1%}" if bads + goods else "no"
    rest = ", ".join(f"{rows:,} {label or 'that no rule names'}" for label, rows in sorted(counts.items(), key=str))
    yield f"  {goods:,} good and {bads:,} bad outcomes ({rate} bad rate)" + (f", {rest}" if rest else "")


def _parts(applicants: pl.DataFrame, portfolio: Portfolio) -> Iterator[str]:
    parts = assign_parts(applicants, portfolio.split, portfolio.outcome.decided_from)
    sizes = parts.group_by("part").len().sort("part").iter_rows()
    yield "  split: " + ", ".join(f"{part} {size:,}" for part, size in sizes)


def _features(applicants: pl.DataFrame, checked: CheckedTables, portfolio: Portfolio) -> Iterator[str]:
    """Tell of features that cannot tell anybody apart; a clock's ``as_of`` is known only when a run is."""
    if portfolio.as_of.constant is None and portfolio.as_of.column is None:
        yield "  features are not computed here: 'as_of' is the time of the run"
        return
    if portfolio.as_of.constant is not None:
        applicants = with_as_of(applicants, midnight(portfolio.as_of.constant))
    events = {table: frame.collect() for table, frame in event_tables(checked.valid, portfolio).items()}
    features = FeatureSet.of(portfolio).compute(applicants, events)
    for name in features.columns[1:]:
        if features[name].null_count() == features.height:
            yield f"  {name} is missing for everybody"
        elif features[name].drop_nulls().n_unique() == 1 and not features[name].null_count():
            yield f"  {name} has the same value for everybody"
    yield from _leaks(features, outcome_table(checked.valid, portfolio), portfolio)


def _leaks(features: pl.DataFrame, outcomes: pl.LazyFrame, portfolio: Portfolio) -> Iterator[str]:
    """Tell of features that nearly tell the outcome alone, although nothing known at the decision does."""
    known = features.join(outcomes.drop_nulls("is_bad").collect(), on="applicant_id", maintain_order="left")
    is_bad = known["is_bad"].to_numpy().astype(np.float64)
    for name in features.columns[1:]:
        leak = leak_in(_readable(known[name], portfolio.application_columns.get(name)), is_bad)
        if leak is None or not (leak.sure or leak.auc):
            continue
        told = leak.why if leak.auc is None else f"tells the outcome almost alone (AUC {leak.auc:.2f})"
        yield f"  LOOK: {name} {told.removeprefix('it ')}: is it known only afterwards?"


def _readable(values: pl.Series, column: Column | None) -> pl.Series:
    """Return a feature that is a column as it stands by its categories, so that what is told of it names them."""
    if column is None or not column.categories:
        return values
    named = {float(number): category for number, category in enumerate(column.categories)}
    return values.cast(pl.Float64).replace_strict(named, default=None, return_dtype=pl.String)
