"""What a declaration's parts must say about each other, beyond what each part's type says."""

from collections.abc import Iterator, Mapping
from datetime import date
from itertools import combinations, pairwise

from credit_scoring.core.features.checks import feature_problems
from credit_scoring.core.features.declared import Condition
from credit_scoring.core.portfolio import Column, EventsTable, HashSplit, Portfolio
from credit_scoring.core.problems import Path, Problem, unknown

RESERVED = (
    *("applicant_id", "as_of", "occurred_at", "known_at", "event_number", "is_bad", "label", "part", "points"),
    *("person", "row_number", "source", "received", "content", "lookup_key", "event_id", "pushed"),
)
"""Names that the package's own columns have; no declared column or feature may take one."""

MISSING_SUFFIX = "-MISSING"
"""Added to a reason code when the value that cost points was not known."""


def declaration_problems(portfolio: Portfolio) -> list[Problem]:
    """Return every contradiction inside ``portfolio``; an empty list when it can be used."""
    return [
        *_table_problems(portfolio),
        *_source_problems(portfolio),
        *_lookup_problems(portfolio),
        *_event_problems(portfolio),
        *_outcome_problems(portfolio),
        *_time_problems(portfolio),
        *_split_problems(portfolio),
        *_policy_problems(portfolio),
        *_reason_problems(portfolio),
        *feature_problems(portfolio, RESERVED),
    ]


def tables(portfolio: Portfolio) -> dict[Path, Mapping[str, Column]]:
    """Return the columns of every table by its place in the declaration."""
    found: dict[Path, Mapping[str, Column]] = {("applicants",): portfolio.applicants.columns}
    found |= {("lookups", name): lookup.columns for name, lookup in portfolio.lookups.items()}
    return found | {("events", name): events.columns for name, events in portfolio.events.items()}


def _table_problems(portfolio: Portfolio) -> Iterator[Problem]:
    for path, columns in tables(portfolio).items():
        for name, column in columns.items():
            at = (*path, "columns", name)
            if name in RESERVED:
                yield Problem(
                    at, f"has a reserved name ({', '.join(RESERVED)}); give it another and name its 'source'."
                )
            yield from _column_problems(at, column)


def _column_problems(at: Path, column: Column) -> Iterator[Problem]:
    category, number = column.type == "category", column.is_number
    if category and (column.min is not None or column.max is not None):
        yield Problem((*at, "type"), "a category has neither 'min' nor 'max'; list its 'values'.")
    if category and not column.values:
        yield Problem((*at, "type"), "a category needs 'values', the categories that are allowed.")
    if not category and column.values is not None:
        yield Problem((*at, "values"), f"only a category has 'values'; this column is of type '{column.type}'.")
    if column.special and not number:
        yield Problem((*at, "special"), f"only a number has 'special' codes; this column is of type '{column.type}'.")
    if column.formats and column.type != "date":
        yield Problem((*at, "formats"), f"only a date has 'formats'; this column is of type '{column.type}'.")
    if not number and (column.decimal != "." or column.thousands is not None):
        yield Problem((*at, "type"), "only a number has 'decimal' and 'thousands'; remove them.")
    if number and column.thousands == column.decimal:
        yield Problem((*at, "thousands"), "is the same as 'decimal'; a number could be read in two ways.")
    yield from _range_problems(at, column)
    low, high = column.bounds
    for code in column.special:
        if low <= code <= high and (column.min is not None or column.max is not None):
            yield Problem((*at, "special"), f"names {code:g}, an amount between min and max; narrow them or remove it.")
    if column.example is not None and not column.allows(column.example):
        yield Problem((*at, "example"), f"is '{column.example}', which the column itself does not allow.")


def _range_problems(at: Path, column: Column) -> Iterator[Problem]:
    for key in ("min", "max"):
        bound = getattr(column, key)
        if bound is not None and isinstance(bound, date) != (column.type == "date"):
            kind = "a day such as 2005-10-01" if column.type == "date" else "a number"
            yield Problem((*at, key), f"must be {kind} for a column of type '{column.type}'.")
    low, high = column.bounds
    if low > high:
        yield Problem((*at, "min"), f"min {low:g} is above max {high:g}; exchange them.")
    if column.days[0] > column.days[1]:
        yield Problem((*at, "min"), f"min {column.min} is after max {column.max}; exchange them.")


def _source_problems(portfolio: Portfolio) -> Iterator[Problem]:
    """One received column has one meaning: a second, laxer declaration could let a protected attribute through."""
    uses: dict[tuple[str, str], tuple[str, Column]] = {}
    for table, at, source, column in _sources(portfolio):
        key = _names_applicant(portfolio, table)
        if column.type != "text" and source == key:
            yield Problem(at, f"reads '{key}', the key; an applicant's name is no fact about the applicant.")
        first, declared = uses.setdefault((table, source), (".".join(at), column))
        if _contract(declared) != _contract(column):
            yield Problem(at, f"reads '{source}', which '{first}' declares otherwise; declare a received column once.")


