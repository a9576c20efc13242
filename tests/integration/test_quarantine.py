import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from factories import build_declaration
from sqlalchemy import Engine, select
from tenants import facts_of as known_facts
from tenants import owned
from typer.testing import CliRunner, Result

from credit_scoring.adapters.database import schema
from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.database.facts import FactsRepository
from credit_scoring.adapters.database.pushed import PushedEventRepository
from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.console import app
from credit_scoring.core.pushed import read_message
from credit_scoring.core.row_checks import QUARANTINE_SCHEMA
from credit_scoring.usecases.accept_events import EventIntake

NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)
PRIVATE = "987654"
"""A value of an applicant, which nothing but --values may show."""

FILED = {"table": "applicants", "source": "loans.csv", "row_key": "a9", "received": "{}"}


def payment(number: int, **overrides: Any) -> dict[str, Any]:
    given = {"ID": "a1", "WHEN": "2020-05-01", "SEEN": None, "TX": f"t{number}", "paid_eur": 5, "due": "2020-07-01"}
    return given | overrides


def declare(**columns: Any) -> None:
    """Declare payments of at most 100 EUR, unless ``columns`` say otherwise."""
    paid = {"type": "number", "min": 0, "max": 100} | columns
    payments = {
        "columns": {"paid_eur": paid, "due": {"type": "date"}},
        "occurred_at": "WHEN",
        "known_at": "SEEN",
        "id": "TX",
    }
    declaration = build_declaration(events={"payments": payments}, features={}, reasons={})
    Path("conf/tiny").mkdir(parents=True, exist_ok=True)
    Path("conf/tiny/portfolio.yml").write_text(yaml.safe_dump(declaration))


