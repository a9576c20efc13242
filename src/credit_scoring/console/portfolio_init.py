"""Drafts a portfolio from a received file: a declaration and a catalog that run as they stand."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from credit_scoring.adapters.files import replaced_file
from credit_scoring.adapters.portfolio_file import parse_portfolio
from credit_scoring.adapters.received_file import (
    GivenOptions,
    ReceivedFile,
    ReceivedRows,
    in_another_encoding,
    read_rows,
    recognise,
)
from credit_scoring.core.contracts import applicants_contract
from credit_scoring.core.drafting.cutoffs import small_sample_options
from credit_scoring.core.drafting.draft import Draft, Wishes, draft_portfolio
from credit_scoring.core.drafting.names import portfolio_name
from credit_scoring.core.drafting.rendering import render
from credit_scoring.core.drafting.yaml_text import comment, entry
from credit_scoring.core.errors import DeclarationError
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.received import MALFORMED_SCHEMA, Batch
from credit_scoring.core.row_checks import check_batch
from credit_scoring.pipelines.configuration import DECLARATION

CONF = Path("conf")
CATALOG = "catalog.yml"
PARAMETERS = "parameters.yml"
_CHECKED = 200_000
_LISTED = 12


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What was typed beside the file; None or empty where nothing was."""

    target: str | None = None
    name: str | None = None
    key: str | None = None
    bad: tuple[str, ...] = ()
    bad_above: float | None = None
    as_of: date | None = None
    force: bool = False
    file: GivenOptions = field(default_factory=GivenOptions)


def init_portfolio(path: Path, options: InitOptions, today: date | None = None) -> str:
    """Write ``conf/<name>/portfolio.yml`` and ``catalog.yml`` from the file, and return what was found, for people.

    Raises:
        ContractError: If the file is absent, damaged or holds no rows.
        DeclarationError: If this is no project, the portfolio is declared already, or nothing can be learnt.
    """
    name = options.name or portfolio_name(path.name.split(".")[0])
    _require_place(name, options)
    file = recognise(path, options.file)
    received = read_rows(file)
    other = in_another_encoding(file, received, options.file)
    if other is not None:
        file, received = other, read_rows(other)
    today = today or datetime.now(UTC).date()
    wishes = Wishes(name, options.target, options.key, options.bad, options.bad_above, options.as_of)
    draft = draft_portfolio(received.rows, wishes, today, received.whole)
    declaration = render(draft, path.name, _command())
    portfolio = parse_portfolio(declaration, str(CONF / name / DECLARATION), expected_name=name)
    set_aside = _set_aside(received.rows, portfolio)
    texts = {CATALOG: _catalog(file, name), **_parameters(draft), DECLARATION: declaration}
    for filename, text in texts.items():
        with replaced_file(CONF / name / filename) as staged:
            staged.write_text(text, encoding="utf-8")
    return "\n".join([*_told(draft, file, received, path), *_told_of_rows(set_aside), *_told_next(name)])


def _require_place(name: str, options: InitOptions) -> None:
    if name != portfolio_name(name):
        raise DeclarationError(
            f"'{name}' cannot name a portfolio: lower case letters, digits and underscores can. Use --name "
            f"{portfolio_name(name)}."
        )
    if not CONF.is_dir():
        raise DeclarationError("There is no directory 'conf' here. Run this in the directory of the project.")
    written = [str(CONF / name / file) for file in (DECLARATION, CATALOG, PARAMETERS) if (CONF / name / file).exists()]
    if written and not options.force:
        raise DeclarationError(
            f"The portfolio '{name}' exists: {' and '.join(written)}. Choose another --name, or replace it with "
            f"--force."
        )


def _command() -> str:
    return shlex.join(["credit-scoring", *sys.argv[1:]]) if "init" in sys.argv else "credit-scoring portfolio init"


def _set_aside(rows: pl.DataFrame, portfolio: Portfolio) -> Mapping[str, int]:
    """Return how many of the rows that were looked at the draft sets aside, by reason."""
    found: dict[str, int] = {}
    contract = applicants_contract(portfolio)
    for start in range(0, rows.height, _CHECKED):
        part = rows.slice(start, _CHECKED)
        numbers = pl.Series("row_number", range(start + 1, start + part.height + 1), pl.Int64)
        checked = check_batch(Batch("draft", part, numbers, pl.DataFrame(schema=MALFORMED_SCHEMA)), contract)
        for column, rule, count in checked.quarantined.group_by("column", "rule").len().iter_rows():
            told = f"'{rule}' on {column}"
            found[told] = found.get(told, 0) + count
    return found


