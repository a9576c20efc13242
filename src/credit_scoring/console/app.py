"""Commands and their options; each imports what it needs when it runs, so that ``--help`` answers at once."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from credit_scoring.core.errors import CreditScoringError


class _OneLineErrors(TyperGroup):
    """Shows our own errors as one line on stderr, with exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except CreditScoringError as exc:
            typer.echo(f"Error: {exc}", err=True)
            raise typer.Exit(1) from exc


app = typer.Typer(cls=_OneLineErrors, no_args_is_help=True, add_completion=False, rich_markup_mode=None)

portfolio_app = typer.Typer(no_args_is_help=True, help="Declared portfolios.")
app.add_typer(portfolio_app, name="portfolio")

PortfolioName = Annotated[str, typer.Option("--portfolio", help="Name of the portfolio: a directory of conf/.")]


@app.callback()
def credit_scoring() -> None:
    """Score credit applications: load facts, serve decisions."""


@app.command()
def ingest(portfolio: PortfolioName = "taiwan_cards") -> None:
    """Load the validated applicants and events into the facts store."""
    from credit_scoring.console.ingestion import ingest_portfolio  # noqa: PLC0415

    typer.echo(ingest_portfolio(portfolio))


@app.command()
def serve(
    portfolio: PortfolioName = "taiwan_cards",
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port to listen on.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the Bento that was built last, with the facts of its portfolio loaded."""
    from credit_scoring.console.ingestion import ingest_portfolio  # noqa: PLC0415
    from credit_scoring.console.server import built_tag, require_free_port, require_stored, run_server  # noqa: PLC0415

    tag = built_tag(portfolio)
    require_stored(tag)
    require_free_port(host, port)
    typer.echo(ingest_portfolio(portfolio))
    typer.echo(f"Serving {tag}; try http://{host}:{port}/docs")
    run_server(tag, host, port)


@portfolio_app.command()
def check(name: Annotated[str, typer.Argument(help="Name of the portfolio: a directory of conf/.")]) -> None:
    """Check a portfolio's declaration and its received rows, without training."""
    from credit_scoring.console.portfolio_check import check_portfolio  # noqa: PLC0415

    typer.echo(check_portfolio(name))