@pytest.fixture
def engine(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The database of a project in which payments of at most 100 EUR are declared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDIT_DATABASE_URL", database_url)
    declare()
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def push(engine: Engine, *events: Any, table: str = "payments") -> None:
    intake = EventIntake(read_portfolio(Path("conf/tiny/portfolio.yml")), owned("tiny"), PushedEventRepository(engine))
    for event in events:
        push.number += 1
        fields = {b"table": table.encode(), b"event": (event if isinstance(event, str) else json.dumps(event)).encode()}
        intake.accept([read_message("s", f"1600000000000-{push.number}", fields, NOW)])


push.number = 0


def filed(*rows: dict[str, Any]) -> None:
    path = Path("data/2_validated/tiny/quarantine.parquet")
    path.parent.mkdir(parents=True)
    numbered = [
        {"row_number": number, "column": "", "reason": "so"} | FILED | row for number, row in enumerate(rows, 1)
    ]
    pl.DataFrame(numbered, schema=QUARANTINE_SCHEMA).write_parquet(path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["quarantine", *arguments, "--portfolio", "tiny"])
    assert result.exit_code == 0, result.output
    return result


def facts_of(engine: Engine, applicant_id: str = "a1") -> Any:
    facts = FactsRepository(engine)
    facts.replace_all(owned("tiny"), "hash", pl.DataFrame({"applicant_id": ["a1"], "income_eur": [1.0]}), {})
    found = known_facts(facts, owned("tiny"), applicant_id)
    return found.events.get("payments", []) if found else []


def test_rows_of_files_and_pushed_ones_are_listed_without_values(engine):
    push(engine, payment(1, paid_eur=int(PRIVATE)), payment(2, WHEN=PRIVATE), f'{{"{PRIVATE}')
    filed({"rule": "range", "column": "INCOME", "received": f'{{"INCOME": "{PRIVATE}"}}', "row_key": PRIVATE})
    told = run("list").stdout
    assert "applicants  loans.csv, row 1  rule 'range' on INCOME: so" in told
    assert "payments  s, event t1  rule 'range' on paid_eur: paid_eur must be between 0 and 100" in told
    assert "payments  s, event t2  rule 'type' on WHEN" in told
    assert "rule 'json': the event is not valid JSON" in told
    assert "4 rows are set aside." in told
    assert PRIVATE not in told
    assert told.count("\n") == 4 + 1 + 4


def test_values_are_shown_to_who_asks_for_them(engine):
    push(engine, payment(1, paid_eur=int(PRIVATE)))
    filed({"rule": "range", "received": f'{{"INCOME": "{PRIVATE}"}}'})
    assert run("list", "--values").stdout.count(PRIVATE) == 2
    lines = [json.loads(line) for line in run("list", "--values", "--json").stdout.splitlines()]
    assert json.loads(lines[0]["received"]) == {"INCOME": PRIVATE}
    assert json.loads(lines[1]["received"])["paid_eur"] == int(PRIVATE)


def test_json_lines_hold_no_values_and_no_keys(engine):
    push(engine, payment(1, paid_eur=int(PRIVATE)))
    filed({"rule": "range", "row_key": PRIVATE})
    told = run("list", "--json").stdout
    assert PRIVATE not in told
    file, pushed = [json.loads(line) for line in told.splitlines()]
    assert file.keys() == QUARANTINE_SCHEMA.keys() - {"received", "row_key"}
    assert (pushed["event_id"], pushed["rule"], pushed["received_at"]) == ("t1", "range", NOW.isoformat())


def test_a_list_can_be_narrowed_and_counts_what_it_does_not_show(engine):
    push(engine, *(payment(number, paid_eur=-1) for number in range(5)), payment(9, due="x", paid_eur="y"))
    filed({"rule": "range"}, {"rule": "type; range"}, {"rule": "copy"})
    assert "9 rows are set aside, 2 are shown." in run("list", "--limit", "2").stdout
    assert "3 rows are set aside." in run("list", "--table", "applicants").stdout
    assert "7 rows are set aside." in run("list", "--rule", "range").stdout
    assert "5  payments  rule 'range' on paid_eur" in run("list", "--table", "payments", "--limit", "0").stdout
    assert run("list", "--rule", "nothing").stdout == "0 rows are set aside.\n"


def test_what_a_producer_sends_is_no_command_to_the_terminal(engine):
    push(engine, payment(1, TX="\x1b[2Jt1", paid_eur=-1), payment(1), table="payments")
    push(engine, payment(2), table="\x1b]0;x\x07")
    assert "\x1b" not in run("list", "--values").stdout


def test_a_retry_readmits_what_meets_the_present_declaration(engine):
    push(engine, payment(1, paid_eur=150), payment(2, paid_eur=250), payment(3), "{")
    assert "0 pushed events re-admitted." in run("retry").stdout
    declare(max=200)
    told = run("retry").stdout
    assert "1 pushed events re-admitted (1 payments)." in told
    assert "2 pushed messages still fail:" in told
    assert "rule 'range' on paid_eur: paid_eur must be between 0 and 200" in told
    assert "250" not in told
    assert [event.values["paid_eur"] for event in facts_of(engine)] == [150, 5]
    assert "0 pushed events re-admitted." in run("retry").stdout
    assert "2 rows are set aside." in run("list").stdout
    with engine.connect() as connection:
        kept = connection.execute(select(schema.quarantine.c.readmitted_at).order_by("sent_number")).scalars().all()
    assert [at is not None for at in kept] == [True, False, False]


def test_a_readmitted_event_is_known_from_when_it_was_received(engine):
    push(engine, payment(1, paid_eur=150), payment(2, paid_eur=150, SEEN="2020-05-03"))
    declare(max=200)
    run("retry")
    first, second = facts_of(engine)
    assert (first.known_at, second.known_at) == (NOW, datetime(2020, 5, 3, tzinfo=UTC))
    assert first.values == {"paid_eur": 150, "due": "2020-07-01T00:00:00+00:00"}


def test_a_retry_never_replaces_what_came_meanwhile(engine):
    push(engine, payment(1, paid_eur=150), payment(2, paid_eur=150))
    declare(max=200)
    push(engine, payment(1, paid_eur=150), payment(2, paid_eur=7))
    told = run("retry").stdout
    assert "1 pushed events re-admitted (1 payments), of which 1 repeat events that came meanwhile." in told
    assert "rule 'unique': another event of this id, with other content, came first and stays" in told
    assert sorted(event.values["paid_eur"] for event in facts_of(engine)) == [7, 150]


def test_a_retry_may_be_of_one_table(engine):
    push(engine, payment(1, paid_eur=150))
    push(engine, payment(2), table="payment")
    declare(max=200)
    assert "0 pushed events re-admitted." in run("retry", "--table", "payment").stdout
    assert "1 pushed events re-admitted (1 payments)." in run("retry", "--table", "payments").stdout


def test_a_damaged_quarantine_of_files_is_told_in_one_line(engine):
    filed({"rule": "range"})
    Path("data/2_validated/tiny/quarantine.parquet").write_bytes(b"nothing")
    result = CliRunner().invoke(app, ["quarantine", "list", "--portfolio", "tiny"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "kedro run --env=tiny --pipeline=ingestion" in result.stderr
