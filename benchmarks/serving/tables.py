"""The result as tables, in the README and the guide between their markers. Standard library alone."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.figures import CONNECTIONS, OURS, Spread, Target, case, ratio, spread, targets

PROJECT = Path(__file__).resolve().parents[2]
RESULT = PROJECT / "benchmarks/results/serving.json"
README = PROJECT / "README.md"
GUIDE = PROJECT / "docs/performance.md"

NAMES = {
    "as_shipped": "**the service**, as shipped: both models, reasons, record on disk",
    "trees_decide": "**the service**, the trees decide everybody",
    "as_shipped_2": "the service, two workers",
    "as_shipped_1": "the service, one worker",
    "floor": "floor: trivial handler in the same stack",
    "floor_2": "floor, two workers",
    "floor_uvicorn": "trivial handler, uvicorn alone",
    "naive_bentoml": "naive BentoML: frame, scikit-learn wrapper, SHAP",
    "naive_fastapi": "the same naive code under FastAPI",
    "mlflow": "`mlflow models serve`, label only, asked with a frame",
    "mlflow_tensor": "`mlflow models serve`, label only, asked with a tensor",
    "mlserver": "MLServer with its XGBoost runtime, label only",
}
"""Of variants whose names are not made of their parts."""

Result = Mapping[str, Any]


def table_names(result: Result) -> dict[str, Callable[[Result], str]]:
    """Return the tables that can be made of the result, by the name in their markers."""
    makers = {
        "serving": (summary, "rivals"),
        "serving rivals": (lambda found: measured(found["rivals"]), "rivals"),
        "serving targets": (all_targets, "rivals"),
        "serving workers": (lambda found: measured(found["workers"]), "workers"),
        "serving modes": (lambda found: measured(found["modes"]), "modes"),
        "serving batches": (batches, "batches"),
    }
    return {name: maker for name, (maker, section) in makers.items() if result.get(section)}


def as_text(result: Result) -> str:
    """Return all tables that can be made of the result."""
    makers = (maker for name, maker in table_names(result).items() if name != "serving targets")  # in the first
    return "\n\n".join([*(maker(result) for maker in makers), source(result)])


def filled(text: str, result: Result) -> str:
    """Return ``text`` with each table between its markers made anew; what has no markers in it is left out."""
    for name, maker in table_names(result).items():
        start, end = f"<!-- {name}: written by benchmarks/serving -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(start)
        if found:
            _, _, after = rest.partition(end)
            text = f"{before}{start}{maker(result)}\n\n{source(result)}\n{end}{after}"
    return text


def write_tables() -> None:
    """Make all tables anew from the kept result."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    for file in (README, GUIDE):
        file.write_text(filled(file.read_text(encoding="utf-8"), result), encoding="utf-8")


def summary(result: Result) -> str:
    """Return all variants at the connections of the targets, and the service's ratios to each."""
    section = result["rivals"]
    lines = []
    for one in (one for one in section if one["connections"] == CONNECTIONS):
        ratios = [
            times(ratio(own["rps"], one["rps"])) if own is not one else ""
            for own in (case(section, name, CONNECTIONS) for name in OURS)
            if own is not None
        ]
        lines.append([label(one), *_figures(one), *ratios])
    heads = ["as shipped / it", "trees decide / it"][: len(lines[0]) - 6]
    text = _table(["8 connections, one worker", "requests/s", "p50 ms", "p99 ms", "CPU µs", "MB", *heads], lines)
    return f"{text}\n\n{all_targets(result)}"


def all_targets(result: Result) -> str:
    """Return the issue's targets, reached or missed, for both ways of deciding."""
    both = {name: found for name in OURS if (found := targets(result["rivals"], name))}
    lines = []
    for same in zip(*both.values(), strict=True):
        limit = f"{'at least' if same[0].at_least else 'at most'} {same[0].limit:g}"
        lines.append([same[0].what, limit, *(told(target) for target in same)])
    return _table(["target", "", *(ours.replace("_", " ") for ours in both)], lines)


def told(target: Target) -> str:
    """Return what was found of a target, and whether that is enough."""
    return f"{times(target.found)}, {'reached' if target.reached else '**missed**'}"


def measured(section: Sequence[Mapping[str, Any]]) -> str:
    """Return everything of a section: medians of the rounds, requests per second with the least and the most."""
    lines = [
        [label(one), str(one["connections"]), with_spread(spread(one["rps"])), *_figures(one)[1:]] for one in section
    ]
    return _table(["variant", "connections", "requests/s", "p50 ms", "p99 ms", "CPU µs", "MB"], lines)


def batches(result: Result) -> str:
    """Return rows per second of batch requests, and of the same bundles on a matrix without a service."""
    raw = {one["rows"]: one for one in result["batches"] if one["variant"] == "matrix"}
    lines = []
    for one in result["batches"]:
        share = "" if one is raw.get(one["rows"]) else times(ratio(one["rows_s"], raw[one["rows"]]["rows_s"]))
        lines.append([one["label"], f"{one['rows']:,}", with_spread(spread(one["rows_s"])), share])
    return _table(["one core", "applications", "rows/s", "of the matrix's"], lines)


def source(result: Result) -> str:
    """Return where the figures come from."""
    trees = result["model"]
    return (
        f"`{result['portfolio']}`, {trees['trees']} trees of depth {trees['depth']}; {result['machine']}, "
        f"{result['cpu']}, {result['date']}, commit {result['commit']}; {result['rounds']} rounds of "
        f"{result['seconds']:g} s a load, interleaved: median [least, most]; {result['cores']}, {result['load_tool']}. "
        f"CPU is that of the server's processes for one request, MB their proportional set size."
        f"{_noise(result)}{_note(result)}"
    )


def _noise(result: Result) -> str:
    """Return what else the machine did meanwhile, from the section whose servers are all that should have run."""
    others = [value for one in result.get("rivals", ()) for value in one["others"]]
    if not others:
        return ""
    found = spread(others)
    return f" All else on the machine took {found.median:.2f} cores meanwhile, {found.most:.2f} at most."


def _note(result: Result) -> str:
    """Return what whoever kept the result has to say of it."""
    return f" {result['note']}" if "note" in result else ""


def label(one: Mapping[str, Any]) -> str:
    """Return a variant's name in full."""
    return NAMES.get(one["variant"]) or str(one["variant"]).replace("_", " ")


def times(found: Spread) -> str:
    """Return a ratio with its spread."""
    return f"{_short(found.median)} [{_short(found.least)}, {_short(found.most)}]"


def with_spread(found: Spread) -> str:
    """Return a figure with its spread."""
    return f"{_short(found.median)} [{_short(found.least)}, {_short(found.most)}]"


def _figures(one: Mapping[str, Any]) -> list[str]:
    return [_short(spread(one[name]).median) for name in ("rps", "p50_ms", "p99_ms", "cpu_us", "memory_mb")]


def _short(number: float) -> str:
    """Return three figures of a number that is small, and whole ones of a large."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))
