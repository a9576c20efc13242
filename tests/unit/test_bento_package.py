import json
import shutil
from pathlib import Path

import pytest

from credit_scoring.adapters import bento_package
from credit_scoring.adapters import files as files_module
from credit_scoring.adapters.bento_package import MANIFEST, read_package, stage_package
from credit_scoring.adapters.files import read_directory, write_directory
from credit_scoring.core.bundles import digest, to_files
from credit_scoring.core.errors import BundleError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.model_cards import NOTED
from credit_scoring.core.roles import BundleRef, Experiment, Roles
from credit_scoring.core.scoring import ModelBundle

OLD = {"a.txt": b"old", "deep/b.txt": b"old too"}


def test_a_directory_is_written_and_read_back(tmp_path: Path):
    write_directory(tmp_path / "new" / "target", OLD)
    assert read_directory(tmp_path / "new" / "target") == OLD


def test_a_written_directory_replaces_the_old_one_whole(tmp_path: Path):
    write_directory(tmp_path / "target", OLD)
    write_directory(tmp_path / "target", {"c.txt": b"new"})
    assert read_directory(tmp_path / "target") == {"c.txt": b"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_an_absent_directory_reads_as_empty(tmp_path: Path):
    assert read_directory(tmp_path / "nowhere") == {}


def test_a_failure_while_writing_leaves_the_old_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_directory(tmp_path / "target", OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_directory(tmp_path / "target", {"c.txt": b"new"})
    assert read_directory(tmp_path / "target") == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_a_failure_while_exchanging_puts_the_old_directory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "target"
    write_directory(target, OLD)
    rename = Path.rename

    def refused(self: Path, to: Path) -> Path:
        if Path(to) == target and not self.name.endswith(".old"):
            raise OSError(13, "Permission denied")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="Permission denied"):
        write_directory(target, {"c.txt": b"new"})
    assert read_directory(target) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def ref(version: int, files: dict[str, bytes]) -> BundleRef:
    return BundleRef(model="m", version=version, algorithm="a", digest=digest(files))


@pytest.fixture(scope="session")
def bundle_files(scorecard_bundle: ModelBundle, boosted_trees_bundle: ModelBundle) -> list[dict[str, bytes]]:
    return [to_files(scorecard_bundle), to_files(boosted_trees_bundle)]


@pytest.fixture(scope="session")
def roles(bundle_files: list[dict[str, bytes]]) -> Roles:
    champion, challenger = (ref(number, files) for number, files in enumerate(bundle_files, 1))
    return Roles(
        champion=champion, challenger=challenger, experiment=Experiment(id="e", salt="s", challenger_share=0.1)
    )


@pytest.fixture(scope="session")
def staged_once(tmp_path_factory: pytest.TempPathFactory, roles: Roles, bundle_files: list[dict[str, bytes]]) -> Path:
    target = tmp_path_factory.mktemp("package") / "bento"
    stage_package(target, roles, {digest(files): files for files in bundle_files})
    return target


@pytest.fixture
def staged(staged_once: Path, tmp_path: Path) -> Path:
    """A package that a test may damage."""
    return Path(shutil.copytree(staged_once, tmp_path / "bento"))


def test_a_staged_package_is_read_back_whole(staged: Path, roles: Roles, scorecard_bundle: ModelBundle):
    package = read_package(staged)
    assert package.portfolio == "taiwan_cards"
    assert package.roles == roles
    assert set(package.bundles) == {roles.champion.digest, roles.challenger.digest}
    assert package.golden[roles.champion.digest] == golden_points(scorecard_bundle)
    for key, bundle in package.bundles.items():
        assert golden_points(bundle) == package.golden[key]


def test_one_bundle_may_hold_both_roles(tmp_path: Path, roles: Roles, bundle_files: list[dict[str, bytes]]):
    both = roles.model_copy(update={"challenger": roles.champion})
    stage_package(tmp_path / "b", both, {roles.champion.digest: bundle_files[0]})
    assert set(read_package(tmp_path / "b").bundles) == {roles.champion.digest}


def test_staging_twice_gives_the_same_files(staged: Path, tmp_path: Path, roles: Roles, bundle_files):
    stage_package(tmp_path / "again", roles, {digest(files): files for files in bundle_files})
    assert read_directory(tmp_path / "again") == read_directory(staged)


def test_without_a_package_the_remedy_is_told(tmp_path: Path):
    with pytest.raises(BundleError, match="Run 'kedro run' first"):
        read_package(tmp_path)


def test_every_altered_or_absent_file_is_refused(staged: Path):
    for path in sorted(path for path in staged.rglob("*") if path.is_file() and path.name != MANIFEST):
        content = path.read_bytes()
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        with pytest.raises(BundleError):
            read_package(staged)
        path.unlink()
        with pytest.raises(BundleError):
            read_package(staged)
        path.write_bytes(content)
    assert read_package(staged)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"golden": [], "roles": {}, "portfolio": 1}'])