def _names_applicant(portfolio: Portfolio, table: str) -> str | None:
    if table in portfolio.events:
        return portfolio.events[table].key or portfolio.applicants.key
    return portfolio.applicants.key if table == "applicants" else None


def _sources(portfolio: Portfolio) -> Iterator[tuple[str, Path, str, Column]]:
    """Each received column: its table, where it is named, its name, and what it is declared to be."""
    for path, columns in tables(portfolio).items():
        events = portfolio.events.get(path[-1]) if path[0] == "events" else None
        if events is None or events.from_wide is None:
            for name, column in columns.items():
                yield path[-1], (*path, "columns", name), column.source or name, column
            continue
        for day, sources in events.from_wide.at.items():
            for name, source in sources.items():
                if name in columns:
                    yield "applicants", (*path, "from_wide", "at", day.isoformat(), name), source, columns[name]


def _contract(column: Column) -> dict[str, object]:
    return column.model_dump(exclude={"source", "unit", "description", "example"})


def _lookup_problems(portfolio: Portfolio) -> Iterator[Problem]:
    known = dict(portfolio.applicants.columns)
    for table, lookup in portfolio.lookups.items():
        path = ("lookups", table)
        if table == "applicants" or table in portfolio.events:
            yield Problem(path, "has the name of another table; give it another.")
        by = known.get(lookup.by)
        if by is None:
            yield Problem((*path, "by"), unknown("column of the applicants or of an earlier lookup", lookup.by, known))
        elif by.type == "date":
            yield Problem((*path, "by"), f"'{lookup.by}' is a date; join by a number, category or text.")
        for name in lookup.columns.keys() & known.keys():
            yield Problem((*path, "columns", name), "is the name of a column declared before; give it another.")
        known |= lookup.columns


def _event_problems(portfolio: Portfolio) -> Iterator[Problem]:
    if "applicants" in portfolio.events:
        yield Problem(("events", "applicants"), "has the name of the applicants table; give it another.")
    for table, events in portfolio.events.items():
        if events.from_wide is not None:
            yield from _wide_problems(portfolio, table, events)
        elif events.key is None and portfolio.applicants.key is None:
            yield Problem(
                ("events", table),
                "cannot be joined: the applicants have no 'key'. Declare 'applicants.key' (and 'key' here, if the "
                "column has another name in this table).",
            )


def _wide_problems(portfolio: Portfolio, table: str, events: EventsTable) -> Iterator[Problem]:
    for day, sources in events.from_wide.at.items() if events.from_wide else ():
        path = ("events", table, "from_wide", "at", day.isoformat())
        if portfolio.as_of.constant is not None and day >= portfolio.as_of.constant:
            yield Problem(path, f"is not before 'as_of', {portfolio.as_of.constant}, so no feature could see it.")
        for column in sources.keys() - events.columns.keys():
            yield Problem((*path, column), unknown("column", column, events.columns))
        for column in events.columns.keys() - sources.keys():
            yield Problem(path, f"names no received column for '{column}', which the table declares.")


def _outcome_problems(portfolio: Portfolio) -> Iterator[Problem]:
    name, rules = portfolio.outcome.column, portfolio.outcome.rules
    column = portfolio.row_columns.get(name)
    if column is None:
        yield Problem(("outcome", "column"), unknown("column", name, portfolio.row_columns))
        return
    if not column.after_outcome:
        yield Problem(
            ("applicants", "columns", name),
            "holds the outcome, so it is known only after the decision: add 'after_outcome: true'.",
        )
    for label, rule in rules.items():
        for value in rule.one_of or ():
            if not column.allows(value):
                yield Problem(("outcome", label), f"names '{_plain(value)}', which '{name}' can never be.")
        if rule.bounded and not column.is_number:
            yield Problem(("outcome", label), f"'{name}' is no number; list its values.")
        if not rule.bounded and rule.one_of is None:
            yield Problem(("outcome", label), "says nothing; list values, or give bounds such as {above: 30}.")
    for earlier, label in combinations(rules, 2):
        if _overlap(rules[earlier], rules[label]):
            yield Problem(("outcome", earlier), f"a value cannot be both {earlier} and {label}; change one rule.")


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _overlap(first: Condition, second: Condition) -> bool:
    """Whether some value meets both; of numbers, only bounds, listed values and what lies between need a look."""
    if set(first.one_of or ()) & set(second.one_of or ()) and not (first.bounded or second.bounded):
        return True
    bounds = (getattr(rule, key) for rule in (first, second) for key in ("at_least", "at_most", "above", "below"))
    listed = (value for rule in (first, second) for value in rule.one_of or ())
    edges = sorted({float(edge) for edge in (*bounds, *listed) if isinstance(edge, int | float)})
    between = [(low + high) / 2 for low, high in pairwise(edges)]
    outside = [edges[0] - 1, edges[-1] + 1] if edges else []
    return any(_meets(value, first) and _meets(value, second) for value in (*edges, *between, *outside))


