"""Commands and their options; each imports what it needs when it runs, so that ``--help`` answers at once."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from credit_scoring.console.audit_commands import audit_app
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
quarantine_app = typer.Typer(no_args_is_help=True, help="Received rows that broke their contract.")
app.add_typer(quarantine_app, name="quarantine")
keys_app = typer.Typer(no_args_is_help=True, help="Keys of the API.")
app.add_typer(keys_app, name="keys")
app.add_typer(audit_app, name="audit")
experiment_app = typer.Typer(no_args_is_help=True, help="Who decides, and how applicants are parted.")
app.add_typer(experiment_app, name="experiment")

PortfolioName = Annotated[str, typer.Option("--portfolio", help="Name of the portfolio: a directory of conf/.")]


@app.callback()
def credit_scoring() -> None:
    """Score credit applications: load facts, serve decisions."""


@app.command()
def ingest(
    portfolio: PortfolioName = "taiwan_cards",
    follow: Annotated[bool, typer.Option("--follow", help="Take pushed events from Redis until stopped.")] = False,
    stream: Annotated[str | None, typer.Option(help="Key of the stream [credit_scoring:<portfolio>:events].")] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group [credit_scoring].")] = None,
    consumer: Annotated[str | None, typer.Option(help="This consumer in the group [<host>:<process>].")] = None,
    take_over_after: Annotated[
        float, typer.Option(min=0.1, help="Seconds after which messages that another consumer left are taken over.")
    ] = 60.0,
) -> None:
    """Load the validated applicants and events into the facts store, or --follow the events that are pushed.

    Producers push to a stream of the Redis at CREDIT_REDIS_URL, one event a message, at least once:
    XADD credit_scoring:<portfolio>:events * table <event table> event <JSON object of the received columns>.
    Under CREDIT_TENANT, the stream is credit_scoring:<tenant>:<portfolio>:events.
    An event is stored once by the declared 'id' of its table; without one, by the id of its message, and what is sent
    twice counts twice. What breaks the contract is set aside: see 'credit-scoring quarantine list'. Any number of
    followers share the work; SIGTERM and Ctrl-C end one after the messages in hand.
    """
    if follow:
        from credit_scoring.console.following import FollowOptions  # noqa: PLC0415
        from credit_scoring.console.following import follow as follow_events  # noqa: PLC0415

        options = FollowOptions(portfolio, stream, group, consumer, take_over_after)
        typer.echo(follow_events(options, typer.echo))
        return
    if stream or group or consumer:
        raise typer.BadParameter("--stream, --group and --consumer are of a stream: add --follow.")
    from credit_scoring.console.ingestion import ingest_portfolio  # noqa: PLC0415

    typer.echo(ingest_portfolio(portfolio))


@app.command()
def serve(
    portfolio: PortfolioName = "taiwan_cards",
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port to listen on.")] = 3000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that answer requests [CREDIT_WORKERS, or 1].")
    ] = None,
) -> None:
    """Serve the Bento that was built last, with the facts of its portfolio loaded."""
    from credit_scoring.console.ingestion import ingest_portfolio  # noqa: PLC0415
    from credit_scoring.console.server import built_tag, require_free_port, require_stored, run_server  # noqa: PLC0415

    tag = built_tag(portfolio)
    require_stored(tag)
    require_free_port(host, port)
    typer.echo(ingest_portfolio(portfolio))
    typer.echo(f"Serving {tag}; try http://{host}:{port}/docs")
    run_server(tag, host, port, workers)


@portfolio_app.command()
def check(name: Annotated[str, typer.Argument(help="Name of the portfolio: a directory of conf/.")]) -> None:
    """Check a portfolio's declaration and its received rows, without training."""
    from credit_scoring.console.portfolio_check import check_portfolio  # noqa: PLC0415

    typer.echo(check_portfolio(name))


