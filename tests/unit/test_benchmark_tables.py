import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
WRITTEN = ("README.md", "docs/performance.md")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks")
    from serving import tables as imported  # noqa: PLC0415 - of the benchmarks, which are no package of the project

    yield imported
    for name in [name for name in sys.modules if name.partition(".")[0] == "serving"]:
        del sys.modules[name]


@pytest.fixture
def kept() -> dict[str, Any]:
    return json.loads((PROJECT / "benchmarks/results/serving.json").read_text(encoding="utf-8"))


def a_case(variant: str, rps: list[float], **figures: list[float]) -> dict[str, Any]:
    names = ("p50_ms", "p99_ms", "cpu_us", "memory_mb", "others")
    return {"variant": variant, "connections": 8, "rps": rps} | {name: [1.0] * len(rps) for name in names} | figures


def a_result(*cases: dict[str, Any]) -> dict[str, Any]:
    told = {"portfolio": "p", "machine": "m", "cpu": "c", "date": "d", "commit": "abc", "rounds": 3, "seconds": 1.0}
    return told | {"model": {"trees": 2, "depth": 1}, "cores": "one each", "load_tool": "wrk", "rivals": list(cases)}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_tables_of_the_readme_and_the_guide_are_what_the_result_file_gives(
    tables: ModuleType, kept: dict[str, Any], name: str
):
    text = (PROJECT / name).read_text(encoding="utf-8")
    assert tables.filled(text, kept) == text
    assert kept["commit"] in text


@pytest.mark.parametrize("name", WRITTEN)
def test_another_figure_would_change_the_tables(tables: ModuleType, kept: dict[str, Any], name: str):
    text = (PROJECT / name).read_text(encoding="utf-8")
    other = deepcopy(kept)
    for case in other["rivals"]:
        case["rps"] = [2 * value for value in case["rps"]]
    assert tables.filled(text, other) != text


def test_every_table_of_a_whole_result_has_its_place(tables: ModuleType, kept: dict[str, Any]):
    texts = "".join((PROJECT / name).read_text(encoding="utf-8") for name in WRITTEN)
    names = tables.table_names(kept)
    assert set(names) == {f"serving{part}" for part in ("", " rivals", " targets", " workers", " modes", " batches")}
    for name in names:
        assert f"<!-- {name}: written by benchmarks/serving -->\n| " in texts


def test_a_ratio_is_of_one_round_s_figures_and_its_median_decides(tables: ModuleType):
    ours = a_case("as_shipped", [300.0, 100.0, 100.0])
    result = a_result(ours, a_case("mlserver", [100.0, 50.0, 20.0]))
    # Ratios 3, 2 and 5; the medians' ratio would be 2.
    assert "| at least 2.5 | 3.00 [2.00, 5.00], reached |" in tables.all_targets(result)


def test_a_target_that_is_missed_is_told_as_missed(tables: ModuleType):
    ours = a_case("as_shipped", [100.0] * 3, p99_ms=[6.0, 6.0, 4.0])
    result = a_result(ours, a_case("naive_bentoml", [10.0, 5.0, 5.1]))
    told = tables.all_targets(result).splitlines()
    assert told[2].endswith("| at least 20 | 19.6 [10.0, 20.0], **missed** |")
    assert told[3] == "| p99 in p50s | at most 5 | 6.00 [4.00, 6.00], **missed** |"


def test_what_was_not_measured_leaves_its_table_as_it_was(tables: ModuleType):
    text = "<!-- serving modes: written by benchmarks/serving -->\nas it was\n<!-- end of serving modes -->\n"
    assert tables.filled(text, a_result(a_case("as_shipped", [1.0]))) == text