def _meets(value: float, rule: Condition) -> bool:
    return (
        (rule.at_least is None or value >= rule.at_least)
        and (rule.at_most is None or value <= rule.at_most)
        and (rule.above is None or value > rule.above)
        and (rule.below is None or value < rule.below)
        and (rule.one_of is None or value in rule.one_of)
    )


def _time_problems(portfolio: Portfolio) -> Iterator[Problem]:
    """Columns that date decision and outcome, and what may be left out about them."""
    observed = portfolio.outcome.observed
    dated = {
        ("as_of", "column"): portfolio.as_of.column,
        ("outcome", "starts"): portfolio.outcome.starts,
        ("outcome", "observed", "column"): observed.column if observed else None,
    }
    for path, name in dated.items():
        column = portfolio.row_columns.get(name) if name else None
        if name and column is None:
            yield Problem(path, unknown("column", name, portfolio.row_columns))
        elif column is not None and column.type != "date":
            yield Problem(path, f"'{name}' is of type '{column.type}'; a moment needs a column of type 'date'.")
        elif column is not None and column.nullable and path == ("as_of", "column"):
            yield Problem(path, f"'{name}' may be missing; without its moment a row cannot be used. Remove 'nullable'.")
    if portfolio.outcome.decided_from is not None and portfolio.as_of.column is None:
        yield Problem(
            ("outcome", "decided_from"),
            "needs 'as_of: {column: ...}'; without it every row is decided at the same time. Remove it, or name the "
            "column that holds the day of the decision.",
        )
    if observed is None and (portfolio.as_of.column or portfolio.outcome.starts):
        yield Problem(
            ("outcome",),
            "needs 'observed', when the outcomes were read (constant: a day, or column: a date), because rows are "
            "decided at different times and only outcomes whose window was closed by then may be trained on.",
        )
    if observed and not (portfolio.as_of.column or portfolio.as_of.constant or portfolio.outcome.starts):
        yield Problem(
            ("outcome", "observed"),
            "cannot be held against a window that starts at the clock: name the column at which it 'starts', or give "
            "'as_of' a column or a constant.",
        )


def _split_problems(portfolio: Portfolio) -> Iterator[Problem]:
    split = portfolio.split
    if isinstance(split, HashSplit):
        shares = split.development + split.holdout + split.stream
        if abs(shares - 1) > 1e-9:
            yield Problem(("split",), f"development, holdout and stream must add up to 1; they add up to {shares:g}.")
        return
    if portfolio.as_of.column is None:
        yield Problem(("split", "by"), "needs 'as_of: {column: ...}'; without it every row has the same time.")
    if split.stream_from is not None and split.stream_from <= split.holdout_from:
        yield Problem(("split", "stream_from"), "must be after 'holdout_from'.")


def _policy_problems(portfolio: Portfolio) -> Iterator[Problem]:
    policy, scale = portfolio.policy, portfolio.scale
    if policy.refer_from > policy.approve_from:
        yield Problem(("policy", "refer_from"), "must not be above 'approve_from': referral lies below approval.")
    if policy.refer_from < scale.min:
        yield Problem(("policy", "refer_from"), f"must be at least the scale's minimum of {scale.min}.")
    if not scale.min < policy.approve_from <= scale.max:
        yield Problem(("policy", "approve_from"), f"must lie above {scale.min} and at most at {scale.max} points.")
    starts = [band.from_points for band in policy.bands]
    if starts != sorted(starts, reverse=True) or len(set(starts)) != len(starts):
        yield Problem(("policy", "bands"), "must be listed from the most points down, without repeats.")
    names = [band.name for band in policy.bands]
    if len(set(names)) != len(names):
        yield Problem(("policy", "bands"), "must have different names.")
    if starts[-1] > scale.min:
        yield Problem(("policy", "bands"), f"the last band must start at the scale's minimum of {scale.min} or below.")


def _reason_problems(portfolio: Portfolio) -> Iterator[Problem]:
    for code in portfolio.reasons:
        if code.endswith(MISSING_SUFFIX):
            yield Problem(("reasons", code), f"ends in '{MISSING_SUFFIX}', which is added when a value is missing.")
        if all(feature.reason != code for feature in portfolio.features.values()):
            yield Problem(("reasons", code), "is given by no feature; remove it, or name it in one.")
