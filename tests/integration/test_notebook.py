"""The notebook runs on a fresh clone: the declaration, the parameters and the shipped file are all it needs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = "notebooks/taiwan_cards.ipynb"

# A process of its own: the warnings of Jupyter's packages are no errors of ours.
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Every output from top to bottom: its text, or an image's type."""
    clone = tmp_path_factory.mktemp("clone")
    for needed in (
        "pyproject.toml",
        "conf/taiwan_cards/portfolio.yml",
        "conf/base",
        "data/1_raw/taiwan_cards",
        NOTEBOOK,
    ):
        source, target = ROOT / needed, clone / needed
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    before = files_in(clone)
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))}
    environment.pop("MPLBACKEND", None)
    ran = subprocess.run(
        [sys.executable, "-c", EXECUTE, NOTEBOOK, str(clone / "notebooks")],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert files_in(clone) == before, "the notebook wrote files"
    notebook = nbformat.read(clone / NOTEBOOK, as_version=4)
    return [text_of(output) for cell in notebook.cells for output in cell.get("outputs", [])]


def files_in(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


def text_of(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        assert output.name == "stdout", output.text
        return output.text
    images = [kind for kind in output.data if kind.startswith("image/")]
    return images[0] if images else output.data["text/plain"]


def test_both_models_rank_as_well_as_the_project_says(shown):
    [aucs] = re.findall(r"│ AUC +┆ (0\.\d+) +┆ (0\.\d+) +│", "\n".join(shown))
    assert all(0.74 <= float(auc) <= 0.80 for auc in aucs)


def test_every_plot_is_drawn(shown):
    assert shown.count("image/png") == 6
    assert shown.count("image/svg+xml") == 3


def test_the_applicant_gets_reasons_from_both_models(shown):
    [table] = [text for text in shown if "points lost" in text]
    assert re.search(r"│ Scorecard +┆ R\d\d", table)
    assert re.search(r"│ Boosted trees +┆ R\d\d", table)


def test_approval_is_shown_for_every_protected_attribute(shown):
    [table] = [text for text in shown if "approved by the scorecard" in text]
    assert all(f"│ {attribute} " in table for attribute in ("sex", "marriage", "age"))


def test_the_feature_to_try_is_a_valid_declaration(shown):
    assert any("Problems: none" in text for text in shown)


def test_it_is_committed_without_outputs():
    notebook = nbformat.read(ROOT / NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