def _catalog(file: ReceivedFile, name: str) -> str:
    project = Path.cwd().resolve()
    inside = file.path.is_relative_to(project)
    filepath = str(file.path.relative_to(project)) if inside else str(file.path)
    about = [f"Where the rows of '{name}' come from: {file.kind}"]
    if not inside:
        about.append(f"the file lies outside the project, under data/1_raw/{name}/ others find it too")
    kind, rest = file.entry["type"], {key: value for key, value in file.entry.items() if key != "type"}
    fields = {"type": kind, "filepath": filepath, **rest, "metadata": {"kedro-viz": {"layer": "raw"}}}
    lines = [*comment(about, 0), *comment(file.notes, 0), "raw_applicants:"]
    return "\n".join([*lines, *(line for key, value in fields.items() for line in entry(key, value, 2))]) + "\n"


def _parameters(draft: Draft) -> dict[str, str]:
    """Return the file of parameters where those of all portfolios would fail; else nothing."""
    options = small_sample_options(draft.outcome.bads, draft.outcome.judged - draft.outcome.bads)
    if options is None:
        return {}
    why = "With so few outcomes the shared options of conf/base/parameters_training.yml could not split at all."
    return {PARAMETERS: "\n".join([*comment([why], 0), *entry("boosted_trees", {"fit": options}, 0)]) + "\n"}


def _told(draft: Draft, file: ReceivedFile, received: ReceivedRows, path: Path) -> Iterator[str]:
    yield f"Drafted {CONF / draft.name / DECLARATION} and {CATALOG} beside it, from {path.name}"
    rows = f"{draft.rows:,} rows" if draft.whole else f"the first {draft.rows:,} rows (more were not looked at)"
    yield f"  read:      {rows}, {received.rows.width} columns"
    yield f"  as:        {file.kind}"
    if "Delimited" in file.entry["type"]:
        yield "             if that is wrong: --delimiter, --encoding, --no-header"
    key = f"{draft.key.key}, {draft.key.why}" if draft.key.key else f"none, rows are named by number ({draft.key.why})"
    also = f"; also possible: {_listed(draft.key.others)}" if draft.key.others else ""
    yield f"  key:       {key}{also}"
    yield from _told_of_outcome(draft)
    kinds = [column.keys["type"] for column in draft.features]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    yield f"  features:  {len(kinds)} columns as they are ({counts})"
    ignored = [column.name for column in draft.columns if column.keys["type"] == "text"]
    if ignored:
        yield f"  left out:  {_listed(ignored)} (ids, free text or constant)"
    for name, why in draft.leaks.items():
        yield f"  LIKELY LEAK, left out: {name}, {why}"
    if draft.protected:
        yield f"  LIKELY PROTECTED, left out: {_listed(draft.protected)}"
    if _parameters(draft):
        yield f"  small:     {PARAMETERS} beside it has smaller trees, as the shared ones could not split so few rows"
    for note in (*file.notes, *draft.notes):
        yield f"  look at:   {note}"
    for rule, count in received.malformed.items():
        yield f"  look at:   {count:,} row(s) cannot be put into columns (rule '{rule}') and will be set aside"


def _told_of_outcome(draft: Draft) -> Iterator[str]:
    outcome, rules = draft.outcome, draft.outcome.rules()
    option = "--bad" if outcome.above is None else "--bad-above"
    shown = {label: _shown(rule) for label, rule in rules.items()}
    yield f"  outcome:   {outcome.source}; bad is {shown.pop('bad')}, good is {shown.pop('good')}, {outcome.why}"
    yield f"             {outcome.bads:,} bad of {outcome.judged:,}, {outcome.bad_rate:.1%}; if that is wrong: {option}"
    for label, values in shown.items():
        yield f"             {label}: {values} ({outcome.counts[label]:,} rows)"
    if outcome.distinct.missing:
        yield f"             not known in {outcome.distinct.missing:,} rows"
    if not outcome.sure:
        yield f"  LOOK FIRST: which value of {outcome.source} is bad is not certain"


def _shown(rule: list[object] | dict[str, float]) -> str:
    if isinstance(rule, dict):
        return " and ".join(f"{bound.replace('_', ' ')} {number:g}" for bound, number in rule.items())
    return _listed([str(value) for value in rule])


def _listed(names: "list[str] | tuple[str, ...]") -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _told_of_rows(set_aside: Mapping[str, int]) -> Iterator[str]:
    for told, count in sorted(set_aside.items(), key=lambda found: -found[1]):
        yield f"  look at:   the draft sets {count:,} row(s) aside by the rule {told}"


def _told_next(name: str) -> Iterator[str]:
    yield "Read the comments in it, then:"
    yield f"  credit-scoring portfolio check {name}"
    yield f"  kedro run --env={name}"