@portfolio_app.command()
def init(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    file: Annotated[Path, typer.Argument(help="CSV (of any make), JSON lines, Parquet or Excel.")],
    target: Annotated[str | None, typer.Option(help="Column that tells what became of each loan.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the portfolio; by default that of the file.")] = None,
    key: Annotated[str | None, typer.Option(help="Column that names the applicant.")] = None,
    bad: Annotated[list[str] | None, typer.Option(help="A value of the target that is bad; may be repeated.")] = None,
    bad_above: Annotated[
        float | None, typer.Option(help="Number of the target, such as days late, above which an outcome is bad.")
    ] = None,
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Day of decision of all rows; by default today.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between fields, such as ';', '\\t' or whitespace.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Such as utf-8 or cp1252.")] = None,
    no_header: Annotated[bool, typer.Option("--no-header", help="The first row is no header.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a portfolio of that name.")] = False,
) -> None:
    """Draft a portfolio from a file: a declaration and a catalog that run as they stand."""
    from credit_scoring.adapters.received_file import GivenOptions  # noqa: PLC0415
    from credit_scoring.console.portfolio_init import InitOptions, init_portfolio  # noqa: PLC0415

    day = as_of.date() if as_of else None
    given = GivenOptions(delimiter, encoding, False if no_header else None)
    typer.echo(init_portfolio(file, InitOptions(target, name, key, tuple(bad or ()), bad_above, day, force, given)))


OneTable = Annotated[str | None, typer.Option("--table", help="Only rows of this table.")]


@quarantine_app.command("list")
def list_quarantine(
    portfolio: PortfolioName = "taiwan_cards",
    table: OneTable = None,
    rule: Annotated[str | None, typer.Option(help="Only rows that broke this rule, such as range.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="The most rows that are shown; all are counted.")] = 50,
    values: Annotated[bool, typer.Option("--values", help="Also show the rows as received: personal data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, and no summary.")] = False,
) -> None:
    """Show rows that are set aside, of files (as of the last kedro run) and pushed, and count them by rule."""
    from credit_scoring.console.quarantine import Shown, listed  # noqa: PLC0415

    for line in listed(Shown(portfolio, table, rule, limit, values, as_json)):
        typer.echo(line)


@quarantine_app.command("retry")
def retry_quarantine(portfolio: PortfolioName = "taiwan_cards", table: OneTable = None) -> None:
    """Check rows that are set aside again, under the present declaration.

    Pushed events that now meet their contract are stored, each once, and stay in the quarantine's records marked as
    re-admitted. Rows of files that now meet theirs join the validated tables, which are written anew; those that
    cannot be put into columns need a corrected file.
    """
    from credit_scoring.console.quarantine import retried  # noqa: PLC0415

    for line in retried(portfolio, table):
        typer.echo(line)


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What the key is called, such as the system that uses it.")],
    scopes: Annotated[str, typer.Option(help="With commas: decide, read, outcomes, ingest, promote, approve.")],
    tenant: Annotated[str | None, typer.Option(help="The lender whose rows it opens [CREDIT_TENANT].")] = None,
    person: Annotated[str | None, typer.Option(help="Who answers for it; by default called like the key.")] = None,
    expires_in: Annotated[str | None, typer.Option(help="Such as 90d, 12h or 30m; by default never.")] = None,
) -> None:
    """Make a key and show it once, alone on standard output; only its digest is kept."""
    from credit_scoring.console.keys import KeyRequest  # noqa: PLC0415
    from credit_scoring.console.keys import create_key as create  # noqa: PLC0415
    from credit_scoring.environment import Environment  # noqa: PLC0415

    text, told = create(KeyRequest(name, scopes, tenant or Environment().tenant, person, expires_in))
    typer.echo(told, err=True)
    typer.echo(text)


@keys_app.command("list")
def list_keys() -> None:
    """Show all keys, without their secrets."""
    from credit_scoring.console.keys import listed_keys  # noqa: PLC0415

    for line in listed_keys():
        typer.echo(line)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="Id of the key, as 'keys list' shows it.")]) -> None:
    """Have a key refused, for good, by every worker within 5 seconds."""
    from credit_scoring.console.keys import revoke_key as revoke  # noqa: PLC0415

    typer.echo(revoke(key_id))


@experiment_app.command("show")
def show_experiment(
    portfolio: PortfolioName = "taiwan_cards",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Show champion, challenger and the routing that is in force."""
    from credit_scoring.console.experiment import shown  # noqa: PLC0415

    typer.echo(shown(portfolio, as_json=as_json))


@experiment_app.command("apply")
def apply_routing(
    portfolio: PortfolioName = "taiwan_cards",
    force: Annotated[bool, typer.Option("--force", help="Also move applicants back to the champion.")] = False,
) -> None:
    """Put the routing that conf declares in force, with the same models and draws; every worker follows within 5 s.

    Conf gives the first row of the roles' history; afterwards the rows win, until this command adds one.
    """
    from credit_scoring.console.experiment import applied  # noqa: PLC0415

    typer.echo(applied(portfolio, force=force))
