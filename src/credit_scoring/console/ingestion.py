"""From the validated tables on disk to the facts store."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.errors import ContractError
from credit_scoring.core.portfolio import EventsTable, Portfolio
from credit_scoring.environment import Environment


def ingest_portfolio(name: str) -> str:
    """Load what the ingestion pipeline validated, unless that very content is loaded; return what was done.

    Raises:
        DeclarationError: If the portfolio is not declared.
        ContractError: If a validated table is absent or cannot be read.
        RecordsError: If the database cannot be written.
    """
    portfolio = read_portfolio(Path("conf") / name / "portfolio.yml")
    paths = _validated(portfolio)
    content = {table: _read(path) for table, path in paths.items()}
    environment = Environment()
    owner = environment.owner(name)
    store = FactsRepository(open_database(environment.database_url))
    digest = _digest(content.values())
    if store.loaded_content(owner) == digest:
        return f"The facts of '{name}' are loaded already."
    columns = ("applicant_id", *portfolio.application_columns)
    applicants = _table(content[""], paths[""], columns)
    events = {
        table: _table(content[table], paths[table], (*_event_keys(declared), *declared.usable_columns))
        for table, declared in portfolio.events.items()
    }
    store.replace_all(owner, digest, applicants, events)
    counts = [f"{applicants.height:,} applicants", *(f"{rows.height:,} {table}" for table, rows in events.items())]
    return f"Loaded the facts of '{name}': {', '.join(counts)}."


def _event_keys(declared: EventsTable) -> Iterator[str]:
    yield from ("applicant_id", "occurred_at", "event_number")
    if declared.known_at is not None:
        yield "known_at"
    if declared.id is not None:
        yield "event_id"


def _validated(portfolio: Portfolio) -> dict[str, Path]:
    """Paths of the validated tables: the applicants under '', the events under their table's name."""
    directory = Path("data/2_validated") / portfolio.name
    events = {table: directory / "events" / f"{table}.parquet" for table in portfolio.events}
    return {"": directory / "applicants.parquet"} | events


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ContractError(f"Cannot read '{path}': {exc.strerror}. Run 'kedro run' first.") from exc


def _digest(contents: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for content in contents:
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()


def _table(content: bytes, path: Path, columns: Iterable[str]) -> pl.DataFrame:
    """What files brought of a table: pushed events are in the store already, and must not count twice."""
    try:
        rows = pl.read_parquet(io.BytesIO(content))
        return (rows.filter(~pl.col("pushed")) if "pushed" in rows.columns else rows).select(columns)
    except pl.exceptions.PolarsError as exc:
        raise ContractError(
            f"'{path}' does not hold the declared columns ({type(exc).__name__}). Run 'kedro run' again."
        ) from exc
