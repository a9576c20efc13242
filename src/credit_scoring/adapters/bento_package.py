"""What the pipeline stages for the Bento: the bundles that hold roles, the roles, and a golden application."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from credit_scoring.adapters.bento_stage import MANIFEST, STAGE, tag_file
from credit_scoring.adapters.files import read_directory, write_directory
from credit_scoring.core.bundles import MANIFEST as MANIFEST_OF_BUNDLE
from credit_scoring.core.bundles import digest, from_files
from credit_scoring.core.errors import BundleError
from credit_scoring.core.golden import golden_points
from credit_scoring.core.roles import ROLES, Roles
from credit_scoring.core.scoring import ModelBundle

__all__ = ["MANIFEST", "STAGE", "BentoPackage", "read_package", "stage_package", "tag_file"]


@dataclass(frozen=True)
class BentoPackage:
    """Bundles by digest, the roles that a fresh records database starts with, and golden points by digest."""

    portfolio: str
    roles: Roles
    bundles: Mapping[str, ModelBundle]
    golden: Mapping[str, float]


def stage_package(target: Path, roles: Roles, bundle_files: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write the package to ``target``: ``bundle_files`` are those of each role's bundle, by digest."""
    files: dict[str, bytes] = {}
    golden: dict[str, float] = {}
    portfolio = ""
    for key in sorted({roles.holder(role).digest for role in ROLES}):
        bundle = from_files(bundle_files[key], f"digest {key[:12]}")
        golden[key], portfolio = golden_points(bundle), bundle.portfolio.name
        files |= {f"bundles/{key}/{name}": content for name, content in bundle_files[key].items()}
    manifest = {"portfolio": portfolio, "roles": roles.model_dump(mode="json"), "golden": golden}
    write_directory(target, files | {MANIFEST: json.dumps(manifest, indent=1).encode()})


def read_package(source: Path) -> BentoPackage:
    """Return the package at ``source``.

    Raises:
        BundleError: If nothing is staged there, or a bundle is not what its digest says.
    """
    files = read_directory(source)
    if MANIFEST not in files:
        raise BundleError(f"Nothing is staged for the Bento at '{source}'. Run 'kedro run' first.")
    try:
        manifest = json.loads(files[MANIFEST])
        roles, golden = Roles.model_validate(manifest["roles"]), dict(manifest["golden"])
        portfolio = str(manifest["portfolio"])
    except (KeyError, TypeError, ValueError) as exc:
        raise BundleError(f"'{source / MANIFEST}' is not what was staged. Run 'kedro run'.") from exc
    bundles = {}
    for key in sorted({*golden, *(roles.holder(role).digest for role in ROLES)}):
        prefix = f"bundles/{key}/"
        own = {name.removeprefix(prefix): content for name, content in files.items() if name.startswith(prefix)}
        where = source / "bundles" / key
        # Before it is read: reading may execute its features.py, whose checksum is in the manifest that is digested.
        if MANIFEST_OF_BUNDLE in own and (digest(own) != key or key not in golden):
            raise BundleError(f"The bundle at '{where}' is not what its digest says. Run 'kedro run'.")
        bundles[key] = from_files(own, str(where))
    return BentoPackage(portfolio, roles, bundles, golden)
