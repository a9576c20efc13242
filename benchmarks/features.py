"""Features of ``taiwan_cards`` tiled to 10 million statements, and of one applicant, beside the same written by hand.

Each run is a process of its own, so that its peak memory is its own; declared and hand-written runs take turns. The
ratios are of the medians, whole processes' memory included: a machine that others use too makes single runs vary.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from hand_written_features import features as by_hand
from kept import PROJECT, keep
from tqdm import tqdm

from credit_scoring.adapters.portfolio_file import read_portfolio
from credit_scoring.core.facts import Event, Facts
from credit_scoring.core.features.engines import with_as_of
from credit_scoring.core.features.feature_set import FeatureSet
from credit_scoring.core.portfolio import Portfolio
from credit_scoring.core.table_checks import check_rows
from credit_scoring.core.tables import application_table, event_tables, midnight

LARGEST_RATIO = 1.3
MOST_MICROSECONDS = 1_000
VARIANTS = ("declared", "by_hand")
ONLINE_APPLICANTS = 2_000


def main() -> None:
    """Measure, print ratios and keep them; fail when a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--run", choices=VARIANTS, help="one run in this process; for the benchmark itself")
    parser.add_argument("--folder", type=Path, help="where the tiled tables are; for the benchmark itself")
    given = parser.parse_args()
    if given.run:
        print(json.dumps(one_run(given.run, given.folder)))
        return
    applicants, statements = tables()
    online = microseconds_online(applicants, statements)
    with tempfile.TemporaryDirectory(prefix="features-benchmark-") as folder:
        rows = tile(applicants, statements, given.statements, Path(folder))
        runs = take_turns(Path(folder), given.rounds)
    figures = {"statements": rows, "rounds": given.rounds, "online_microseconds": online} | ratios(runs)
    print(told(figures))
    keep("features_taiwan_cards", figures)
    if figures["time_ratio"] > LARGEST_RATIO or figures["memory_ratio"] > LARGEST_RATIO or online > MOST_MICROSECONDS:
        sys.exit("A promise is not kept; see above.")


def portfolio() -> Portfolio:
    """Return the declaration."""
    return read_portfolio(PROJECT / "conf/taiwan_cards/portfolio.yml")


def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return applicants with ``as_of``, and their statements, as the ingestion gives them."""
    declared = portfolio()
    received = pl.read_csv(PROJECT / "data/1_raw/taiwan_cards/applicants.csv.gz", infer_schema=False)
    valid = check_rows({"applicants": received}, declared).valid
    moment = midnight(datetime(2005, 10, 1, tzinfo=UTC).date())
    applicants = with_as_of(application_table(valid, declared).collect(), moment)
    return applicants, event_tables(valid, declared)["statements"].collect()


def tile(applicants: pl.DataFrame, statements: pl.DataFrame, size: int, folder: Path) -> int:
    """Write both tables as often as makes ``size`` statements, each copy under names of its own; return how many."""
    copies = -(-size // statements.height)
    for name, frame in (("applicants", applicants), ("statements", statements)):
        own_names = [pl.format("{}-{}", "applicant_id", pl.lit(copy)) for copy in range(copies)]
        tiled = pl.concat([frame.with_columns(applicant_id=own_name) for own_name in own_names])
        tiled.write_parquet(folder / f"{name}.parquet")
    return copies * statements.height


def one_run(variant: str, folder: Path) -> dict[str, float]:
    """Compute all features once in this process; peak memory is that of the process, tables included."""
    applicants, statements = (pl.read_parquet(folder / f"{name}.parquet") for name in ("applicants", "statements"))
    plan = FeatureSet.of(portfolio())
    begun, used = time.perf_counter(), os.times()
    if variant == "declared":
        found = plan.compute(applicants, {"statements": statements})
    else:
        found = by_hand(applicants.lazy(), statements.lazy()).collect(engine="in-memory")
    seconds, after = time.perf_counter() - begun, os.times()
    return {
        "seconds": seconds,
        "cpu_seconds": after.user + after.system - used.user - used.system,
        "digest": int(found.select(sorted(found.columns)).hash_rows(seed=1).sum()),
    }


def take_turns(folder: Path, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return every run of each variant; in every other round the second goes first."""
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for number in tqdm(range(rounds), desc="rounds", unit="round"):
        for variant in VARIANTS if number % 2 == 0 else reversed(VARIANTS):
            command = [sys.executable, __file__, "--run", variant, "--folder", str(folder)]
            with (folder / "printed.json").open("w", encoding="utf-8") as printed:
                process = subprocess.Popen(command, stdout=printed)  # noqa: S603 - itself
                _, status, used = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"The run '{variant}' failed; its message is above.")
            measured = json.loads((folder / "printed.json").read_text(encoding="utf-8"))
            runs[variant].append(measured | {"peak_bytes": used.ru_maxrss * 1024})
    return runs


def ratios(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return medians and their ratios, declared to hand-written; both must have computed the same."""
    if len({run["digest"] for of in runs.values() for run in of}) != 1:
        sys.exit("Declared and hand-written features differ; the benchmark compares nothing.")
    keys = ("seconds", "cpu_seconds", "peak_bytes")
    medians = {v: {key: statistics.median(run[key] for run in of) for key in keys} for v, of in runs.items()}
    declared, hand = medians["declared"], medians["by_hand"]
    return {
        "medians": medians,
        "time_ratio": declared["seconds"] / hand["seconds"],
        "cpu_ratio": declared["cpu_seconds"] / hand["cpu_seconds"],
        "memory_ratio": declared["peak_bytes"] / hand["peak_bytes"],
        "time_ratios_of_rounds": [
            one["seconds"] / other["seconds"] for one, other in zip(runs["declared"], runs["by_hand"], strict=True)
        ],
    }


def microseconds_online(applicants: pl.DataFrame, statements: pl.DataFrame) -> float:
    """Return the median time of all features of one applicant from its facts."""
    plan, own = FeatureSet.of(portfolio()), statements.partition_by("applicant_id", as_dict=True)
    taken = []
    for row in applicants.head(ONLINE_APPLICANTS).iter_rows(named=True):
        rows = own[(row["applicant_id"],)].iter_rows(named=True)
        events = [Event(event["occurred_at"], event["event_number"], event) for event in rows]
        facts = Facts(row, {"statements": events})
        begun = time.perf_counter()
        plan.compute_one(facts, row["as_of"])
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


def told(figures: dict[str, Any]) -> str:
    """Return the figures for people."""
    rounds = ", ".join(f"{ratio:.2f}" for ratio in figures["time_ratios_of_rounds"])
    lines = [f"{figures['statements']:,} statements, Polars, {figures['rounds']} rounds taking turns (medians)"]
    for variant, median in figures["medians"].items():
        lines.append(
            f"  {variant:<9} {median['seconds']:6.1f} s ({median['cpu_seconds']:.1f} s of CPU), "
            f"peak {median['peak_bytes'] / 1e9:.2f} GB"
        )
    lines.append(f"  time {figures['time_ratio']:.2f}x (rounds: {rounds}), CPU {figures['cpu_ratio']:.2f}x")
    lines.append(f"  peak memory {figures['memory_ratio']:.2f}x; both at most {LARGEST_RATIO}x")
    lines.append(f"one applicant from its facts: {figures['online_microseconds']:.0f} µs, at most {MOST_MICROSECONDS}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