def test_a_damaged_manifest_is_refused(staged: Path, content: bytes):
    (staged / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"Run 'kedro run'"):
        read_package(staged)


def test_a_role_without_a_bundle_is_refused(staged: Path):
    manifest = json.loads((staged / MANIFEST).read_text())
    manifest["golden"].pop(manifest["roles"]["challenger"]["digest"])
    (staged / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        read_package(staged)
    manifest["roles"]["champion"]["digest"] = "0" * 64
    (staged / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        read_package(staged)


def test_a_bundle_under_the_name_of_another_is_refused(staged: Path, roles: Roles):
    champion, challenger = (staged / "bundles" / r.digest for r in (roles.champion, roles.challenger))
    champion.rename(staged / "x")
    challenger.rename(champion)
    (staged / "x").rename(challenger)
    with pytest.raises(BundleError, match="not what its digest says"):
        read_package(staged)


def test_a_bundle_that_is_not_what_its_digest_says_is_not_even_read(staged: Path, roles: Roles, monkeypatch):
    """Reading a bundle may execute its features.py, so its digest is compared before."""
    first = min(roles.champion.digest, roles.challenger.digest)
    manifest = staged / "bundles" / first / "bundle.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    monkeypatch.setattr(bento_package, "from_files", lambda *_: pytest.fail("it was read"))
    with pytest.raises(BundleError, match="not what its digest says"):
        read_package(staged)


TAGS = {"auc_roc": "0.78", "dataset_version": "sha256:1", "stage": "Staging", "golden_points": "1.0"}


def test_a_package_keeps_of_the_registrations_tags_what_a_card_tells(tmp_path: Path, roles: Roles, bundle_files):
    tags = {roles.champion.digest: TAGS, "of no bundle here": TAGS}
    stage_package(tmp_path / "b", roles, {digest(files): files for files in bundle_files}, tags)
    told = read_package(tmp_path / "b").tags
    assert told == {roles.champion.digest: {"auc_roc": "0.78", "dataset_version": "sha256:1"}}
    assert set(told[roles.champion.digest]) <= set(NOTED)


def test_a_package_from_before_formats_and_tags_is_read(staged: Path, roles: Roles):
    """As it was staged when there was one routing strategy, too."""
    manifest = json.loads((staged / MANIFEST).read_text())
    for added in ("format", "tags"):
        del manifest[added]
    share = manifest["roles"]["experiment"].pop("routing")["challenger_share"]
    manifest["roles"]["experiment"]["challenger_share"] = share
    (staged / MANIFEST).write_text(json.dumps(manifest))
    package = read_package(staged)
    assert (package.roles, package.tags) == (roles, {})


def test_a_package_of_a_newer_format_is_refused_with_the_remedy(staged: Path):
    manifest = json.loads((staged / MANIFEST).read_text())
    (staged / MANIFEST).write_text(json.dumps(manifest | {"format": 3}))
    with pytest.raises(BundleError, match=r"has format 3; this code reads up to 2\. Serve it with the version"):
        read_package(staged)


def test_every_routing_is_staged_and_read_back(tmp_path: Path, roles: Roles, bundle_files):
    steps = [{"from": "2026-01-01", "challenger_share": 0.1}]
    ramp = {"id": "e", "salt": "s", "routing": {"strategy": "scheduled_ramp", "steps": steps}}
    given = roles.model_copy(update={"experiment": Experiment.model_validate(ramp)})
    stage_package(tmp_path / "b", given, {digest(files): files for files in bundle_files})
    assert read_package(tmp_path / "b").roles == given
