"""Rows alone, in batches and on many threads: one and the same answer, to the bit."""

import multiprocessing
import os
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_models import Recipe, as_bytes, document, tree

from table_treeshap import TreeExplainer

RECIPE = Recipe(seed=21, trees=60, depth=5, width=10, missing=0.3, extreme=True)
EXPLAINER = TreeExplainer.of(as_bytes(RECIPE.model()))
FALLBACK = TreeExplainer.of(as_bytes(RECIPE.model()), memory_budget=0)
ROWS = RECIPE.rows(500)
MARGIN, CONTRIBUTIONS = EXPLAINER.explained(ROWS)


@given(start=st.integers(0, 499), size=st.integers(0, 300), threads=st.sampled_from([1, 2, 3, 7]))
@settings(max_examples=100)
def test_a_row_is_the_same_in_any_company_on_any_number_of_threads(start: int, size: int, threads: int):
    part = slice(start, start + size)
    margin, contributions = EXPLAINER.explained(ROWS[part], threads)
    assert margin.tobytes() == MARGIN[part].tobytes()
    assert contributions.tobytes() == CONTRIBUTIONS[part].tobytes()
    assert EXPLAINER.margin(ROWS[part], threads).tobytes() == margin.tobytes()
    assert EXPLAINER.contributions(ROWS[part], threads).tobytes() == contributions.tobytes()


def test_every_row_alone_is_what_it_is_in_the_batch():
    for at in range(len(ROWS)):
        margin, contributions = EXPLAINER.explained(ROWS[at : at + 1])
        assert margin.tobytes() == MARGIN[at : at + 1].tobytes()
        assert contributions.tobytes() == CONTRIBUTIONS[at : at + 1].tobytes()


def test_leaves_are_added_in_the_order_of_the_trees():
    stumps = [10.0**power for power in (15, 0, -3, 15, -8, 1, -15)]
    stumps[3] *= -1  # in any other order, small leaves would survive or perish
    trees = [tree([{"value": value, "cover": 1.0}]) for value in stumps]
    explainer = TreeExplainer.of(as_bytes(document(trees, 2, "reg:squarederror")))
    expected = float(np.float32(0.3))
    for value in stumps:
        expected += float(np.float32(value))
    assert explainer.margin(np.zeros((1, 2), dtype=np.float32))[0] == expected


@pytest.mark.parametrize(
    "laid_out",
    [
        np.asfortranarray(ROWS),
        np.repeat(ROWS, 2, axis=0)[::2],
        np.repeat(ROWS, 2, axis=1)[:, ::2],
        np.frombuffer(b"\0" + ROWS.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(ROWS.shape),
    ],
)
def test_the_layout_in_memory_changes_nothing(laid_out: np.ndarray):
    margin, contributions = EXPLAINER.explained(laid_out)
    assert margin.tobytes() == MARGIN.tobytes()
    assert contributions.tobytes() == CONTRIBUTIONS.tobytes()


@pytest.mark.parametrize("explainer", [EXPLAINER, FALLBACK], ids=["tables", "fallback"])
@pytest.mark.parametrize(
    ("given_columns", "says"),
    [
        (ROWS.astype(np.float64), "float32"),
        (ROWS.astype(">f4"), "float32"),
        (ROWS[0], "matrix"),
        (ROWS[None], "matrix"),
        (ROWS.tolist(), "matrix"),
        (ROWS[:, :-1], "9 columns; the model reads 10"),
        (np.empty((2, 0), dtype=np.float32), "0 columns"),
    ],
)
def test_what_is_no_matrix_of_the_models_columns_is_refused(explainer: TreeExplainer, given_columns: Any, says: str):
    for method in (explainer.margin, explainer.contributions, explainer.explained):
        with pytest.raises(ValueError, match=says):
            method(given_columns)


@pytest.mark.parametrize("explainer", [EXPLAINER, FALLBACK], ids=["tables", "fallback"])
def test_no_rows_have_no_explanation(explainer: TreeExplainer):
    margin, contributions = explainer.explained(ROWS[:0], threads=4)
    assert margin.shape == (0,)
    assert contributions.shape == (0, 10)


@pytest.mark.parametrize("explainer", [EXPLAINER, FALLBACK], ids=["tables", "fallback"])
def test_many_threads_share_one_explainer(explainer: TreeExplainer):
    expected = explainer.contributions(ROWS)

    def explained(number: int) -> bool:
        part = slice(number % 7 * 50, number % 7 * 50 + (1 if number % 2 else 120))
        return explainer.contributions(ROWS[part], 1 + number % 3).tobytes() == expected[part].tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(explained, range(200)))


def test_a_batch_lets_other_threads_run_meanwhile(monkeypatch: pytest.MonkeyPatch):
    """Nothing but the kernel gives the interpreter away here, and the other thread comes to its end before it."""
    many = np.tile(ROWS, (1_000, 1))
    real = EXPLAINER._kernels.released["contributions"]
    ready, inside, went_on = threading.Event(), threading.Event(), threading.Event()
    seen: list[bool] = []

    def other() -> None:
        ready.set()
        inside.wait()
        went_on.set()

    def watched(*arguments: Any) -> None:
        inside.set()
        real(*arguments)
        seen.append(went_on.is_set())

    monkeypatch.setitem(EXPLAINER._kernels.released, "contributions", watched)
    thread = threading.Thread(target=other)
    interval = sys.getswitchinterval()
    thread.start()
    ready.wait()
    sys.setswitchinterval(1_000)
    try:
        EXPLAINER.contributions(many)
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    assert seen == [True]


def _in_child(pipe: Any) -> None:
    pipe.send_bytes(EXPLAINER.contributions(ROWS, threads=3).tobytes())
    pipe.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_goes_on_explaining():
    EXPLAINER.contributions(ROWS, threads=3)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that other tests' threads run here is known
        child = context.Process(target=_in_child, args=(there,))
        child.start()
    assert here.poll(60)
    assert here.recv_bytes() == CONTRIBUTIONS.tobytes()
    child.join(60)
    assert child.exitcode == 0
