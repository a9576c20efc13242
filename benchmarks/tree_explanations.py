"""Table TreeSHAP beside xgboost's ``pred_contribs`` and ``shap.TreeExplainer``: a row alone, batches, and loading.

All take turns in one process, one block of calls each per round, so that a busy machine slows all of them; a ratio is
that of one round, and its spread is over rounds. Rows change from call to call. Every one uses a single thread unless
it says otherwise, and CPU time is what is compared, except for two threads.
"""

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost as xgb
from kept import keep
from tqdm import tqdm

from table_treeshap import TreeExplainer

LEAST_RATIO_ALONE = 50
LEAST_RATIO_IN_BATCH = 40
TOLERANCE = 1e-5
DEPTHS = range(3, 9)
COLUMNS, TRAINED = 40, 20_000

Call = Callable[[], object]


def main() -> None:
    """Measure, print and keep the figures; fail when a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="at least five")
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--depth", type=int, default=5, help="of the model whose rows are timed")
    given = parser.parse_args()
    if given.rounds < 5:
        parser.error("Fewer than five rounds say nothing about the spread.")
    matrix, rows = data()
    models = {depth: trained(matrix, depth, given.trees) for depth in tqdm({*DEPTHS, given.depth}, desc="training")}
    figures: dict[str, Any] = {"trees": given.trees, "depth": given.depth, "columns": COLUMNS, "rounds": given.rounds}
    model = models[given.depth]
    figures["largest_difference"] = largest_difference(model, rows[:500])
    figures["row_alone"] = taking_turns(alone(model, rows), given.rounds, 200, time.thread_time)
    figures["batch_one_thread"] = taking_turns(batches(model, rows), given.rounds, 1, time.thread_time)
    figures["batch_by_threads"] = taking_turns(by_threads(model, rows), given.rounds, 1, time.perf_counter)
    figures["loading"] = {str(depth): loading(models[depth], given.rounds) for depth in tqdm(DEPTHS, desc="loading")}
    print(told(figures))
    keep("tree_explanations", figures)
    kept_alone = figures["row_alone"]["ratios"]["pred_contribs"]["median"] >= LEAST_RATIO_ALONE
    kept_batch = figures["batch_one_thread"]["ratios"]["pred_contribs"]["median"] >= LEAST_RATIO_IN_BATCH
    if not (kept_alone and kept_batch and figures["largest_difference"] <= TOLERANCE):
        sys.exit("A promise is not kept; see above.")


def data() -> tuple[xgb.DMatrix, np.ndarray]:
    """Return what the models are trained on, and the same rows: 5 % missing, a third of the columns whole numbers."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(TRAINED, COLUMNS)).astype(np.float32)
    rows[:, ::3] = np.round(rows[:, ::3] * 3)
    rows[generator.random(rows.shape) < 0.05] = np.nan
    known = np.nan_to_num(rows)
    score = known @ generator.normal(size=COLUMNS) + known[:, 0] * known[:, 1] + generator.normal(size=TRAINED)
    return xgb.DMatrix(rows, score > 0), rows


def trained(matrix: xgb.DMatrix, depth: int, trees: int) -> xgb.Booster:
    """Return a model of that depth, set to one thread."""
    options = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.1, "tree_method": "hist"}
    model = xgb.train(options, matrix, trees)
    model.set_param({"nthread": 1})
    return model


def raw(model: xgb.Booster) -> bytes:
    """Return the model as UBJSON."""
    return bytes(model.save_raw("ubj"))


def pred_contribs(model: xgb.Booster, rows: np.ndarray) -> np.ndarray:
    """Return xgboost's own contributions, on one thread."""
    return np.asarray(model.predict(xgb.DMatrix(rows, nthread=1), pred_contribs=True))


def largest_difference(model: xgb.Booster, rows: np.ndarray) -> float:
    """Return the largest difference of a contribution to xgboost's."""
    return float(np.abs(TreeExplainer.of(raw(model)).contributions(rows) - pred_contribs(model, rows)[:, :-1]).max())


