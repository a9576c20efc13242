import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.kedro_project import Finished, Project, new_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which nothing has run."""
    return new_project(tmp_path_factory.mktemp("kedro") / "project")


@pytest.fixture(scope="session")
def first_run(project: Project) -> Finished:
    """The first whole run, in an interpreter of its own, with a fixed hash seed and one Polars thread."""
    return project.run_alone(PYTHONHASHSEED="1", POLARS_MAX_THREADS="1")


@pytest.fixture(scope="session")
def first_results(project: Project, first_run: Finished) -> Path:
    """Configuration and data as the first whole run left them."""
    assert first_run.code == 0, first_run.stderr
    kept = project.root.with_name("kept")
    for part in ("conf", "data"):
        shutil.copytree(project.root / part, kept / part)
    return kept


@pytest.fixture(scope="session")
def ran(project: Project, first_results: Path) -> Project:
    """The project after its first whole run, and perhaps others."""
    return project


@pytest.fixture
def restored(ran: Project, first_results: Path) -> Iterator[Project]:
    """The same, for a test that spoils its files: configuration and data are put back afterwards."""
    yield ran
    for part in ("conf", "data"):
        shutil.rmtree(ran.root / part)
        shutil.copytree(first_results / part, ran.root / part)


@pytest.fixture
def fresh(ran: Project, first_results: Path, tmp_path: Path) -> Project:
    """A project that has data and bundles, but where nothing is registered and nobody has a role."""
    copied = ran.copy(tmp_path / "fresh")
    for part in ("conf", "data"):
        shutil.rmtree(copied.root / part)
        shutil.copytree(first_results / part, copied.root / part)
    return copied
