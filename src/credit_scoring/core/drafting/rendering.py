"""A draft as the text of ``portfolio.yml``: every guess with what was seen beside it."""

from collections.abc import Iterable, Iterator

from credit_scoring.core.drafting.cutoffs import Cutoffs, draft_cutoffs, draft_reference_size, draft_split
from credit_scoring.core.drafting.draft import Draft, DraftedColumn
from credit_scoring.core.drafting.yaml_text import comment, entry, flow, scalar
from credit_scoring.core.portfolio import Scale

_SCALE = Scale()


def render(draft: Draft, source: str, command: str) -> str:
    """Return the declaration; ``source`` names the file that was looked at, ``command`` what was typed."""
    parts = (_head(draft, source, command), _as_of(draft), _applicants(draft), _outcome(draft), _split(draft))
    blocks = [*parts, _policy(draft), _features(draft)]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _head(draft: Draft, source: str, command: str) -> Iterator[str]:
    yield "# yaml-language-server: $schema=../../docs/portfolio.schema.json"
    rows = f"{draft.rows:,} rows" if draft.whole else f"the first {draft.rows:,} rows, NOT all,"
    yield from comment([f"Drafted on {draft.today} from {rows} of {source} by"], 0)
    yield f"#   {' '.join(command.split())}"
    yield from comment(
        [
            "It runs as it stands. Every guess has beside it what was seen; read it from top to bottom and correct it. "
            "What is not written has its default, which the schema above tells."
        ],
        0,
    )
    for note in _look_at(draft):
        yield from _bullet(note)
    yield from entry("name", draft.name, 0)
    yield from entry("title", draft.name.replace("_", " ").capitalize(), 0)


def _look_at(draft: Draft) -> Iterator[str]:
    if not draft.outcome.sure:
        yield f"LOOK FIRST at 'outcome': bad was chosen {draft.outcome.why}"
    for name, why in draft.leaks.items():
        yield f"likely leak, left out: {name}, {why}"
    if draft.protected:
        yield f"likely protected, left out: {', '.join(draft.protected)}"
    yield from draft.notes


def _bullet(text: str) -> Iterator[str]:
    for number, line in enumerate(comment([text], 0)):
        yield line.replace("# ", "#   - " if number == 0 else "#     ", 1)


def _as_of(draft: Draft) -> Iterator[str]:
    yield from _say("The moment of decision: only what was known before it may be used.")
    if not draft.as_of_is_given:
        yield from _say(
            "No day was given (--as-of), so that of this draft stands here for every row; dates count as days ",
            "before it. Write the day on which these data were as they are.",
        )
    if (name := draft.decision_date) is not None:
        yield from _say(
            f"'{name}' looks like each application's own day. If it is: as_of: {{column: {name}}}, and under ",
            "'outcome' 'observed: {constant: <day on which the outcomes were read>}', as only outcomes whose window ",
            "was closed by then may be trained on. 'split: {by: time, holdout_from: <day>}' is then possible too.",
        )
    yield f"as_of: {{constant: {draft.as_of}, granularity: day}}"


def _applicants(draft: Draft) -> Iterator[str]:
    yield "applicants:"
    key = draft.key
    also = f"; also possible: {', '.join(key.others)}" if key.others else ""
    if key.key is None:
        yield from _say(f"no key: applicants are named by the number of their row, as {key.why}{also}", indent=2)
    else:
        yield from _say(f"{key.why}{also}", indent=2)
        yield from entry("key", key.key, 2)
    for person in key.persons:
        yield from _say(
            f"'{person}' looks like the person, who may have several rows. If so, keep them in one part of the ",
            f"split: grouped_by: {scalar(person)}",
            indent=2,
        )
    if draft.missing:
        yield from entry("missing", list(draft.missing), 2)
    yield "  columns:"
    for column in draft.columns:
        yield from _column(column)


def _say(*texts: str, indent: int = 0) -> list[str]:
    return comment(["".join(texts)], indent)