def alone(model: xgb.Booster, rows: np.ndarray) -> dict[str, tuple[Callable[[np.ndarray], object], list[np.ndarray]]]:
    """Return what explains one row, with rows to explain: fewer for those that take a millisecond."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of matplotlib, which shap imports
        import shap  # noqa: PLC0415
    explainer, of_shap = TreeExplainer.of(raw(model)), shap.TreeExplainer(model)
    single = [rows[at : at + 1].copy() for at in range(2_000)]
    return {
        "table": (explainer.contributions, single),
        "table, with margin": (explainer.explained, single),
        "pred_contribs": (lambda row: pred_contribs(model, row), single[:60]),
        "shap.TreeExplainer": (lambda row: of_shap.shap_values(row, check_additivity=False), single[:60]),
    }


def batches(model: xgb.Booster, rows: np.ndarray) -> dict[str, tuple[Callable[[np.ndarray], object], list[np.ndarray]]]:
    """Return what explains batches on one thread."""
    explainer = TreeExplainer.of(raw(model))
    return {
        "table": (explainer.contributions, [rows]),
        "table, with margin": (explainer.explained, [rows]),
        "pred_contribs": (lambda some: pred_contribs(model, some), [rows[:300]]),
    }


def by_threads(model: xgb.Booster, rows: np.ndarray) -> dict[str, tuple[Any, list[np.ndarray]]]:
    """Return table TreeSHAP on one thread and on two."""
    explainer = TreeExplainer.of(raw(model))
    return {
        "table": (lambda some: explainer.contributions(some, 1), [rows]),
        "table, two threads": (lambda some: explainer.contributions(some, 2), [rows]),
    }


def taking_turns(
    candidates: dict[str, tuple[Callable[[np.ndarray], object], list[np.ndarray]]],
    rounds: int,
    warm: int,
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Return microseconds a row of each, and how many times the table's they are, round by round."""
    for call, given in candidates.values():
        for rows in given[:warm]:
            call(rows)
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in tqdm(range(rounds), desc="rounds", unit="round"):
        for name, (call, given) in candidates.items():
            begun = clock()
            for rows in given:
                call(rows)
            taken[name].append((clock() - begun) / sum(map(len, given)) * 1e6)
    ratios = {
        name: spread([one / table for one, table in zip(of, taken["table"], strict=True)])
        for name, of in taken.items()
        if name != "table"
    }
    return {"microseconds": {name: spread(of) for name, of in taken.items()}, "ratios": ratios}


def loading(model: xgb.Booster, rounds: int) -> dict[str, Any]:
    """Return how long it takes from bytes to an explainer, and what its tables are."""
    data, seconds = raw(model), []
    for _ in range(rounds):
        begun = time.thread_time()
        explainer = TreeExplainer.of(data)
        seconds.append(time.thread_time() - begun)
    tables = {"block_height": explainer.block_height, "table_bytes": explainer.table_bytes, "model_bytes": len(data)}
    return {"seconds": spread(seconds), **tables}


def spread(values: list[float]) -> dict[str, float]:
    """Return the median with the smallest and largest."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def told(figures: dict[str, Any]) -> str:
    """Return the figures for people."""
    lines = [f"{figures['trees']} trees of depth {figures['depth']}, {COLUMNS} columns, {figures['rounds']} rounds"]
    for part in ("row_alone", "batch_one_thread", "batch_by_threads"):
        lines.append(part.replace("_", " "))
        for name, of in figures[part]["microseconds"].items():
            ratio = figures[part]["ratios"].get(name)
            times = f"  {ratio['median']:6.2f}x ({ratio['least']:.2f} to {ratio['most']:.2f})" if ratio else ""
            lines.append(f"  {name:<20} {of['median']:9.2f} µs a row{times}")
    lines.append(f"largest difference to pred_contribs: {figures['largest_difference']:.1e}, at most {TOLERANCE}")
    lines.append("loading (CPU seconds), by depth")
    for depth, of in figures["loading"].items():
        tables = f"blocks of height {of['block_height']}, {of['table_bytes'] / 2**20:.1f} MiB of tables"
        told_tables = tables if of["table_bytes"] else "no tables: pred_contribs"
        lines.append(f"  depth {depth}: {of['seconds']['median']:.3f} s, {told_tables}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