def _column(column: DraftedColumn) -> Iterator[str]:
    yield from comment(column.seen, 4)
    for text in column.suggested:
        yield from comment([text], 4)
    source = {} if column.source == column.name else {"source": column.source}
    yield from entry(column.name, source | dict(column.keys), 4)


def _outcome(draft: Draft) -> Iterator[str]:
    outcome = draft.outcome
    yield from _say(
        f"{outcome.bads:,} bad of {outcome.judged:,} good or bad: {outcome.bad_rate:.1%}; which value is bad was ",
        f"chosen {outcome.why}",
    )
    if not outcome.sure:
        yield from _say("LOOK: if it is the other way round, exchange 'bad' and 'good', or draft again with --bad")
    neither = outcome.counts["indeterminate"] + outcome.counts["excluded"]
    if neither or outcome.distinct.missing:
        yield from _say(
            f"{neither:,} rows are indeterminate or excluded and in {outcome.distinct.missing:,} the outcome is not ",
            "known; no model is trained on them",
        )
    yield "outcome:"
    yield from entry("column", draft.outcome_name, 2)
    for label, values in outcome.rules().items():
        yield from entry(label, values, 2)
    yield "  window_days: 365 # SET: how many days after the decision the outcome was read"


def _split(draft: Draft) -> Iterator[str]:
    development, holdout, stream = draft_split(draft.outcome.bads, draft.outcome.judged - draft.outcome.bads)
    yield "# fitted on development, judged on holdout; stream stands for later traffic"
    shares = {"salt": draft.name, "development": development, "holdout": holdout, "stream": stream}
    yield from entry("split", shares, 0)


def _policy(draft: Draft) -> Iterator[str]:
    outcome = draft.outcome
    cut = draft_cutoffs(outcome.bad_rate, _SCALE)
    development = draft_split(outcome.bads, outcome.judged - outcome.bads)[0]
    yield from entry("scale", _SCALE.model_dump(), 0)
    yield ""
    yield from comment(
        ["A start, not a policy: drafted from the average bad rate of these rows. Your costs and appetite decide."], 0
    )
    yield "policy:"
    yield f'  version: "{draft.today}"'
    size = draft_reference_size(draft.rows, development)
    yield from _aligned(
        (
            f"  approve_from: {cut.approve_from}",
            f"an estimated probability of default of at most {cut.approved_risk:.2%}",
        ),
        (f"  refer_from: {cut.refer_from}", f"to {cut.referred_risk:.2%}; below that, decline"),
        (f"  reference_size: {size}", "so many just approved applicants are what reasons compare with"),
    )
    yield "  bands:"
    yield from _bands(cut)


def _bands(cut: Cutoffs) -> Iterator[str]:
    lines = []
    for name, points, risk in cut.bands:
        told = "the rest" if risk is None else f"a probability of default of at most {risk:.2%}"
        lines.append((f"    - {flow({'name': name, 'from_points': points})}", told))
    yield from _aligned(*lines)


def _aligned(*lines: tuple[str, str]) -> Iterable[str]:
    width = max(len(text) for text, _ in lines)
    return (f"{text:<{width}} # {told}" for text, told in lines)


def _features(draft: Draft) -> Iterator[str]:
    numbers = [c.name for c in draft.features if c.keys["type"] in ("integer", "number")]
    first = numbers[0] if numbers else "a_number"
    second = numbers[1] if len(numbers) > 1 else "another_number"
    count = len(draft.features)
    told = (
        "the one usable column is a feature as it is" if count == 1 else f"all {count} usable columns are as they are"
    )
    yield from _say(
        f"Features: none are written, so {told} (a date as days since then). To go on from there, for example:"
    )
    yield "# features_from_columns: true # beside those that are declared here"
    yield "# features:"
    yield f"#   {first}: {{column: {first}, higher_is: safer, reason: R01}} # binds both models to that direction"
    yield f"#   {first}_to_{second}: {{ratio: {{of: {first}, to: {second}}}, reason: R02}}"
    yield "# reasons:"
    yield f"#   R01: {{text: {first.replace('_', ' ').capitalize()}}}"
    yield "#   R02: {text: One in relation to the other}"
